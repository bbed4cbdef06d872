//! Update sessions: one device's passage through one rollout.

use drover_db::{Conn, Tx, run};
use drover_types::{
    ComponentName, DeviceId, FailureClass, FirmwareId, RolloutId, SessionState, TenantId, Timestamp, UpdateSessionId,
    Version,
};

use crate::statements::with_list;
use crate::{Reach, Result, statements};

/// Rows per statement of [`insert_pending`]: nine parameters each stay below the limits of both databases.
pub const INSERT_ROWS_MAX: usize = 1_000;

/// The columns of [`UpdateSessionRow`], of the sessions that live or of those in the archive.
macro_rules! select {
    ($table:literal, $rest:literal) => {
        concat!(
            "SELECT s.id, s.rollout_id, s.stage, s.device_id, d.hardware_id, s.component, s.firmware_id, f.version, \
             s.from_version, s.from_firmware_id, s.state, s.progress, s.failure_class, s.failure_code, \
             s.failure_message, s.started_at, s.completed_at, s.created_at FROM ",
            $table,
            " s \
             JOIN devices d ON d.tenant_id = s.tenant_id AND d.id = s.device_id \
             JOIN firmware f ON f.tenant_id = s.tenant_id AND f.id = s.firmware_id ",
            $rest
        )
    };
}

macro_rules! of_device {
    ($table:literal) => {
        select!(
            $table,
            "WHERE s.tenant_id = $1 AND s.device_id = $2 AND (CAST($3 AS UUID) IS NULL OR s.id < $3) \
             ORDER BY s.id DESC LIMIT $4"
        )
    };
}

macro_rules! of_rollout {
    ($table:literal) => {
        select!(
            $table,
            "WHERE s.tenant_id = $1 AND s.rollout_id = $2 AND (CAST($3 AS TEXT) IS NULL OR s.state = $3) \
             AND (CAST($4 AS UUID) IS NULL OR s.id > $4) /*reach device s.device_id*/ ORDER BY s.id LIMIT $5"
        )
    };
}

macro_rules! failures {
    ($table:literal) => {
        select!(
            $table,
            "WHERE s.tenant_id = $1 AND s.rollout_id = $2 \
             AND s.state IN ('failed', 'rolled_back', 'rejected', 'timed_out') \
             AND (CAST($3 AS UUID) IS NULL OR s.id > $3) /*reach device s.device_id*/ ORDER BY s.id LIMIT $4"
        )
    };
}

statements! {
    GET = select!("update_sessions", "WHERE s.tenant_id = $1 AND s.id IN ($2/*more*/)");
    OF_DEVICE = of_device!("update_sessions");
    OF_DEVICE_ARCHIVED = of_device!("update_sessions_archive");
    OF_ROLLOUT = of_rollout!("update_sessions");
    OF_ROLLOUT_ARCHIVED = of_rollout!("update_sessions_archive");
    FAILURES = failures!("update_sessions");
    FAILURES_ARCHIVED = failures!("update_sessions_archive");
    DUE = "SELECT id, device_id, stage, state, next_action_at FROM update_sessions \
           WHERE tenant_id = $1 AND rollout_id = $2 AND next_action_at <= $3 ORDER BY next_action_at LIMIT $4";
    COUNTED_OF_DEVICE = "SELECT rollout_id, stage, state, failure_class FROM update_sessions \
                         WHERE tenant_id = $1 AND device_id = $2 \
                         UNION ALL SELECT rollout_id, stage, state, failure_class FROM update_sessions_archive \
                         WHERE tenant_id = $1 AND device_id = $2";
    IN_FLIGHT_WITH = "SELECT COUNT(*) FROM update_sessions WHERE tenant_id = $1 AND device_id = $2 \
                      AND firmware_id = $3 \
                      AND state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating')";
    EXISTS = "SELECT COUNT(*) FROM update_sessions WHERE tenant_id = $1 AND rollout_id = $2 AND device_id = $3";
    // As the index of what is planned has it: SQLite uses it for no other question.
    NEXT_DUE = "SELECT MIN(next_action_at) FROM update_sessions \
                WHERE tenant_id = $1 AND rollout_id = $2 AND next_action_at IS NOT NULL";
    // One state at a time: so the index is the order, however many there are.
    IN_STATE = "SELECT id, device_id, stage, state, next_action_at FROM update_sessions \
                WHERE tenant_id = $1 AND rollout_id = $2 AND state = $3 ORDER BY id LIMIT $4";
    DEVICES_OF = "SELECT id, device_id FROM update_sessions WHERE tenant_id = $1 AND rollout_id = $2 AND state = $3 \
                  AND id > $4 ORDER BY id LIMIT $5";
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
    "AND state = 'pending' AND NOT EXISTS (SELECT 1 FROM update_sessions o \
     WHERE o.tenant_id = update_sessions.tenant_id AND o.device_id = update_sessions.device_id \
     AND o.component = update_sessions.component \
     AND o.state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating')) RETURNING id",
];
pub(crate) const CHANGE: [&str; 2] = [
    "UPDATE update_sessions SET (state, progress, failure_class, failure_code, failure_message, next_action_at, \
     completed_at) = (SELECT v.state, v.progress, v.failure_class, v.failure_code, v.failure_message, v.next_action_at, \
     v.completed_at FROM v WHERE v.id = update_sessions.id)",
    "AND state = (SELECT v.state_before FROM v WHERE v.id = update_sessions.id) \
     AND (completed_at IS NULL OR state = 'timed_out') RETURNING id",
];

