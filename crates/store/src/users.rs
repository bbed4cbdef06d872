//! Users.

use drover_db::{Conn, Tx, run};
use drover_types::{TenantId, Timestamp, UserId};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO users (tenant_id, id, username, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)";
    SET_PASSWORD = "UPDATE users SET password_hash = $3 WHERE tenant_id = $1 AND id = $2";
    BY_USERNAME = "SELECT id, username, password_hash FROM users WHERE tenant_id = $1 AND username = $2";
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
}

/// Adds a user.
pub async fn insert(tx: &mut Tx, tenant: TenantId, user: &UserRow, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(user.id)
        .bind(&user.username)
        .bind(&user.password_hash)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// The user of that name.
pub async fn by_username(conn: impl Into<Conn<'_>>, tenant: TenantId, username: &str) -> Result<Option<UserRow>> {
    run!(conn, |c| sqlx::query_as(BY_USERNAME).bind(tenant).bind(username).fetch_optional(c).await)
}

/// Replaces a user's password.
pub async fn set_password(tx: &mut Tx, tenant: TenantId, id: UserId, password_hash: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_PASSWORD).bind(tenant).bind(id).bind(password_hash).execute(c).await.map(drop))
}
