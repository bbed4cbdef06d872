//! Server-side sessions of users.

use drover_db::{Conn, Tx, run};
use drover_types::{LoginId, Sha256Digest, TenantId, Timestamp, UserId};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO logins (tenant_id, id, user_id, secret_sha256, created_at, expires_at) \
              VALUES ($1, $2, $3, $4, $5, $6)";
    GET = "SELECT l.user_id, u.username, l.secret_sha256, l.expires_at, l.revoked_at FROM logins l \
           JOIN users u ON u.tenant_id = l.tenant_id AND u.id = l.user_id WHERE l.tenant_id = $1 AND l.id = $2";
    REVOKE = "UPDATE logins SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
    REVOKE_ALL = "UPDATE logins SET revoked_at = $3 WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL";
    DELETE_EXPIRED = "DELETE FROM logins WHERE tenant_id = $1 AND expires_at < $2";
}

/// A server-side session of a user.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LoginRow {
    /// Whose it is.
    pub user_id: UserId,
    /// That user's name.
    pub username: String,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was ended early.
    pub revoked_at: Option<Timestamp>,
}

/// A new server-side session.
#[derive(Debug, Clone, Copy)]
pub struct NewLogin {
    /// Its id.
    pub id: LoginId,
    /// Whose it is.
    pub user_id: UserId,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Opens one.
pub async fn insert(tx: &mut Tx, tenant: TenantId, login: NewLogin, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(login.id)
        .bind(login.user_id)
        .bind(login.secret_sha256)
        .bind(now)
        .bind(login.expires_at)
        .execute(c)
        .await
        .map(drop))
}

/// The one with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: LoginId) -> Result<Option<LoginRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Ends it early.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: LoginId, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE).bind(tenant).bind(id).bind(now).execute(c).await.map(drop))
}

/// Ends all of a user.
pub async fn revoke_all(tx: &mut Tx, tenant: TenantId, user: UserId, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE_ALL).bind(tenant).bind(user).bind(now).execute(c).await.map(drop))
}

/// Forgets those that ended before `before`.
pub async fn delete_expired(tx: &mut Tx, tenant: TenantId, before: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE_EXPIRED).bind(tenant).bind(before).execute(c).await.map(drop))
}
