//! Tenants and their tree.

use drover_db::{Conn, Tx, run};
use drover_types::{TenantId, Timestamp};

use crate::{Result, statements};

/// The columns of [`TenantRow`]. The parent is whoever is one step above.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT t.id AS tenant_id, t.name, p.ancestor_id AS parent_id, t.created_at FROM tenants t \
             LEFT JOIN tenant_tree p ON p.descendant_id = t.id AND p.depth = 1 ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)";
    INSERT_SELF = "INSERT INTO tenant_tree (ancestor_id, descendant_id, depth) VALUES ($1, $1, 0)";
    INSERT_BELOW = "INSERT INTO tenant_tree (ancestor_id, descendant_id, depth) \
                    SELECT a.ancestor_id, t.id, a.depth + 1 FROM tenant_tree a JOIN tenants t ON t.id = $1 \
                    WHERE a.descendant_id = $2";
    GET = select!("WHERE t.id = $1");
    BY_NAME = select!("WHERE t.name = $1");
    ALL = select!("WHERE (CAST($1 AS UUID) IS NULL OR t.id > $1) ORDER BY t.id LIMIT $2");
    // Of the oldest schema, too.
    ANY_NAME = "SELECT name FROM tenants LIMIT 1";
    // That tenant and all below it.
    PAGE = select!("JOIN tenant_tree s ON s.descendant_id = t.id WHERE s.ancestor_id = $1 \
                    AND (CAST($2 AS UUID) IS NULL OR t.id < $2) ORDER BY t.id DESC LIMIT $3");
    IS_WITHIN = "SELECT COUNT(*) FROM tenant_tree WHERE ancestor_id = $1 AND descendant_id = $2";
    // How many are above it, itself included.
    LEVEL = "SELECT COUNT(*) FROM tenant_tree WHERE descendant_id = $1";
    TOP = "SELECT ancestor_id FROM tenant_tree WHERE descendant_id = $1 ORDER BY depth DESC LIMIT 1";
    // Changes nothing: whoever does the same waits until the transaction ends. No insert that refers to the tenant does.
    HOLD = "UPDATE tenants SET name = name WHERE id = $1";
    RENAME = "UPDATE tenants SET name = $2 WHERE id = $1";
    DELETE_FROM_TREE = "DELETE FROM tenant_tree WHERE descendant_id = $1";
    DELETE_KEYS = "DELETE FROM idempotency_keys WHERE tenant_id = $1";
    DELETE = "DELETE FROM tenants WHERE id = $1";
}

/// A tenant.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TenantRow {
    /// Its id.
    pub tenant_id: TenantId,
    /// Its name, unique in the installation.
    pub name: String,
    /// The tenant that it is part of.
    pub parent_id: Option<TenantId>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Adds a tenant below `parent`, or at the top. Fails with a unique violation when the name is taken.
pub async fn insert(tx: &mut Tx, id: TenantId, parent: Option<TenantId>, name: &str, now: Timestamp) -> Result<()> {
    run!(&mut *tx, |c| sqlx::query(INSERT).bind(id).bind(name).bind(now).execute(c).await.map(drop))?;
    run!(&mut *tx, |c| sqlx::query(INSERT_SELF).bind(id).execute(c).await.map(drop))?;
    if let Some(parent) = parent {
        run!(tx, |c| sqlx::query(INSERT_BELOW).bind(id).bind(parent).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// The tenant with that id.
pub async fn get(conn: impl Into<Conn<'_>>, id: TenantId) -> Result<Option<TenantRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(id).fetch_optional(c).await)
}

/// The tenant of that name.
pub async fn by_name(conn: impl Into<Conn<'_>>, name: &str) -> Result<Option<TenantRow>> {
    run!(conn, |c| sqlx::query_as(BY_NAME).bind(name).fetch_optional(c).await)
}

/// Up to `limit` tenants, oldest first.
pub async fn all(conn: impl Into<Conn<'_>>, limit: i64) -> Result<Vec<TenantRow>> {
    all_behind(conn, None, limit).await
}

/// Up to `limit` tenants from behind `after`, oldest first.
pub async fn all_behind(conn: impl Into<Conn<'_>>, after: Option<TenantId>, limit: i64) -> Result<Vec<TenantRow>> {
    run!(conn, |c| sqlx::query_as(ALL).bind(after).bind(limit).fetch_all(c).await)
}

/// The name of some tenant; none when the installation is empty. The schema may be any since the first.
pub async fn any_name(conn: impl Into<Conn<'_>>) -> Result<Option<String>> {
    run!(conn, |c| sqlx::query_scalar(ANY_NAME).fetch_optional(c).await)
}

/// Up to `limit` of `top` and the tenants below it, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    top: TenantId,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(top).bind(after).bind(limit).fetch_all(c).await)
}

/// Whether `tenant` is `top` or below it.
pub async fn is_within(conn: impl Into<Conn<'_>>, top: TenantId, tenant: TenantId) -> Result<bool> {
    let found: i64 = run!(conn, |c| sqlx::query_scalar(IS_WITHIN).bind(top).bind(tenant).fetch_one(c).await)?;
    Ok(found == 1)
}

/// How deep it lies: 1 at the top; 0 when there is no such tenant.
pub async fn level(conn: impl Into<Conn<'_>>, id: TenantId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(LEVEL).bind(id).fetch_one(c).await)
}

/// Lets one transaction at a time decide about the shape of a tenant: its tree of groups.
pub async fn hold(tx: &mut Tx, id: TenantId) -> Result<()> {
    run!(tx, |c| sqlx::query(HOLD).bind(id).execute(c).await.map(drop))
}

/// Lets one transaction at a time decide who owns the tenants of a tree.
pub async fn hold_tree(tx: &mut Tx, id: TenantId) -> Result<()> {
    let top: Option<TenantId> = run!(&mut *tx, |c| sqlx::query_scalar(TOP).bind(id).fetch_optional(c).await)?;
    hold(tx, top.unwrap_or(id)).await
}

/// Renames a tenant. Fails with a unique violation when the name is taken.
pub async fn rename(tx: &mut Tx, id: TenantId, name: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(RENAME).bind(id).bind(name).execute(c).await.map(drop))
}

/// Removes a tenant; false when there is none. Fails with a foreign key violation while anything is in it.
pub async fn delete(tx: &mut Tx, id: TenantId) -> Result<bool> {
    for sql in [DELETE_FROM_TREE, DELETE_KEYS] {
        run!(&mut *tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))?;
    }
    run!(tx, |c| sqlx::query(DELETE).bind(id).execute(c).await.map(|done| done.rows_affected() == 1))
}
