//! What changes in a database that came from elsewhere: nothing from before may act on it by itself.

use drover_db::{Conn, Tx, run};
use drover_types::{RolloutId, TenantId, Timestamp};

use crate::{Result, statements};

/// The least by which counters are raised: far above what any gained between the backup and the restore.
const RAISE_MIN: i64 = 1 << 32;

/// Rollouts that would go on by themselves. One that is taken back and has no way back yet would make one; one that has
/// one waits for it.
macro_rules! going_on {
    ($before:literal) => {
        concat!(
            $before,
            " WHERE state IN ('scheduled', 'active') OR (state = 'rolling_back' AND NOT EXISTS (SELECT 1 FROM rollouts c \
             WHERE c.tenant_id = rollouts.tenant_id AND c.parent_id = rollouts.id))"
        )
    };
}

statements! {
    // All of these are of all tenants: the installation came from elsewhere as a whole.
    RAISE_EPOCHS = "UPDATE rollouts SET epoch = epoch + $1";
    RAISE_LEASES = "UPDATE leases SET token = token + $1, expires_at = 0";
    GOING_ON = going_on!("SELECT tenant_id, id FROM rollouts");
    // What was stopped after the backup must not go on by itself.
    PAUSE = going_on!("UPDATE rollouts SET reason = $1 || state, state = 'paused', next_tick_at = $2");
    OPEN_UPLOADS = "SELECT tenant_id, COUNT(tenant_id) AS found FROM uploads WHERE state IN ('open', 'verifying') \
                    GROUP BY tenant_id";
    // Their parts lie in the object store of before: only what was named is copied.
    ABORT_UPLOADS = "UPDATE uploads SET state = 'aborted', reason = $1, next_action_at = $2, updated_at = $2, \
                     ended_at = $2, actor_kind = NULL, actor_tenant_id = NULL, actor_id = NULL, actor_name = NULL, \
                     actor_address = NULL, request_id = NULL WHERE state IN ('open', 'verifying')";
    // Their numbers are of the database that they came from, and no node has anything in memory yet.
    FORGET_CHANGES = "DELETE FROM changes";
    LOGINS = "SELECT tenant_id, COUNT(tenant_id) AS found FROM logins WHERE revoked_at IS NULL GROUP BY tenant_id";
    END_LOGINS = "UPDATE logins SET revoked_at = $1 WHERE revoked_at IS NULL";
    API_KEYS = "SELECT tenant_id, COUNT(tenant_id) AS found FROM api_keys WHERE revoked_at IS NULL GROUP BY tenant_id";
    REVOKE_API_KEYS = "UPDATE api_keys SET revoked_at = $1 WHERE revoked_at IS NULL";
}

/// How many a tenant has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Found {
    /// The tenant.
    pub tenant_id: TenantId,
    /// So many.
    pub found: i64,
}

/// Rollouts that [`pause`] pauses.
pub async fn going_on(conn: impl Into<Conn<'_>>) -> Result<Vec<(TenantId, RolloutId)>> {
    run!(conn, |c| sqlx::query_as(GOING_ON).fetch_all(c).await)
}

/// Uploads that are under way.
pub async fn open_uploads(conn: impl Into<Conn<'_>>) -> Result<Vec<Found>> {
    run!(conn, |c| sqlx::query_as(OPEN_UPLOADS).fetch_all(c).await)
}

/// Sessions of people that were not ended.
pub async fn logins(conn: impl Into<Conn<'_>>) -> Result<Vec<Found>> {
    run!(conn, |c| sqlx::query_as(LOGINS).fetch_all(c).await)
}

/// API keys that were not revoked.
pub async fn api_keys(conn: impl Into<Conn<'_>>) -> Result<Vec<Found>> {
    run!(conn, |c| sqlx::query_as(API_KEYS).fetch_all(c).await)
}

/// Lets go of what only had a meaning on the back-ends of before.
pub async fn detach(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(FORGET_CHANGES).execute(c).await.map(drop))?;
    run!(tx, |c| sqlx::query(ABORT_UPLOADS).bind(reason).bind(now).execute(c).await.map(drop))
}

/// Makes void what processes of before still hold. Counters are raised by the time of day: what is raised later has
/// greater ones, also when both came from the same rows.
pub async fn fence(tx: &mut Tx, now: Timestamp) -> Result<()> {
    let raise = (now.as_micros() / 1_000).max(RAISE_MIN);
    run!(&mut *tx, |c| sqlx::query(RAISE_EPOCHS).bind(raise).execute(c).await.map(drop))?;
    run!(tx, |c| sqlx::query(RAISE_LEASES).bind(raise).execute(c).await.map(drop))
}

/// Pauses what would go on by itself; `reason` ends before the state that it was in.
pub async fn pause(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(PAUSE).bind(reason).bind(now).execute(c).await.map(drop))
}

/// Ends all sessions of people.
pub async fn end_logins(tx: &mut Tx, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(END_LOGINS).bind(now).execute(c).await.map(drop))
}

/// Revokes all API keys.
pub async fn revoke_api_keys(tx: &mut Tx, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE_API_KEYS).bind(now).execute(c).await.map(drop))
}
