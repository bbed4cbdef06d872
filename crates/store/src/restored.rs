//! What changes in a database that was brought back from a backup: nothing from before may act on it by itself.

use drover_db::{Tx, run};
use drover_types::Timestamp;

use crate::{Result, statements};

/// Far above what any counter gained between the backup and the restore.
const EPOCH_STEP: i64 = 1 << 32;

statements! {
    // Of all tenants: the installation was restored as a whole.
    RAISE_EPOCHS = "UPDATE rollouts SET epoch = epoch + $1";
    // What was stopped after the backup must not go on by itself.
    PAUSE = "UPDATE rollouts SET state = 'paused', reason = $1, next_tick_at = $2 \
             WHERE state IN ('scheduled', 'active')";
    RAISE_LEASES = "UPDATE leases SET token = token + $1, expires_at = 0";
    // Their parts lie in the object store of before: only what was named is copied.
    ABORT_UPLOADS = "UPDATE uploads SET state = 'aborted', reason = $1, next_action_at = $2, updated_at = $2, \
                     ended_at = $2, actor_kind = NULL, actor_tenant_id = NULL, actor_id = NULL, actor_name = NULL, \
                     actor_address = NULL, request_id = NULL WHERE state IN ('open', 'verifying')";
    // Their numbers are of the database that they came from, and no node has anything in memory yet.
    FORGET_CHANGES = "DELETE FROM changes";
    END_LOGINS = "UPDATE logins SET revoked_at = $1 WHERE revoked_at IS NULL";
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// Rollouts that were going on and now wait for a person.
    pub paused_rollouts: u64,
    /// Sessions of people that ended.
    pub ended_logins: u64,
}

/// Lets go of what only had a meaning on the back-ends of before: also for an installation that moves as it is.
pub async fn detach(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(FORGET_CHANGES).execute(c).await.map(drop))?;
    run!(tx, |c| sqlx::query(ABORT_UPLOADS).bind(reason).bind(now).execute(c).await.map(drop))
}

/// Makes offers, leases and logins from before the restore void, pauses rollouts that were going on and gives uploads up
/// that were.
pub async fn settle(tx: &mut Tx, reason: &str, now: Timestamp) -> Result<Restored> {
    detach(&mut *tx, reason, now).await?;
    run!(&mut *tx, |c| sqlx::query(RAISE_EPOCHS).bind(EPOCH_STEP).execute(c).await.map(drop))?;
    let paused = run!(&mut *tx, |c| sqlx::query(PAUSE).bind(reason).bind(now).execute(c).await?.rows_affected());
    run!(&mut *tx, |c| sqlx::query(RAISE_LEASES).bind(EPOCH_STEP).execute(c).await.map(drop))?;
    let ended = run!(&mut *tx, |c| sqlx::query(END_LOGINS).bind(now).execute(c).await?.rows_affected());
    Ok(Restored { paused_rollouts: paused, ended_logins: ended })
}
