//! Server-side sessions of users.

use drover_db::{Conn, Tx, run};
use drover_types::{LoginId, Sha256Digest, TenantId, Timestamp, UserId};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO logins (tenant_id, id, user_id, secret_sha256, created_at, expires_at, address) \
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    GET = "SELECT l.user_id, u.username, l.secret_sha256, l.expires_at, l.revoked_at FROM logins l \
           JOIN users u ON u.tenant_id = l.tenant_id AND u.id = l.user_id WHERE l.tenant_id = $1 AND l.id = $2 \
           AND u.disabled_at IS NULL";
    OF_USER = "SELECT id, created_at, expires_at, address FROM logins WHERE tenant_id = $1 AND user_id = $2 \
               AND revoked_at IS NULL AND expires_at > $3 AND (CAST($4 AS UUID) IS NULL OR id < $4) \
               ORDER BY id DESC LIMIT $5";
    REVOKE_OWN = "UPDATE logins SET revoked_at = $4 WHERE tenant_id = $1 AND user_id = $2 AND id = $3 \
                  AND revoked_at IS NULL";
    REVOKE_OTHERS = "UPDATE logins SET revoked_at = $4 WHERE tenant_id = $1 AND user_id = $2 \
                     AND (CAST($3 AS UUID) IS NULL OR id <> $3) AND revoked_at IS NULL";
    DELETE_OF_USER = "DELETE FROM logins WHERE tenant_id = $1 AND user_id = $2";
    REVOKE = "UPDATE logins SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
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
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// Its id.
    pub id: LoginId,
    /// Whose it is.
    pub user_id: UserId,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Where it is opened from.
    pub address: Option<String>,
}

/// An open session, as its user sees it.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OpenRow {
    /// Its id.
    pub id: LoginId,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Where it was opened from.
    pub address: Option<String>,
}

/// Opens one.
pub async fn insert(tx: &mut Tx, tenant: TenantId, login: &NewLogin, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(login.id)
        .bind(login.user_id)
        .bind(login.secret_sha256)
        .bind(now)
        .bind(login.expires_at)
        .bind(&login.address)
        .execute(c)
        .await
        .map(drop))
}

/// The one with that id, unless its user is disabled.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: LoginId) -> Result<Option<LoginRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Ends it early.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: LoginId, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE).bind(tenant).bind(id).bind(now).execute(c).await.map(drop))
}

/// Up to `limit` open sessions of a user, newest first, from behind `after`.
pub async fn of_user(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    user: UserId,
    now: Timestamp,
    after: Option<LoginId>,
    limit: i64,
) -> Result<Vec<OpenRow>> {
    run!(conn, |c| sqlx::query_as(OF_USER).bind(tenant).bind(user).bind(now).bind(after).bind(limit).fetch_all(c).await)
}

/// Ends one of a user; false when he has no such open session.
pub async fn revoke_own(tx: &mut Tx, tenant: TenantId, user: UserId, id: LoginId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(REVOKE_OWN)
        .bind(tenant)
        .bind(user)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Ends all of a user, but for `keep`.
pub async fn revoke_others(
    tx: &mut Tx,
    tenant: TenantId,
    user: UserId,
    keep: Option<LoginId>,
    now: Timestamp,
) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE_OTHERS).bind(tenant).bind(user).bind(keep).bind(now).execute(c).await.map(drop))
}

/// Forgets all of a user.
pub async fn delete_of_user(tx: &mut Tx, tenant: TenantId, user: UserId) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE_OF_USER).bind(tenant).bind(user).execute(c).await.map(drop))
}

/// Forgets those that ended before `before`.
pub async fn delete_expired(tx: &mut Tx, tenant: TenantId, before: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE_EXPIRED).bind(tenant).bind(before).execute(c).await.map(drop))
}
