//! What a device that asks may be told.

use drover_db::{Conn, Tx, run};
use drover_types::{ComponentName, DeviceId, FirmwareId, RolloutId, SessionState, TenantId, UpdateSessionId};
use sqlx::AssertSqlSafe;

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
    // The row is locked: pausing waits for offers that are being made, later ones see the pause.
    LOCK = "SELECT r.epoch, r.state AS rollout_state, g.state AS stage_state, r.policy FROM rollouts r \
            JOIN rollout_stages g ON g.tenant_id = r.tenant_id AND g.rollout_id = r.id \
            WHERE r.tenant_id = $1 AND r.id = $2 AND g.position = $3";
    IN_FLIGHT = "SELECT CAST(COALESCE(SUM(sessions), 0) AS BIGINT) FROM rollout_counters \
                 WHERE tenant_id = $1 AND rollout_id = $2 \
                 AND state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating')";
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

/// A rollout that is held still while an offer is made.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LockedRollout {
    /// Its epoch.
    pub epoch: i64,
    /// Its state.
    pub rollout_state: drover_types::RolloutState,
    /// The stage's state.
    pub stage_state: drover_types::StageState,
    /// Its policy, as JSON.
    pub policy: String,
}

/// What the device may be told, best first: at most 64 sessions.
pub async fn candidates(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<Vec<CandidateRow>> {
    run!(conn, |c| sqlx::query_as(CANDIDATES).bind(tenant).bind(device).fetch_all(c).await)
}

/// Holds a rollout still until the transaction ends.
pub async fn lock(tx: &mut Tx, tenant: TenantId, rollout: RolloutId, stage: i64) -> Result<Option<LockedRollout>> {
    let sql = format!("{LOCK} {}", tx.dialect().for_update());
    run!(tx, |c| sqlx::query_as(AssertSqlSafe(sql)).bind(tenant).bind(rollout).bind(stage).fetch_optional(c).await)
}

/// How many devices are at work in a rollout.
pub async fn in_flight(tx: &mut Tx, tenant: TenantId, rollout: RolloutId) -> Result<i64> {
    run!(tx, |c| sqlx::query_scalar(IN_FLIGHT).bind(tenant).bind(rollout).fetch_one(c).await)
}
