//! Stages of rollouts.

use drover_db::{Conn, Tx, run};
use drover_types::{DeviceId, RolloutId, StageState, TenantId, Timestamp};

use crate::rollouts::of_ids;
use crate::{Result, statements};

/// The columns of [`StageRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT rollout_id, position, state, opened_at, soak_until, completed_at, remaining, cursor_bucket, \
             cursor_device FROM rollout_stages",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO rollout_stages (tenant_id, rollout_id, position, state) VALUES ($1, $2, $3, $4)";
    CLEAR = "DELETE FROM rollout_stages WHERE tenant_id = $1 AND rollout_id = $2";
    OF_ROLLOUT = select!(" WHERE tenant_id = $1 AND rollout_id = $2 ORDER BY position");
    OPEN = "UPDATE rollout_stages SET state = 'opening', remaining = $4, opened_at = $5, cursor_bucket = NULL, \
            cursor_device = NULL WHERE tenant_id = $1 AND rollout_id = $2 AND position = $3 AND state = 'waiting'";
    // A look at devices of which none is taken moves the cursor only.
    ADVANCE = "UPDATE rollout_stages SET remaining = $7, cursor_bucket = $8, cursor_device = $9 \
               WHERE tenant_id = $1 AND rollout_id = $2 AND position = $3 AND state = 'opening' AND remaining = $4 \
               AND (cursor_bucket = $5 OR (cursor_bucket IS NULL AND CAST($5 AS BIGINT) IS NULL)) \
               AND (cursor_device = $6 OR (cursor_device IS NULL AND CAST($6 AS UUID) IS NULL))";
    SET_STATE = "UPDATE rollout_stages SET state = $5, soak_until = $6, completed_at = $7 \
                 WHERE tenant_id = $1 AND rollout_id = $2 AND position = $3 AND state = $4";
}

/// A stage.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct StageRow {
    /// Its rollout.
    pub rollout_id: RolloutId,
    /// Its index, from 0.
    pub position: i64,
    /// Where it stands.
    pub state: StageState,
    /// When its devices began to be chosen.
    pub opened_at: Option<Timestamp>,
    /// Until when it soaks.
    pub soak_until: Option<Timestamp>,
    /// When it passed or failed.
    pub completed_at: Option<Timestamp>,
    /// How many devices are still to be chosen.
    pub remaining: Option<i64>,
    /// Bucket of the last device that was looked at.
    pub cursor_bucket: Option<i64>,
    /// That device.
    pub cursor_device: Option<DeviceId>,
}

/// How far the choice of devices has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// How many devices are still to be chosen.
    pub remaining: i64,
    /// Bucket of the last device that was looked at.
    pub bucket: Option<i64>,
    /// That device.
    pub device: Option<DeviceId>,
}

/// A change of a stage's state.
#[derive(Debug, Clone, Copy)]
pub struct StateChange {
    /// From.
    pub from: StageState,
    /// To.
    pub to: StageState,
    /// Until when it soaks.
    pub soak_until: Option<Timestamp>,
}

/// Adds a waiting stage.
pub async fn insert(tx: &mut Tx, tenant: TenantId, rollout: RolloutId, position: i64) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(rollout)
        .bind(position)
        .bind(StageState::Waiting)
        .execute(c)
        .await
        .map(drop))
}

/// Removes all stages of a draft.
pub async fn clear(tx: &mut Tx, tenant: TenantId, rollout: RolloutId) -> Result<()> {
    run!(tx, |c| sqlx::query(CLEAR).bind(tenant).bind(rollout).execute(c).await.map(drop))
}

/// The stages, in order.
pub async fn of_rollout(conn: impl Into<Conn<'_>>, tenant: TenantId, rollout: RolloutId) -> Result<Vec<StageRow>> {
    run!(conn, |c| sqlx::query_as(OF_ROLLOUT).bind(tenant).bind(rollout).fetch_all(c).await)
}

/// The stages of these rollouts, in order; at most some hundred rollouts.
pub async fn of_rollouts(conn: impl Into<Conn<'_>>, tenant: TenantId, rollouts: &[RolloutId]) -> Result<Vec<StageRow>> {
    let head = select!("");
    run!(conn, |c| of_ids(head, tenant, rollouts, "position").build_query_as().persistent(false).fetch_all(c).await)
}

/// Begins to choose `remaining` devices; false when the stage is not waiting.
pub async fn open(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    position: i64,
    remaining: i64,
    now: Timestamp,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(OPEN)
        .bind(tenant)
        .bind(rollout)
        .bind(position)
        .bind(remaining)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Moves the cursor of an opening stage from `before` to `after`; false when somebody else moved it.
pub async fn advance(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    position: i64,
    before: Cursor,
    after: Cursor,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(ADVANCE)
        .bind(tenant)
        .bind(rollout)
        .bind(position)
        .bind(before.remaining)
        .bind(before.bucket)
        .bind(before.device)
        .bind(after.remaining)
        .bind(after.bucket)
        .bind(after.device)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Changes the state; false when it was not in `change.from` any more.
pub async fn set_state(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    position: i64,
    change: StateChange,
    now: Timestamp,
) -> Result<bool> {
    let completed_at = matches!(change.to, StageState::Passed | StageState::Failed).then_some(now);
    run!(tx, |c| sqlx::query(SET_STATE)
        .bind(tenant)
        .bind(rollout)
        .bind(position)
        .bind(change.from)
        .bind(change.to)
        .bind(change.soak_until)
        .bind(completed_at)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}
