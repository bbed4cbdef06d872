//! Devices.

use std::collections::HashMap;

use drover_db::{Conn, Tx, run};
use drover_types::{DeviceId, DeviceStatus, EnrolmentTokenId, GroupId, TenantId, Timestamp};

use crate::conditions::{Added, CONDITIONS, Selection, bind_added};
use crate::{Reach, Result, statements};

/// Devices of a list; conditions stand in the place of the mark.
macro_rules! listed {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM devices d WHERE d.tenant_id = $1 AND (CAST($2 AS TEXT) IS NULL OR d.device_type = $2) \
             AND (CAST($3 AS TEXT) IS NULL OR d.status = $3) AND (CAST($4 AS TEXT) IS NULL OR d.hardware_id = $4) \
             AND (CAST($5 AS UUID) IS NULL OR EXISTS (SELECT 1 FROM group_members m JOIN group_tree t \
                  ON t.tenant_id = m.tenant_id AND t.descendant_id = m.group_id \
                  WHERE m.tenant_id = d.tenant_id AND m.device_id = d.id AND t.ancestor_id = $5)) \
             /*conditions*/ /*reach device d.id*/ ",
            $tail
        )
    };
}

statements! {
    INSERT = "INSERT INTO devices (tenant_id, id, hardware_id, device_type, status, bucket, metadata, \
              enrolment_token_id, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)";
    GET = "SELECT id, hardware_id, device_type, status, metadata, agent_version, last_seen_at, created_at, updated_at \
           FROM devices WHERE tenant_id = $1 AND id = $2";
    BY_HARDWARE_ID = "SELECT id, hardware_id, device_type, status, metadata, agent_version, last_seen_at, \
                      created_at, updated_at FROM devices WHERE tenant_id = $1 AND hardware_id = $2";
    PAGE = listed!("SELECT d.id, d.hardware_id, d.device_type, d.status, d.metadata, d.agent_version, d.last_seen_at, \
                    d.created_at, d.updated_at", "AND (CAST($6 AS UUID) IS NULL OR d.id < $6) \
                    ORDER BY d.id DESC LIMIT $7");
    COUNT = listed!("SELECT COUNT(*)", "");
    SET_METADATA = "UPDATE devices SET metadata = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    CHANGED = "UPDATE devices SET updated_at = $3 WHERE tenant_id = $1 AND id = $2";
    SEEN = "UPDATE devices SET last_seen_at = $3, agent_version = COALESCE($4, agent_version) \
            WHERE tenant_id = $1 AND id = $2";
    LOCK = "SELECT enrolment_token_id FROM devices WHERE tenant_id = $1 AND id = $2";
    DELETE = "DELETE FROM devices WHERE tenant_id = $1 AND id = $2";
}

/// A device.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DeviceRow {
    /// Its id.
    pub id: DeviceId,
    /// VIN or serial number.
    pub hardware_id: String,
    /// Its kind.
    pub device_type: String,
    /// How it is doing.
    pub status: DeviceStatus,
    /// Free text by key, as JSON.
    pub metadata: String,
    /// Version of its agent.
    pub agent_version: Option<String>,
    /// When it was last heard of.
    pub last_seen_at: Option<Timestamp>,
    /// When it registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A new device.
#[derive(Debug, Clone, Copy)]
pub struct NewDevice<'a> {
    /// Its id.
    pub id: DeviceId,
    /// VIN or serial number.
    pub hardware_id: &'a str,
    /// Its kind.
    pub device_type: &'a str,
    /// 0 to 65 535: who comes first when a stage opens.
    pub bucket: i64,
    /// The token that it registers with.
    pub enrolment_token: EnrolmentTokenId,
}

/// Which devices.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From behind this one.
    pub after: Option<DeviceId>,
    /// Only of this type.
    pub device_type: Option<String>,
    /// Only with this status.
    pub status: Option<DeviceStatus>,
    /// Only with this hardware id.
    pub hardware_id: Option<String>,
    /// Only members of this static group and of those below it.
    pub group: Option<GroupId>,
    /// Only those for which all of these hold.
    pub conditions: Vec<Selection>,
}

impl Filter {
    /// The statement with the conditions in the place of its mark. Such a one is prepared for one use: there is no end to
    /// what people write, and kept, it would push others out.
    pub(crate) fn narrow(&self, sql: &str, added: &mut Added) -> String {
        let conditions = self.conditions.iter().map(|condition| format!("AND {} ", added.search(condition)));
        sql.replace(CONDITIONS, &conditions.collect::<String>())
    }
}

/// Binds `$1` to `$5` of [`listed!`].
macro_rules! bind_filter {
    ($query:expr, $tenant:expr, $filter:expr) => {
        $query
            .bind($tenant)
            .bind(&$filter.device_type)
            .bind($filter.status)
            .bind(&$filter.hardware_id)
            .bind($filter.group)
    };
}

/// Adds a device. Fails with a unique violation when the hardware id is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, device: NewDevice<'_>, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(device.id)
        .bind(device.hardware_id)
        .bind(device.device_type)
        .bind(DeviceStatus::Idle)
        .bind(device.bucket)
        .bind("{}")
        .bind(device.enrolment_token)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// The device with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: DeviceId) -> Result<Option<DeviceRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// The device with that hardware id.
pub async fn by_hardware_id(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    hardware_id: &str,
) -> Result<Option<DeviceRow>> {
    run!(conn, |c| sqlx::query_as(BY_HARDWARE_ID).bind(tenant).bind(hardware_id).fetch_optional(c).await)
}

/// Up to `limit` devices in reach, newest first.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<DeviceRow>> {
    let mut added = Added::behind(7);
    let sql = reach.limit(&filter.narrow(PAGE, &mut added));
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(filter.conditions.is_empty());
        let query = bind_filter!(query, tenant, filter).bind(filter.after).bind(limit);
        let query = bind_added!(query, added);
        reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
    })
}

