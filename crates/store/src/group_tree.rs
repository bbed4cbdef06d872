//! The tree of a tenant's groups: each with all that are above it, and with itself at depth 0.
//!
//! Whoever changes the tree holds the tenant ([`crate::tenants::hold`]) first: of two changes at a time each would miss
//! what the other moves.

use drover_db::{Conn, Tx, run};
use drover_types::{GroupId, TenantId};

use crate::{Result, statements};

statements! {
    INSERT_SELF = "INSERT INTO group_tree (tenant_id, ancestor_id, descendant_id, depth) VALUES ($1, $2, $2, 0)";
    // Each pair of one above (or at) the parent and one below (or at) the group.
    ATTACH = "INSERT INTO group_tree (tenant_id, ancestor_id, descendant_id, depth) \
              SELECT a.tenant_id, a.ancestor_id, d.descendant_id, a.depth + d.depth + 1 \
              FROM group_tree a JOIN group_tree d ON d.tenant_id = a.tenant_id \
              WHERE a.tenant_id = $1 AND a.descendant_id = $3 AND d.ancestor_id = $2";
    DETACH = "DELETE FROM group_tree WHERE tenant_id = $1 \
              AND descendant_id IN (SELECT b.descendant_id FROM group_tree b WHERE b.tenant_id = $1 \
                                    AND b.ancestor_id = $2) \
              AND ancestor_id NOT IN (SELECT b.descendant_id FROM group_tree b WHERE b.tenant_id = $1 \
                                      AND b.ancestor_id = $2)";
    REMOVE = "DELETE FROM group_tree WHERE tenant_id = $1 AND descendant_id = $2";
    // How many are above it, itself included.
    LEVEL = "SELECT COUNT(*) FROM group_tree WHERE tenant_id = $1 AND descendant_id = $2";
    HEIGHT = "SELECT COALESCE(MAX(depth), 0) FROM group_tree WHERE tenant_id = $1 AND ancestor_id = $2";
    IS_WITHIN = "SELECT COUNT(*) FROM group_tree WHERE tenant_id = $1 AND ancestor_id = $2 AND descendant_id = $3";
}

/// Puts a new group into the tree, at the top.
pub async fn insert(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT_SELF).bind(tenant).bind(group).execute(c).await.map(drop))
}

/// Puts a group that is at the top, with all below it, below `parent`.
pub async fn attach(tx: &mut Tx, tenant: TenantId, group: GroupId, parent: GroupId) -> Result<()> {
    run!(tx, |c| sqlx::query(ATTACH).bind(tenant).bind(group).bind(parent).execute(c).await.map(drop))
}

/// Takes a group, with all below it, to the top.
pub async fn detach(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    run!(tx, |c| sqlx::query(DETACH).bind(tenant).bind(group).execute(c).await.map(drop))
}

/// Takes a group that is about to go out of the tree. What is below it then refuses its removal.
pub async fn remove(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    run!(tx, |c| sqlx::query(REMOVE).bind(tenant).bind(group).execute(c).await.map(drop))
}

/// How deep a group lies: 1 at the top; 0 when there is no such group.
pub async fn level(conn: impl Into<Conn<'_>>, tenant: TenantId, group: GroupId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(LEVEL).bind(tenant).bind(group).fetch_one(c).await)
}

/// How many levels are below a group.
pub async fn height(conn: impl Into<Conn<'_>>, tenant: TenantId, group: GroupId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(HEIGHT).bind(tenant).bind(group).fetch_one(c).await)
}

/// Whether `group` is `top` or below it.
pub async fn is_within(conn: impl Into<Conn<'_>>, tenant: TenantId, top: GroupId, group: GroupId) -> Result<bool> {
    let found: i64 =
        run!(conn, |c| sqlx::query_scalar(IS_WITHIN).bind(tenant).bind(top).bind(group).fetch_one(c).await)?;
    Ok(found == 1)
}
