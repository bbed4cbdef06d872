//! Users.

use drover_db::{Conn, Tx, run};
use drover_types::{TenantId, Timestamp, UserId};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO users (tenant_id, id, username, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    SET_PASSWORD = "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2";
    // Changes nothing: whoever changes the user waits until the transaction ends.
    HOLD_UNCHANGED = "UPDATE users SET password_hash = password_hash \
                      WHERE tenant_id = $1 AND id = $2 AND password_hash = $3 AND disabled_at IS NULL";
    SET_DISABLED = "UPDATE users SET disabled_at = $3 WHERE tenant_id = $1 AND id = $2";
    RENAME = "UPDATE users SET username = $3 WHERE tenant_id = $1 AND id = $2";
    DELETE = "DELETE FROM users WHERE tenant_id = $1 AND id = $2";
    GET = "SELECT id, username, password_hash, created_at, disabled_at FROM users WHERE tenant_id = $1 AND id = $2";
    BY_USERNAME = "SELECT id, username, password_hash, created_at, disabled_at FROM users \
                   WHERE tenant_id = $1 AND username = $2";
    PAGE = "SELECT id, username, password_hash, created_at, disabled_at FROM users \
            WHERE tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
}

/// A user.
#[derive(Clone, sqlx::FromRow)]
pub struct UserRow {
    /// The user's id.
    pub id: UserId,
    /// The user's name.
    pub username: String,
    /// The password as an argon2id PHC string.
    pub password_hash: String,
    /// When the user was added.
    pub created_at: Timestamp,
    /// Since when the user may do nothing.
    pub disabled_at: Option<Timestamp>,
}

/// Adds a user. Fails with a unique violation when the name is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, user: &UserRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(user.id)
        .bind(&user.username)
        .bind(&user.password_hash)
        .bind(user.created_at)
        .execute(c)
        .await
        .map(drop))
}

/// The user with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: UserId) -> Result<Option<UserRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// The user of that name.
pub async fn by_username(conn: impl Into<Conn<'_>>, tenant: TenantId, username: &str) -> Result<Option<UserRow>> {
    run!(conn, |c| sqlx::query_as(BY_USERNAME).bind(tenant).bind(username).fetch_optional(c).await)
}

/// Up to `limit` users, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(tenant).bind(after).bind(limit).fetch_all(c).await)
}

/// Replaces a user's password.
pub async fn set_password(tx: &mut Tx, tenant: TenantId, id: UserId, password_hash: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_PASSWORD).bind(tenant).bind(id).bind(password_hash).execute(c).await.map(drop))
}

/// Holds a user still until the transaction ends; false when the password is another one by now, or the user disabled.
pub async fn hold_unchanged(tx: &mut Tx, tenant: TenantId, id: UserId, password_hash: &str) -> Result<bool> {
    run!(tx, |c| sqlx::query(HOLD_UNCHANGED)
        .bind(tenant)
        .bind(id)
        .bind(password_hash)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Says since when the user may do nothing; none lets him again.
pub async fn set_disabled(tx: &mut Tx, tenant: TenantId, id: UserId, since: Option<Timestamp>) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_DISABLED).bind(tenant).bind(id).bind(since).execute(c).await.map(drop))
}

/// Renames a user. Fails with a unique violation when the name is taken.
pub async fn rename(tx: &mut Tx, tenant: TenantId, id: UserId, username: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(RENAME).bind(tenant).bind(id).bind(username).execute(c).await.map(drop))
}

/// Removes a user with his grants. His logins have to go before.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: UserId) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(id).execute(c).await.map(drop))
}