/// How many devices in reach there are, wherever a page would begin.
pub async fn count(conn: impl Into<Conn<'_>>, tenant: TenantId, reach: &Reach, filter: &Filter) -> Result<i64> {
    let mut added = Added::behind(5);
    let sql = reach.limit(&filter.narrow(COUNT, &mut added));
    run!(conn, |c| {
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).persistent(filter.conditions.is_empty());
        let query = bind_added!(bind_filter!(query, tenant, filter), added);
        reach.ids().into_iter().fold(query, sqlx::query::QueryScalar::bind).fetch_one(c).await
    })
}

/// Replaces the metadata.
pub async fn set_metadata(tx: &mut Tx, tenant: TenantId, id: DeviceId, json: &str, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_METADATA).bind(tenant).bind(id).bind(json).bind(now).execute(c).await.map(drop))
}

/// Notes that something of the device was changed and holds it still until the transaction ends; false when there is
/// none.
pub async fn changed(tx: &mut Tx, tenant: TenantId, id: DeviceId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(CHANGED)
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Sets how many devices are doing, at most some thousand.
pub async fn set_status_of(
    tx: &mut Tx,
    tenant: TenantId,
    devices: &[DeviceId],
    status: DeviceStatus,
    now: Timestamp,
) -> Result<()> {
    if devices.is_empty() {
        return Ok(());
    }
    run!(tx, |c| {
        let mut query = sqlx::QueryBuilder::new("UPDATE devices SET status = ");
        query.push_bind(status).push(", updated_at = ").push_bind(now);
        query.push(" WHERE tenant_id = ").push_bind(tenant).push(" AND status <> ").push_bind(status);
        query.push(" AND id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(")");
        query.build().persistent(false).execute(c).await.map(drop)
    })
}

/// Notes a sign of life.
pub async fn seen(
    tx: &mut Tx,
    tenant: TenantId,
    id: DeviceId,
    agent_version: Option<&str>,
    now: Timestamp,
) -> Result<()> {
    run!(tx, |c| sqlx::query(SEEN).bind(tenant).bind(id).bind(now).bind(agent_version).execute(c).await.map(drop))
}

/// Notes signs of life of many devices, at most some thousand. A later one that is noted already stands, unless it lies
/// behind `now`. Devices that others are changing are passed over and returned: who waits for many rows may wait for those
/// who wait for him.
pub async fn seen_at(
    tx: &mut Tx,
    tenant: TenantId,
    sightings: &[(DeviceId, Timestamp)],
    now: Timestamp,
) -> Result<Vec<DeviceId>> {
    let all: Vec<DeviceId> = sightings.iter().map(|(device, _)| *device).collect();
    let lock = tx.dialect().for_change_skip_locked();
    let free: HashMap<DeviceId, Option<Timestamp>> =
        among(tx, tenant, &all, lock).await?.into_iter().map(|row| (row.id, row.last_seen_at)).collect();
    let passed: Vec<DeviceId> = all.into_iter().filter(|device| !free.contains_key(device)).collect();
    let is_news = |(device, at): &&(DeviceId, Timestamp)| {
        free.get(device).is_some_and(|known| known.is_none_or(|known| known < *at || known > now))
    };
    let news: Vec<_> = sightings.iter().filter(is_news).copied().collect();
    for some in news.chunks(SIGHTINGS_PER_STATEMENT) {
        set_seen(tx, tenant, some).await?;
    }
    // Those that are not there at all were deleted.
    Ok(among(tx, tenant, &passed, "").await?.into_iter().map(|row| row.id).collect())
}

/// Few enough that looking through all of them for each costs nothing.
const SIGHTINGS_PER_STATEMENT: usize = 100;

/// The ids stand there twice: joined with a list of values, SQLite read all devices.
async fn set_seen(tx: &mut Tx, tenant: TenantId, sightings: &[(DeviceId, Timestamp)]) -> Result<()> {
    run!(tx, |c| {
        let mut query = sqlx::QueryBuilder::new("UPDATE devices SET last_seen_at = CASE id");
        for (device, at) in sightings {
            query.push(" WHEN ").push_bind(*device).push(" THEN ").push_bind(*at);
        }
        query.push(" END WHERE tenant_id = ").push_bind(tenant).push(" AND id IN (");
        let mut list = query.separated(", ");
        for (device, _) in sightings {
            list.push_bind(*device);
        }
        query.push(")");
        // Its text depends on the number of rows: kept, such statements would push the others out.
        query.build().persistent(false).execute(c).await.map(drop)
    })
}

/// A device, and when it was last heard of.
#[derive(sqlx::FromRow)]
struct SeenRow {
    id: DeviceId,
    last_seen_at: Option<Timestamp>,
}

/// Which of `devices` there are; `lock` ends the statement.
async fn among(tx: &mut Tx, tenant: TenantId, devices: &[DeviceId], lock: &'static str) -> Result<Vec<SeenRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(tx, |c| {
        let mut query = sqlx::QueryBuilder::new("SELECT id, last_seen_at FROM devices WHERE tenant_id = ");
        query.push_bind(tenant).push(" AND id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(") ").push(lock);
        query.build_query_as().persistent(false).fetch_all(c).await
    })
}

/// Holds a device still until the transaction ends and returns the token that it registered with.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: DeviceId) -> Result<Option<EnrolmentTokenId>> {
    let sql = format!("{LOCK} {}", tx.dialect().for_update());
    run!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Removes a device with all that hangs on it; false when there is none.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: DeviceId) -> Result<bool> {
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(id).execute(c).await.map(|done| done.rows_affected() == 1))
}
