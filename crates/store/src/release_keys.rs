//! Public keys that may sign firmware.

use drover_db::{Conn, Tx, run};
use drover_types::{KeyAlgorithm, ReleaseKeyId, Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO release_keys (tenant_id, id, name, algorithm, fingerprint, public_key, created_at) \
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    GET = "SELECT id, name, algorithm, fingerprint, public_key, created_at, revoked_at FROM release_keys \
           WHERE tenant_id = $1 AND id = $2";
    PAGE = "SELECT id, name, algorithm, fingerprint, public_key, created_at, revoked_at FROM release_keys \
            WHERE tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) ORDER BY id DESC LIMIT $3";
    VALID = "SELECT id, name, algorithm, fingerprint, public_key, created_at, revoked_at FROM release_keys \
             WHERE tenant_id = $1 AND revoked_at IS NULL ORDER BY id LIMIT $2";
    REVOKE = "UPDATE release_keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
}

/// A public key that may sign firmware.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ReleaseKeyRow {
    /// Its id.
    pub id: ReleaseKeyId,
    /// What it is called.
    pub name: String,
    /// Its algorithm.
    pub algorithm: KeyAlgorithm,
    /// SHA-256 of its SPKI in DER.
    pub fingerprint: Sha256Digest,
    /// The key, PEM.
    pub public_key: String,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Adds a key.
pub async fn insert(tx: &mut Tx, tenant: TenantId, key: &ReleaseKeyRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(key.id)
        .bind(&key.name)
        .bind(key.algorithm)
        .bind(key.fingerprint)
        .bind(&key.public_key)
        .bind(key.created_at)
        .execute(c)
        .await
        .map(drop))
}

/// The key with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: ReleaseKeyId) -> Result<Option<ReleaseKeyRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` keys, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: Option<ReleaseKeyId>,
    limit: i64,
) -> Result<Vec<ReleaseKeyRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(tenant).bind(after).bind(limit).fetch_all(c).await)
}

/// Up to `limit` keys that are not revoked, oldest first.
pub async fn valid(conn: impl Into<Conn<'_>>, tenant: TenantId, limit: i64) -> Result<Vec<ReleaseKeyRow>> {
    run!(conn, |c| sqlx::query_as(VALID).bind(tenant).bind(limit).fetch_all(c).await)
}

/// Revokes a key; false when there is none to revoke.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: ReleaseKeyId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(REVOKE)
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}
