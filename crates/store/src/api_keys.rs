//! Keys for programs.

use drover_db::{Conn, Tx, run};
use drover_types::{ApiKeyId, GroupId, Sha256Digest, TenantId, Timestamp, UserId};

use crate::{Result, statements};

/// The columns of [`ApiKeyRow`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.id, k.name, k.secret_sha256, k.user_id, k.scopes, k.group_id, k.addresses, k.created_at, \
             k.expires_at, k.last_used_at, k.revoked_at FROM api_keys k ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO api_keys (tenant_id, id, name, secret_sha256, user_id, scopes, group_id, addresses, \
              created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    GET = select!("WHERE k.tenant_id = $1 AND k.id = $2");
    // A key works as long as whoever made it may do anything.
    LIVING = select!("JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id \
                      WHERE k.tenant_id = $1 AND k.id = $2 AND k.revoked_at IS NULL AND u.disabled_at IS NULL");
    PAGE = select!("WHERE k.tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR k.id < $2) ORDER BY k.id DESC LIMIT $3");
    REVOKE = "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
    REVOKE_OF_USER = "UPDATE api_keys SET revoked_at = $3 \
                      WHERE tenant_id = $1 AND user_id = $2 AND revoked_at IS NULL RETURNING id";
    USED = "UPDATE api_keys SET last_used_at = $3 WHERE tenant_id = $1 AND id = $2 \
            AND (last_used_at IS NULL OR last_used_at < $3)";
}

/// A key for a program.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ApiKeyRow {
    /// Its id.
    pub id: ApiKeyId,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// Whose rights it has.
    pub user_id: Option<UserId>,
    /// Permissions that it is limited to, with blanks between; none: all of its maker's.
    pub scopes: Option<String>,
    /// The group that it is limited to, with those below.
    pub group_id: Option<GroupId>,
    /// Networks that it may be used from, with blanks between; none: any.
    pub addresses: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, tenant: TenantId, key: &ApiKeyRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(key.id)
        .bind(&key.name)
        .bind(key.secret_sha256)
        .bind(key.user_id)
        .bind(&key.scopes)
        .bind(key.group_id)
        .bind(&key.addresses)
        .bind(key.created_at)
        .bind(key.expires_at)
        .execute(c)
        .await
        .map(drop))
}

/// The key with that id, unless it was revoked or its maker is disabled or gone.
pub async fn living(conn: impl Into<Conn<'_>>, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKeyRow>> {
    run!(conn, |c| sqlx::query_as(LIVING).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Notes that a key was used.
pub async fn used(tx: &mut Tx, tenant: TenantId, id: ApiKeyId, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(USED).bind(tenant).bind(id).bind(now).execute(c).await.map(drop))
}

/// Revokes all keys of a user and says which they were.
pub async fn revoke_of_user(tx: &mut Tx, tenant: TenantId, user: UserId, now: Timestamp) -> Result<Vec<ApiKeyId>> {
    run!(tx, |c| sqlx::query_scalar(REVOKE_OF_USER).bind(tenant).bind(user).bind(now).fetch_all(c).await)
}

/// The key with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKeyRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` keys, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: Option<ApiKeyId>,
    limit: i64,
) -> Result<Vec<ApiKeyRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(tenant).bind(after).bind(limit).fetch_all(c).await)
}

/// Revokes a key; false when there is none to revoke.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: ApiKeyId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(REVOKE)
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}
