//! Changes of update sessions: of many at once, each by compare-and-set.

use drover_db::{Tx, run};
use drover_types::{
    DeviceId, FailureClass, FirmwareId, RolloutId, SessionState, TenantId, Timestamp, UpdateSessionId, Version,
};

use crate::statements::with_list;
use crate::{Result, statements};

statements! {
    // With the rollout, which makes the whole index: without, SQLite reads all sessions of the tenant for some ids.
    END_MANY = "UPDATE update_sessions SET state = $4, progress = 0, failure_class = $5, failure_code = $6, \
                failure_message = $7, next_action_at = NULL, completed_at = $8, updated_at = $8 \
                WHERE tenant_id = $1 AND rollout_id = $2 AND state = $3 AND id IN ($9/*more*/) \
                RETURNING stage, device_id";
}

/// Few enough that looking through all of them for each costs nothing.
const CHANGES_PER_STATEMENT: usize = 100;

/// The beginning and the end of a statement over a list `v`. The ids stand there twice: joined with a list of values,
/// SQLite would read all sessions. It would, too, if an index had all columns that the end asks for; so the end says what
/// is true anyway: that a session which ended stays as it is, unless it was given up on.
pub(crate) const OFFER: [&str; 2] = [
    "UPDATE update_sessions SET (state, from_version, from_firmware_id, next_action_at) = \
     (SELECT 'offered', v.from_version, v.from_firmware_id, v.next_action_at FROM v WHERE v.id = update_sessions.id)",
    "AND state = 'pending' AND component NOT IN (SELECT o.component FROM update_sessions o \
     WHERE o.tenant_id = update_sessions.tenant_id AND o.device_id = update_sessions.device_id \
     AND o.state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating')) RETURNING id",
];
pub(crate) const CHANGE: [&str; 2] = [
    "UPDATE update_sessions SET (state, progress, failure_class, failure_code, failure_message, next_action_at, \
     completed_at) = (SELECT v.state, v.progress, v.failure_class, v.failure_code, v.failure_message, v.next_action_at, \
     v.completed_at FROM v WHERE v.id = update_sessions.id)",
    "AND state = (SELECT v.state_before FROM v WHERE v.id = update_sessions.id) \
     AND (completed_at IS NULL OR state = 'timed_out') RETURNING id",
];

/// Class, code and message of a failure.
pub type Failure = (FailureClass, String, String);

/// A change of state.
#[derive(Debug, Clone)]
pub struct Move {
    /// From.
    pub from: SessionState,
    /// To.
    pub to: SessionState,
    /// Share done, 0 to 100.
    pub progress: i64,
    /// Class, code and message, when it failed.
    pub failure: Option<Failure>,
    /// When the driver has to look at it; none when it ended.
    pub next_action_at: Option<Timestamp>,
}

/// What is noted when a device is told.
#[derive(Debug, Clone)]
pub struct Offer {
    /// What runs now.
    pub from_version: Option<Version>,
    /// That firmware, when it is one of ours.
    pub from_firmware: Option<FirmwareId>,
    /// When silence becomes a time-out.
    pub next_action_at: Timestamp,
}

/// Pending becomes offered, of many sessions. Returns those that did: not those that were not pending any more, nor those
/// whose device is at work on that component for another rollout.
pub async fn offer(
    tx: &mut Tx,
    tenant: TenantId,
    offers: &[(UpdateSessionId, Offer)],
    now: Timestamp,
) -> Result<Vec<UpdateSessionId>> {
    let mut offered: Vec<UpdateSessionId> = Vec::with_capacity(offers.len());
    for some in offers.chunks(CHANGES_PER_STATEMENT) {
        let done: Vec<UpdateSessionId> = run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new("WITH v (id, from_version, from_firmware_id, next_action_at) AS (");
            query.push_values(some, |mut row, (id, offer)| {
                row.push_bind(*id)
                    .push_bind(&offer.from_version)
                    .push_bind(offer.from_firmware)
                    .push_bind(offer.next_action_at);
            });
            query.push(") ").push(OFFER[0]);
            query.push(", started_at = ").push_bind(now).push(", updated_at = ").push_bind(now);
            query.push(" WHERE tenant_id = ").push_bind(tenant).push(" AND id IN (");
            let mut list = query.separated(", ");
            for (id, _) in some {
                list.push_bind(*id);
            }
            query.push(") ").push(OFFER[1]);
            query.build_query_scalar().persistent(false).fetch_all(c).await
        })?;
        offered.extend(done);
    }
    Ok(offered)
}

/// Changes the states of many sessions. Returns those that did: not those that were not in their `from` any more.
pub async fn change_states(
    tx: &mut Tx,
    tenant: TenantId,
    changes: &[(UpdateSessionId, Move)],
    now: Timestamp,
) -> Result<Vec<UpdateSessionId>> {
    let mut changed: Vec<UpdateSessionId> = Vec::with_capacity(changes.len());
    for some in changes.chunks(CHANGES_PER_STATEMENT) {
        let done: Vec<UpdateSessionId> = run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new(
                "WITH v (id, state_before, state, progress, failure_class, failure_code, failure_message, \
                 next_action_at, completed_at) AS (",
            );
            query.push_values(some, |mut row, (id, change)| {
                let (class, code, message) = match &change.failure {
                    Some((class, code, message)) => (Some(*class), Some(code), Some(message)),
                    None => (None, None, None),
                };
                row.push_bind(*id)
                    .push_bind(change.from)
                    .push_bind(change.to)
                    .push_bind(change.progress)
                    .push_bind(class)
                    .push_bind(code)
                    .push_bind(message)
                    .push_bind(change.next_action_at)
                    .push_bind(change.to.is_final().then_some(now));
            });
            query.push(") ").push(CHANGE[0]).push(", updated_at = ").push_bind(now);
            query.push(" WHERE tenant_id = ").push_bind(tenant).push(" AND id IN (");
            let mut list = query.separated(", ");
            for (id, _) in some {
                list.push_bind(*id);
            }
            query.push(") ").push(CHANGE[1]);
            query.build_query_scalar().persistent(false).fetch_all(c).await
        })?;
        changed.extend(done);
    }
    Ok(changed)
}

/// A session that ended, with where it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct EndedRow {
    /// The stage.
    pub stage: i64,
    /// The device.
    pub device_id: DeviceId,
}

/// Ends those of these sessions of one rollout, at most some thousand, that still are in the state `from`. Their
/// progress stands at 0.
pub async fn end_many(
    tx: &mut Tx,
    (tenant, rollout): (TenantId, RolloutId),
    sessions: &[UpdateSessionId],
    (from, to): (SessionState, SessionState),
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<Vec<EndedRow>> {
    if sessions.is_empty() {
        return Ok(Vec::new());
    }
    let (class, code, message) = match failure {
        Some((class, code, message)) => (Some(*class), Some(code), Some(message)),
        None => (None, None, None),
    };
    let sql = with_list(END_MANY, 9, sessions.len());
    run!(tx, |c| {
        // Its text depends on the number of rows: kept, such statements would push the others out.
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(false);
        let query = query.bind(tenant).bind(rollout).bind(from).bind(to).bind(class).bind(code).bind(message).bind(now);
        sessions.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })
}
