//! What users may do: a role with its scope.

use drover_db::{Conn, Tx, run};
use drover_types::{GrantId, GroupId, Role, TenantId, Timestamp, UserId};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO grants (tenant_id, id, user_id, role, scope_tenant_id, group_id, created_at) \
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    OF_USER = "SELECT id, user_id, role, scope_tenant_id, group_id, created_at FROM grants \
               WHERE tenant_id = $1 AND user_id = $2 ORDER BY id LIMIT $3";
    GET = "SELECT id, user_id, role, scope_tenant_id, group_id, created_at FROM grants \
           WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
    DELETE = "DELETE FROM grants WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
    // Those that hold in $3: of that tenant or one above it, and of its own groups.
    IN_TENANT = "SELECT g.role, g.group_id FROM grants g JOIN tenant_tree t ON t.ancestor_id = g.scope_tenant_id \
                 WHERE g.tenant_id = $1 AND g.user_id = $2 AND t.descendant_id = $3 \
                 AND (g.group_id IS NULL OR g.scope_tenant_id = $3) ORDER BY g.id LIMIT $4";
    // Enabled owners of $1, its own and those of tenants above, but for one user and one grant.
    OWNERS = "SELECT COUNT(*) FROM grants g JOIN users u ON u.tenant_id = g.tenant_id AND u.id = g.user_id \
              JOIN tenant_tree t ON t.ancestor_id = g.scope_tenant_id \
              WHERE t.descendant_id = $1 AND g.role = 'owner' AND g.group_id IS NULL AND u.disabled_at IS NULL \
              AND (CAST($2 AS UUID) IS NULL OR g.user_id <> $2) AND (CAST($3 AS UUID) IS NULL OR g.id <> $3)";
    // Those over the tenant $1 and its groups, or only over its group $2, whosever they are.
    OVER = "SELECT tenant_id, id, user_id, role, scope_tenant_id, group_id, created_at FROM grants \
            WHERE scope_tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR group_id = $2) ORDER BY id LIMIT $3";
    DELETE_OF_SCOPE = "DELETE FROM grants WHERE scope_tenant_id = $1";
}

/// A role of a user with its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct GrantRow {
    /// Its id.
    pub id: GrantId,
    /// Whose it is.
    pub user_id: UserId,
    /// The role.
    pub role: Role,
    /// It holds in this tenant and those below it …
    pub scope_tenant_id: TenantId,
    /// … or only in this group of it and those below.
    pub group_id: Option<GroupId>,
    /// When it was given.
    pub created_at: Timestamp,
}

/// A grant with the tenant of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct OverRow {
    /// The user's tenant.
    pub tenant_id: TenantId,
    /// The grant.
    #[sqlx(flatten)]
    pub grant: GrantRow,
}

/// What holds in one tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct HeldRow {
    /// The role.
    pub role: Role,
    /// Only in this group and those below it.
    pub group_id: Option<GroupId>,
}

/// Who or what is left out when owners are counted.
#[derive(Debug, Clone, Copy)]
pub enum Without {
    /// All grants of this user.
    User(UserId),
    /// This grant.
    Grant(GrantId),
}

/// Adds a grant.
pub async fn insert(tx: &mut Tx, tenant: TenantId, grant: &GrantRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(grant.id)
        .bind(grant.user_id)
        .bind(grant.role)
        .bind(grant.scope_tenant_id)
        .bind(grant.group_id)
        .bind(grant.created_at)
        .execute(c)
        .await
        .map(drop))
}

/// Up to `limit` grants of a user of `tenant`, oldest first.
pub async fn of_user(conn: impl Into<Conn<'_>>, tenant: TenantId, user: UserId, limit: i64) -> Result<Vec<GrantRow>> {
    run!(conn, |c| sqlx::query_as(OF_USER).bind(tenant).bind(user).bind(limit).fetch_all(c).await)
}

/// One grant of a user of `tenant`.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, user: UserId, id: GrantId) -> Result<Option<GrantRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(user).bind(id).fetch_optional(c).await)
}

/// Takes a grant back; false when there is none.
pub async fn delete(tx: &mut Tx, tenant: TenantId, user: UserId, id: GrantId) -> Result<bool> {
    run!(tx, |c| sqlx::query(DELETE)
        .bind(tenant)
        .bind(user)
        .bind(id)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// What a user of `tenant` holds in `there`, at most `limit` grants.
pub async fn in_tenant(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    user: UserId,
    there: TenantId,
    limit: i64,
) -> Result<Vec<HeldRow>> {
    run!(conn, |c| sqlx::query_as(IN_TENANT).bind(tenant).bind(user).bind(there).bind(limit).fetch_all(c).await)
}

/// How many grants make an enabled user owner of `tenant`: its own users and those of tenants above.
pub async fn count_owners(conn: impl Into<Conn<'_>>, tenant: TenantId, without: Without) -> Result<i64> {
    let (user, grant) = match without {
        Without::User(user) => (Some(user), None),
        Without::Grant(grant) => (None, Some(grant)),
    };
    run!(conn, |c| sqlx::query_scalar(OWNERS).bind(tenant).bind(user).bind(grant).fetch_one(c).await)
}

/// Up to `limit` grants that hold over a tenant with its groups, or over one of these.
pub async fn over(
    conn: impl Into<Conn<'_>>,
    scope: TenantId,
    group: Option<GroupId>,
    limit: i64,
) -> Result<Vec<OverRow>> {
    run!(conn, |c| sqlx::query_as(OVER).bind(scope).bind(group).bind(limit).fetch_all(c).await)
}

/// Takes back all grants on a tenant that is about to go.
pub async fn delete_of_scope(tx: &mut Tx, scope: TenantId) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE_OF_SCOPE).bind(scope).execute(c).await.map(drop))
}