/// An update session.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UpdateSessionRow {
    /// Its id.
    pub id: UpdateSessionId,
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The stage, from 0.
    pub stage: i64,
    /// The device.
    pub device_id: DeviceId,
    /// Its hardware id.
    pub hardware_id: String,
    /// The component.
    pub component: ComponentName,
    /// The firmware.
    pub firmware_id: FirmwareId,
    /// Its version.
    pub version: Version,
    /// What ran before.
    pub from_version: Option<Version>,
    /// That firmware, when it is one of ours.
    pub from_firmware_id: Option<FirmwareId>,
    /// Where it stands.
    pub state: SessionState,
    /// Share done, 0 to 100.
    pub progress: i64,
    /// The class of the failure.
    pub failure_class: Option<FailureClass>,
    /// A short code of it.
    pub failure_code: Option<String>,
    /// What happened.
    pub failure_message: Option<String>,
    /// When the device was told.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When it was chosen.
    pub created_at: Timestamp,
}

/// A session in short, for the driver.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct SessionRef {
    /// Its id.
    pub id: UpdateSessionId,
    /// The device.
    pub device_id: DeviceId,
    /// The stage.
    pub stage: i64,
    /// Where it stands.
    pub state: SessionState,
    /// When it is due.
    pub next_action_at: Option<Timestamp>,
}

/// A device that was chosen.
#[derive(Debug, Clone, Copy)]
pub struct Chosen {
    /// The id of its session.
    pub id: UpdateSessionId,
    /// The device.
    pub device: DeviceId,
    /// The firmware for it.
    pub firmware: FirmwareId,
}

/// What the sessions of one stage have in common.
#[derive(Debug, Clone)]
pub struct PendingStage {
    /// The rollout.
    pub rollout: RolloutId,
    /// The stage.
    pub stage: i64,
    /// The component.
    pub component: ComponentName,
}

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

/// Adds pending sessions, at most [`INSERT_ROWS_MAX`].
pub async fn insert_pending(
    tx: &mut Tx,
    tenant: TenantId,
    stage: &PendingStage,
    chosen: &[Chosen],
    now: Timestamp,
) -> Result<()> {
    if chosen.is_empty() {
        return Ok(());
    }
    run!(tx, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "INSERT INTO update_sessions (tenant_id, id, rollout_id, stage, device_id, component, firmware_id, state, \
             progress, created_at, updated_at) ",
        );
        query.push_values(chosen, |mut row, one| {
            row.push_bind(tenant)
                .push_bind(one.id)
                .push_bind(stage.rollout)
                .push_bind(stage.stage)
                .push_bind(one.device)
                .push_bind(&stage.component)
                .push_bind(one.firmware)
                .push("'pending', 0")
                .push_bind(now)
                .push_bind(now);
        });
        query.build().execute(c).await.map(drop)
    })
}

/// The sessions with these ids, at least one and at most some thousand, but for those that are in the archive.
pub async fn get(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    ids: &[UpdateSessionId],
) -> Result<Vec<UpdateSessionRow>> {
    let sql = with_list(GET, 2, ids.len());
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(ids.len() == 1).bind(tenant);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })
}

/// Up to `limit` sessions of a device, newest first, from behind `after`, the archived ones among them.
pub async fn of_device(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    device: DeviceId,
    after: Option<UpdateSessionId>,
    limit: i64,
) -> Result<Vec<UpdateSessionRow>> {
    let mut conn = conn.into();
    let mut rows = Vec::new();
    for sql in [OF_DEVICE, OF_DEVICE_ARCHIVED] {
        let found: Vec<UpdateSessionRow> = run!(conn.reborrow(), |c| sqlx::query_as(sql)
            .bind(tenant)
            .bind(device)
            .bind(after)
            .bind(limit)
            .fetch_all(c)
            .await)?;
        rows.extend(found);
    }
    Ok(first_of(rows, limit, |row| std::cmp::Reverse(row.id)))
}

/// The first `limit` rows by `key`. The sessions that live are read before the archive: one that moved in between is
/// there twice, and never missing.
fn first_of<K: Ord>(
    mut rows: Vec<UpdateSessionRow>,
    limit: i64,
    key: impl Fn(&UpdateSessionRow) -> K,
) -> Vec<UpdateSessionRow> {
    rows.sort_by_key(key);
    rows.dedup_by_key(|row| row.id);
    rows.truncate(usize::try_from(limit).unwrap_or(0));
    rows
}

