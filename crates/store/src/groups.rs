//! Groups: static ones with their members, dynamic ones with their conditions. Their tree is `group_tree.rs`.

use drover_db::{Conn, Tx, run};
use drover_types::{DeviceId, GroupId, TenantId, Timestamp};

use crate::{Reach, Result, group_tree, statements};

/// The columns of [`GroupRow`]. The parent is whoever is one step above.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT g.id, g.name, g.description, g.condition, p.ancestor_id AS parent_id, g.created_at, g.updated_at \
             FROM device_groups g \
             LEFT JOIN group_tree p ON p.tenant_id = g.tenant_id AND p.descendant_id = g.id AND p.depth = 1 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO device_groups (tenant_id, id, name, description, created_at, updated_at) \
              VALUES ($1, $2, $3, $4, $5, $5)";
    GET = select!("WHERE g.tenant_id = $1 AND g.id = $2");
    PAGE = select!("WHERE g.tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR g.id < $2) /*reach group g.id*/ \
                    ORDER BY g.id DESC LIMIT $3");
    // Each group is asked for by itself: over a join, SQLite would go through all memberships of the tenant.
    // CROSS JOIN lets SQLite begin at the tree; it would read all members of the tenant for each group.
    COUNTS = "SELECT g.id, (SELECT COUNT(DISTINCT m.device_id) FROM group_tree t CROSS JOIN group_members m \
              WHERE t.tenant_id = g.tenant_id AND t.ancestor_id = g.id \
              AND m.tenant_id = g.tenant_id AND m.group_id = t.descendant_id) \
              FROM device_groups g WHERE g.tenant_id = $1 AND g.id >= $2 AND g.id <= $3 AND g.condition IS NULL \
              /*reach group g.id*/";
    LOCK = "SELECT id FROM device_groups WHERE tenant_id = $1 AND id = $2";
    UPDATE = "UPDATE device_groups SET name = $3, description = $4, updated_at = $5 WHERE tenant_id = $1 AND id = $2";
    BY_NAME = "SELECT g.id, g.condition FROM device_groups g WHERE g.tenant_id = $1 AND g.name = $2";
    LOCK_BY_NAME = "SELECT g.id, g.condition FROM device_groups g WHERE g.tenant_id = $1 AND g.name = $2";
    SET_CONDITION = "UPDATE device_groups SET condition = $3 WHERE tenant_id = $1 AND id = $2";
    DELETE = "DELETE FROM device_groups WHERE tenant_id = $1 AND id = $2";
    // Unknown devices insert nothing: the count tells.
    ADD = "INSERT INTO group_members (tenant_id, group_id, device_id) \
           SELECT d.tenant_id, $2, d.id FROM devices d WHERE d.tenant_id = $1 AND d.id = $3 \
           ON CONFLICT (tenant_id, group_id, device_id) DO NOTHING";
    IS_MEMBER = "SELECT COUNT(*) FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND device_id = $3";
    REMOVE = "DELETE FROM group_members WHERE tenant_id = $1 AND group_id = $2 AND device_id = $3";
    LEAVE_ALL = "DELETE FROM group_members WHERE tenant_id = $1 AND device_id = $2 /*reach group group_id*/";
    OF_DEVICE = "SELECT device_id, group_id FROM group_members WHERE tenant_id = $1 AND device_id = $2 \
                 ORDER BY group_id";
}

/// A group.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct GroupRow {
    /// Its id.
    pub id: GroupId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The group that it is part of.
    pub parent_id: Option<GroupId>,
    /// Who is in it, when it is dynamic.
    pub condition: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its name or description last changed.
    pub updated_at: Timestamp,
}

/// A group and what decides who is in it.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NamedRow {
    /// The group.
    pub id: GroupId,
    /// Its condition, when it is dynamic.
    pub condition: Option<String>,
}

/// When a device came into a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// With this call.
    Now,
    /// It was in it already.
    Before,
}

/// A device is in a group.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct MemberRow {
    /// The device.
    pub device_id: DeviceId,
    /// The group.
    pub group_id: GroupId,
}

/// Adds a group at the top of the tree. Fails with a unique violation when the name is taken.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    id: GroupId,
    name: &str,
    description: &str,
    now: Timestamp,
) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(id)
        .bind(name)
        .bind(description)
        .bind(now)
        .execute(c)
        .await
        .map(drop))?;
    group_tree::insert(tx, tenant, id).await
}

