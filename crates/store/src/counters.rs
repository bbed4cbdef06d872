//! How many update sessions of a stage are in which state.

use std::collections::BTreeMap;

use drover_db::{Conn, Tx, run};
use drover_types::{FailureClass, RolloutId, SessionState, TenantId};

use crate::rollouts::of_ids;
use crate::{Result, statements};

statements! {
    ADD = "INSERT INTO rollout_counters (tenant_id, rollout_id, stage, state, failure_class, sessions) \
           VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, rollout_id, stage, state, failure_class) \
           DO UPDATE SET sessions = rollout_counters.sessions + excluded.sessions";
    OF_ROLLOUT = "SELECT rollout_id, stage, state, failure_class, sessions FROM rollout_counters \
                  WHERE tenant_id = $1 AND rollout_id = $2 ORDER BY stage, state, failure_class";
    // Of all tenants: a node serves the installation; each row says whose it is.
    OPEN = "SELECT DISTINCT tenant_id, rollout_id FROM rollout_counters WHERE sessions > 0 AND state IN \
            ('pending', 'offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating')";
}

/// How many sessions of a stage are in one state.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CounterRow {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The stage, from 0.
    pub stage: i64,
    /// The state.
    pub state: SessionState,
    /// The failure class; empty for none.
    pub failure_class: String,
    /// How many.
    pub sessions: i64,
}

/// A rollout with sessions that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OpenRow {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The rollout.
    pub rollout_id: RolloutId,
}

/// Every rollout of the installation with sessions that have not ended.
pub async fn open(conn: impl Into<Conn<'_>>) -> Result<Vec<OpenRow>> {
    run!(conn, |c| sqlx::query_as(OPEN).fetch_all(c).await)
}

/// Adds `sessions` (may be negative) to a counter.
pub async fn add(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    stage: i64,
    state: SessionState,
    class: Option<FailureClass>,
    sessions: i64,
) -> Result<()> {
    run!(tx, |c| sqlx::query(ADD)
        .bind(tenant)
        .bind(rollout)
        .bind(stage)
        .bind(state)
        .bind(class.map_or("", FailureClass::as_str))
        .bind(sessions)
        .execute(c)
        .await
        .map(drop))
}

/// A state and the class of a failure, under which sessions are counted.
pub type Counted = (SessionState, Option<FailureClass>);

/// Which counter: rollout, stage, and what is counted there.
pub type Place = (RolloutId, i64, Counted);

/// Adds to many counters, at most some thousand; the numbers may be negative.
pub async fn add_all(tx: &mut Tx, tenant: TenantId, additions: &BTreeMap<Place, i64>) -> Result<()> {
    if additions.is_empty() {
        return Ok(());
    }
    run!(tx, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "INSERT INTO rollout_counters (tenant_id, rollout_id, stage, state, failure_class, sessions) ",
        );
        query.push_values(additions, |mut row, ((rollout, stage, (state, class)), sessions)| {
            row.push_bind(tenant)
                .push_bind(*rollout)
                .push_bind(*stage)
                .push_bind(*state)
                .push_bind(class.map_or("", FailureClass::as_str))
                .push_bind(*sessions);
        });
        query.push(
            " ON CONFLICT (tenant_id, rollout_id, stage, state, failure_class) \
             DO UPDATE SET sessions = rollout_counters.sessions + excluded.sessions",
        );
        query.build().persistent(false).execute(c).await.map(drop)
    })
}

/// All counters of a rollout.
pub async fn of_rollout(conn: impl Into<Conn<'_>>, tenant: TenantId, rollout: RolloutId) -> Result<Vec<CounterRow>> {
    run!(conn, |c| sqlx::query_as(OF_ROLLOUT).bind(tenant).bind(rollout).fetch_all(c).await)
}

/// All counters of these rollouts; at most some hundred rollouts.
pub async fn of_rollouts(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    rollouts: &[RolloutId],
) -> Result<Vec<CounterRow>> {
    let head = "SELECT rollout_id, stage, state, failure_class, sessions FROM rollout_counters";
    run!(conn, |c| of_ids(head, tenant, rollouts, "stage").build_query_as().persistent(false).fetch_all(c).await)
}
