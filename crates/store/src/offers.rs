//! What a device that asks may be told.

use drover_db::{Conn, run};
use drover_types::{ComponentName, DeviceId, FirmwareId, RolloutId, SessionState, TenantId, UpdateSessionId};

use crate::{Result, statements};

statements! {
    // What the device was told already comes first, then ways back, then the oldest rollout.
    CANDIDATES = "SELECT s.id, s.rollout_id, s.stage, s.component, s.firmware_id, s.state FROM update_sessions s \
                  JOIN rollouts r ON r.tenant_id = s.tenant_id AND r.id = s.rollout_id \
                  JOIN rollout_stages g ON g.tenant_id = s.tenant_id AND g.rollout_id = s.rollout_id \
                  AND g.position = s.stage WHERE s.tenant_id = $1 AND s.device_id = $2 \
                  AND (s.state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating') \
                       OR (s.state = 'pending' AND r.state = 'active' \
                           AND g.state IN ('running', 'soaking', 'passed', 'failed'))) \
                  ORDER BY CASE WHEN s.state = 'pending' THEN 1 ELSE 0 END, \
                  CASE WHEN r.kind = 'rollback' THEN 0 ELSE 1 END, r.id LIMIT 64";
}

/// A session that the device may be told of.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CandidateRow {
    /// The session.
    pub id: UpdateSessionId,
    /// Its rollout.
    pub rollout_id: RolloutId,
    /// Its stage.
    pub stage: i64,
    /// Its component.
    pub component: ComponentName,
    /// Its firmware.
    pub firmware_id: FirmwareId,
    /// Where it stands.
    pub state: SessionState,
}

/// What the device may be told, best first: at most 64 sessions.
pub async fn candidates(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<Vec<CandidateRow>> {
    run!(conn, |c| sqlx::query_as(CANDIDATES).bind(tenant).bind(device).fetch_all(c).await)
}
