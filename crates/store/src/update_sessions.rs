//! Update sessions: one device's passage through one rollout.

use std::collections::BTreeSet;

use drover_db::{Conn, Db, Tx, run};
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
    // In this order: without it, SQLite reads all sessions of the tenant in an index that has both.
    ROLLOUTS = "SELECT rollout_id FROM update_sessions WHERE tenant_id = $1 AND id IN ($2/*more*/) ORDER BY id";
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
}

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

/// Has the database look at how many sessions there are, after many came at once: `PostgreSQL` takes them for few, and
/// reads all of a tenant's to find some by their ids. See [`drover_db::analyze`].
pub async fn analyze(db: &Db) -> Result<()> {
    drover_db::analyze(db, "update_sessions").await
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

/// The rollouts of these sessions, at least one and at most some thousand.
pub async fn rollouts(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    ids: &[UpdateSessionId],
) -> Result<BTreeSet<RolloutId>> {
    let sql = with_list(ROLLOUTS, 2, ids.len());
    let rollouts: Vec<RolloutId> = run!(conn, |c| {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).persistent(ids.len() == 1).bind(tenant);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })?;
    Ok(rollouts.into_iter().collect())
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
        query.build_query_as().persistent(false).fetch_all(c).await
    })
}