/// The group with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: GroupId) -> Result<Option<GroupRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` groups in reach, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    after: Option<GroupId>,
    limit: i64,
) -> Result<Vec<GroupRow>> {
    let sql = reach.limit(PAGE);
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(after).bind(limit);
        reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
    })
}

/// How many devices were put into each static group in reach, and into those below it, from the group `first` to `last` in
/// the order of their ids.
pub async fn counts(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    first: GroupId,
    last: GroupId,
) -> Result<Vec<(GroupId, i64)>> {
    let sql = reach.limit(COUNTS);
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(first).bind(last);
        reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
    })
}

/// Holds a group still until the transaction ends; false when there is none.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: GroupId) -> Result<bool> {
    let sql = format!("{LOCK} {}", tx.dialect().for_update());
    let found: Option<GroupId> =
        run!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Renames a group; false when there is none.
pub async fn update(
    tx: &mut Tx,
    tenant: TenantId,
    id: GroupId,
    name: &str,
    description: &str,
    now: Timestamp,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(UPDATE)
        .bind(tenant)
        .bind(id)
        .bind(name)
        .bind(description)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// The group with that name.
pub async fn by_name(conn: impl Into<Conn<'_>>, tenant: TenantId, name: &str) -> Result<Option<NamedRow>> {
    run!(conn, |c| sqlx::query_as(BY_NAME).bind(tenant).bind(name).fetch_optional(c).await)
}

/// The same, held still until the transaction ends. Others may hold it as well: nobody who does changes it.
pub async fn lock_by_name(tx: &mut Tx, tenant: TenantId, name: &str) -> Result<Option<NamedRow>> {
    let sql = format!("{LOCK_BY_NAME} {}", tx.dialect().for_share());
    run!(tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(name).fetch_optional(c).await)
}

/// Says who is in a dynamic group.
pub async fn set_condition(tx: &mut Tx, tenant: TenantId, id: GroupId, condition: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_CONDITION).bind(tenant).bind(id).bind(condition).execute(c).await.map(drop))
}

/// Removes a group; false when there is none. Fails with a foreign key violation while a rollout targets it, or a group
/// is below it.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: GroupId) -> Result<bool> {
    group_tree::remove(tx, tenant, id).await?;
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(id).execute(c).await.map(|done| done.rows_affected() == 1))
}

/// Puts a device into a group, and says whether it was in it already; none when the device does not exist.
pub async fn add(tx: &mut Tx, tenant: TenantId, group: GroupId, device: DeviceId) -> Result<Option<Added>> {
    let added = run!(&mut *tx, |c| sqlx::query(ADD)
        .bind(tenant)
        .bind(group)
        .bind(device)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))?;
    if added {
        return Ok(Some(Added::Now));
    }
    let there: i64 =
        run!(tx, |c| sqlx::query_scalar(IS_MEMBER).bind(tenant).bind(group).bind(device).fetch_one(c).await)?;
    Ok((there == 1).then_some(Added::Before))
}

/// Takes a device out of a group; false when it was not in it.
pub async fn remove(tx: &mut Tx, tenant: TenantId, group: GroupId, device: DeviceId) -> Result<bool> {
    run!(tx, |c| sqlx::query(REMOVE)
        .bind(tenant)
        .bind(group)
        .bind(device)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Takes a device out of all groups in reach.
pub async fn leave_all(tx: &mut Tx, tenant: TenantId, reach: &Reach, device: DeviceId) -> Result<()> {
    let sql = reach.limit(LEAVE_ALL);
    run!(tx, |c| {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(device);
        reach.ids().into_iter().fold(query, sqlx::query::Query::bind).execute(c).await.map(drop)
    })
}

/// The groups of a device.
pub async fn of_device(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<Vec<MemberRow>> {
    run!(conn, |c| sqlx::query_as(OF_DEVICE).bind(tenant).bind(device).fetch_all(c).await)
}

/// The groups in reach of these devices; at most some hundred devices.
pub async fn of_devices(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    devices: &[DeviceId],
) -> Result<Vec<MemberRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new("SELECT device_id, group_id FROM group_members WHERE tenant_id = ");
        query.push_bind(tenant).push(" AND device_id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(")");
        if let Reach::Groups(groups) = reach {
            query.push(" AND group_id IN (SELECT t.descendant_id FROM group_tree t WHERE t.tenant_id = ");
            query.push_bind(tenant).push(" AND t.ancestor_id IN (");
            let mut list = query.separated(", ");
            for group in groups {
                list.push_bind(*group);
            }
            query.push("))");
        }
        query.push(" ORDER BY device_id, group_id");
        query.build_query_as().fetch_all(c).await
    })
}
