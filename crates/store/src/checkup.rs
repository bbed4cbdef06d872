//! Figures of the installation that tell whether it works.

use drover_db::{Conn, run};
use drover_types::{RolloutId, RolloutState, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    // Of all tenants: one driver serves the installation.
    OVERDUE = "SELECT tenant_id, id, name, state, next_tick_at FROM rollouts WHERE next_tick_at < $1 \
               ORDER BY next_tick_at LIMIT $2";
    // Of all tenants: numbers of the installation.
    DEVICES = "SELECT COUNT(tenant_id) AS devices, COUNT(CASE WHEN last_seen_at < $1 THEN 1 END) AS silent FROM devices";
}

/// A rollout that nobody looked at in time.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OverdueRollout {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its id.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: RolloutState,
    /// When somebody should have looked.
    pub next_tick_at: Timestamp,
}

/// How many devices there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct DeviceCounts {
    /// All of them.
    pub devices: i64,
    /// Those that were seen, but not lately.
    pub silent: i64,
}

/// Up to `limit` rollouts that were due before `before`, the longest waiting first.
pub async fn overdue(conn: impl Into<Conn<'_>>, before: Timestamp, limit: i64) -> Result<Vec<OverdueRollout>> {
    run!(conn, |c| sqlx::query_as(OVERDUE).bind(before).bind(limit).fetch_all(c).await)
}

/// Counts devices, and those that were last seen before `before`.
pub async fn device_counts(conn: impl Into<Conn<'_>>, before: Timestamp) -> Result<DeviceCounts> {
    run!(conn, |c| sqlx::query_as(DEVICES).bind(before).fetch_one(c).await)
}
