//! Keys for programs.

use drover_db::{Conn, Tx, run};
use drover_types::{ApiKeyId, Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO api_keys (tenant_id, id, name, secret_sha256, created_at, expires_at) \
              VALUES ($1, $2, $3, $4, $5, $6)";
    GET = "SELECT id, name, secret_sha256, created_at, expires_at, revoked_at FROM api_keys \
           WHERE tenant_id = $1 AND id = $2";
    PAGE = "SELECT id, name, secret_sha256, created_at, expires_at, revoked_at FROM api_keys \
            WHERE tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
    REVOKE = "UPDATE api_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
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
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
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
        .bind(key.created_at)
        .bind(key.expires_at)
        .execute(c)
        .await
        .map(drop))
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