/// Up to `limit` sessions of a rollout on devices in reach, oldest first, from behind `after`, the archived ones among them.
pub async fn of_rollout(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    rollout: RolloutId,
    state: Option<SessionState>,
    after: Option<UpdateSessionId>,
    limit: i64,
) -> Result<Vec<UpdateSessionRow>> {
    let mut conn = conn.into();
    let mut rows = Vec::new();
    for sql in [OF_ROLLOUT, OF_ROLLOUT_ARCHIVED] {
        let sql = reach.limit(sql);
        let found: Vec<UpdateSessionRow> = run!(conn.reborrow(), |c| {
            let query =
                sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(rollout).bind(state).bind(after).bind(limit);
            reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
        })?;
        rows.extend(found);
    }
    Ok(first_of(rows, limit, |row| row.id))
}

/// Up to `limit` failed sessions of a rollout on devices in reach, oldest first, from behind `after`, the archived ones among them.
pub async fn failures(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    rollout: RolloutId,
    after: Option<UpdateSessionId>,
    limit: i64,
) -> Result<Vec<UpdateSessionRow>> {
    let mut conn = conn.into();
    let mut rows = Vec::new();
    for sql in [FAILURES, FAILURES_ARCHIVED] {
        let sql = reach.limit(sql);
        let found: Vec<UpdateSessionRow> = run!(conn.reborrow(), |c| {
            let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(rollout).bind(after).bind(limit);
            reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
        })?;
        rows.extend(found);
    }
    Ok(first_of(rows, limit, |row| row.id))
}

/// Up to `limit` sessions that are due, the longest due first.
pub async fn due(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    rollout: RolloutId,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<SessionRef>> {
    run!(conn, |c| sqlx::query_as(DUE).bind(tenant).bind(rollout).bind(now).bind(limit).fetch_all(c).await)
}

/// Where a session is counted.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct CountedRow {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The stage.
    pub stage: i64,
    /// Where it stands.
    pub state: SessionState,
    /// The class of its failure.
    pub failure_class: Option<FailureClass>,
}

/// Where the sessions of a device are counted.
pub async fn counted_of_device(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    device: DeviceId,
) -> Result<Vec<CountedRow>> {
    run!(conn, |c| sqlx::query_as(COUNTED_OF_DEVICE).bind(tenant).bind(device).fetch_all(c).await)
}

/// How many running sessions bring that firmware to the device.
pub async fn count_in_flight(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    device: DeviceId,
    firmware: FirmwareId,
) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(IN_FLIGHT_WITH).bind(tenant).bind(device).bind(firmware).fetch_one(c).await)
}

/// Whether the device has a session in the rollout.
pub async fn exists(conn: impl Into<Conn<'_>>, tenant: TenantId, rollout: RolloutId, device: DeviceId) -> Result<bool> {
    let found: i64 =
        run!(conn, |c| sqlx::query_scalar(EXISTS).bind(tenant).bind(rollout).bind(device).fetch_one(c).await)?;
    Ok(found > 0)
}

/// When the next session is due.
pub async fn next_due(conn: impl Into<Conn<'_>>, tenant: TenantId, rollout: RolloutId) -> Result<Option<Timestamp>> {
    run!(conn, |c| sqlx::query_scalar(NEXT_DUE).bind(tenant).bind(rollout).fetch_one(c).await)
}

/// Up to `limit` sessions of a rollout in one state, oldest first.
pub async fn in_state(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    rollout: RolloutId,
    state: SessionState,
    limit: i64,
) -> Result<Vec<SessionRef>> {
    run!(conn, |c| sqlx::query_as(IN_STATE).bind(tenant).bind(rollout).bind(state).bind(limit).fetch_all(c).await)
}

/// A session and its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct DeviceRef {
    /// The session.
    pub id: UpdateSessionId,
    /// The device.
    pub device_id: DeviceId,
}

/// Up to `limit` sessions of a rollout in one state, oldest first, from behind `after`.
pub async fn devices_of(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    rollout: RolloutId,
    state: SessionState,
    after: UpdateSessionId,
    limit: i64,
) -> Result<Vec<DeviceRef>> {
    run!(conn, |c| sqlx::query_as(DEVICES_OF)
        .bind(tenant)
        .bind(rollout)
        .bind(state)
        .bind(after)
        .bind(limit)
        .fetch_all(c)
        .await)
}

/// The version that a running update takes a device to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TargetRow {
    /// The device.
    pub device_id: DeviceId,
    /// The version.
    pub version: Version,
}

/// What running updates take these devices to; at most some hundred devices.
pub async fn targets_of_devices(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    devices: &[DeviceId],
) -> Result<Vec<TargetRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT s.device_id, f.version FROM update_sessions s \
             JOIN firmware f ON f.tenant_id = s.tenant_id AND f.id = s.firmware_id WHERE s.tenant_id = ",
        );
        query.push_bind(tenant).push(
            " AND s.state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating') \
             AND s.device_id IN (",
        );
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(") ORDER BY s.device_id, s.component");
        query.build_query_as().fetch_all(c).await
    })
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
