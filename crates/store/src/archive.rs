//! Ended sessions of rollouts that ended long ago, moved out of the way of those that live.

use drover_db::{Conn, Db, Tx, has_month_partitions, month_partitions, run};
use drover_types::{RolloutId, TenantId, Timestamp};

use crate::{Result, statements};

/// The columns that live and archived sessions have in common.
macro_rules! columns {
    () => {
        "tenant_id, id, rollout_id, stage, device_id, component, firmware_id, from_version, from_firmware_id, state, progress, \
         failure_class, failure_code, failure_message, started_at, completed_at, created_at"
    };
}

/// Which sessions the next batch takes: the same ones in each statement, as the rollout is held still.
macro_rules! batch {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM update_sessions WHERE tenant_id = $1 AND rollout_id = $2 AND completed_at < $3 \
             ORDER BY state, id LIMIT $4"
        )
    };
}

statements! {
    // A rollout whose way back is still going on needs its sessions.
    DUE = "SELECT r.id FROM rollouts r WHERE r.tenant_id = $1 AND r.completed_at < $2 \
           AND r.state IN ('completed', 'cancelled', 'rolled_back') \
           AND EXISTS (SELECT 1 FROM update_sessions s WHERE s.tenant_id = $1 AND s.rollout_id = r.id \
               AND s.completed_at < $2) \
           AND NOT EXISTS (SELECT 1 FROM rollouts b WHERE b.tenant_id = $1 AND b.parent_id = r.id \
               AND (b.completed_at IS NULL OR b.completed_at >= $2)) \
           ORDER BY r.completed_at, r.id LIMIT $3";
    MARK = "UPDATE rollouts SET archived_at = COALESCE(archived_at, $3) WHERE tenant_id = $1 AND id = $2 \
            AND state IN ('completed', 'cancelled', 'rolled_back')";
    SPAN = "SELECT MIN(completed_at), MAX(completed_at) FROM update_sessions \
            WHERE tenant_id = $1 AND rollout_id = $2 AND completed_at < $3";
    COPY = concat!("INSERT INTO update_sessions_archive (", columns!(), ", archived_at) SELECT ", columns!(),
        ", $5 FROM update_sessions WHERE tenant_id = $1 AND id IN (", batch!("id"), ")");
    REMOVE = concat!("DELETE FROM update_sessions WHERE tenant_id = $1 AND id IN (", batch!("id"), ")");
}

/// Up to `limit` rollouts that ended before `before` and have sessions to archive, the oldest first.
pub async fn due(conn: impl Into<Conn<'_>>, tenant: TenantId, before: Timestamp, limit: i64) -> Result<Vec<RolloutId>> {
    run!(conn, |c| sqlx::query_scalar(DUE).bind(tenant).bind(before).bind(limit).fetch_all(c).await)
}

/// Makes room for the sessions of a rollout that ended before `before`. Not in the transaction that moves them: a new
/// partition keeps all others from the tables that it refers to.
pub async fn prepare(db: &Db, tenant: TenantId, rollout: RolloutId, before: Timestamp) -> Result<()> {
    // The span is found by reading all sessions of the rollout.
    if !has_month_partitions(db) {
        return Ok(());
    }
    let (first, last): (Option<Timestamp>, Option<Timestamp>) =
        run!(db, |c| sqlx::query_as(SPAN).bind(tenant).bind(rollout).bind(before).fetch_one(c).await)?;
    let (Some(first), Some(last)) = (first, last) else { return Ok(()) };
    month_partitions(db, "update_sessions_archive", first, last).await
}

/// Moves up to `limit` sessions that ended before `before` and says how many. The caller holds the rollout still, and
/// called [`prepare`] before.
///
/// Nothing is moved while the rollout goes on.
pub async fn move_sessions(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    before: Timestamp,
    limit: i64,
    now: Timestamp,
) -> Result<u64> {
    let marked = run!(&mut *tx, |c| sqlx::query(MARK)
        .bind(tenant)
        .bind(rollout)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if marked == 0 {
        return Ok(0);
    }
    let copied = run!(&mut *tx, |c| sqlx::query(COPY)
        .bind(tenant)
        .bind(rollout)
        .bind(before)
        .bind(limit)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    let removed = run!(&mut *tx, |c| sqlx::query(REMOVE)
        .bind(tenant)
        .bind(rollout)
        .bind(before)
        .bind(limit)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if copied != removed {
        return Err(sqlx::Error::Protocol(format!("archived {copied} sessions but removed {removed}")));
    }
    Ok(copied)
}
