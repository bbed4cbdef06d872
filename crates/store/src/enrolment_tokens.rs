//! Tokens with which devices register.

use drover_db::{Conn, Tx, run};
use drover_types::{EnrolmentTokenId, Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO enrolment_tokens \
              (tenant_id, id, name, secret_sha256, device_type, max_uses, uses, created_at, expires_at) \
              VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8)";
    GET = "SELECT id, name, secret_sha256, device_type, max_uses, uses, created_at, expires_at, revoked_at \
           FROM enrolment_tokens WHERE tenant_id = $1 AND id = $2";
    PAGE = "SELECT id, name, secret_sha256, device_type, max_uses, uses, created_at, expires_at, revoked_at \
            FROM enrolment_tokens WHERE tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) \
            ORDER BY id DESC LIMIT $3";
    // The row's own limits decide, in one statement: of parallel uses exactly `max_uses` win.
    USE = "UPDATE enrolment_tokens SET uses = uses + 1 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL \
           AND (max_uses IS NULL OR uses < max_uses) AND (expires_at IS NULL OR expires_at > $3)";
    REVOKE = "UPDATE enrolment_tokens SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL";
}

/// A token with which devices register.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EnrolmentTokenRow {
    /// Its id.
    pub id: EnrolmentTokenId,
    /// What it is for.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// Only for devices of this type.
    pub device_type: Option<String>,
    /// How often it may be used.
    pub max_uses: Option<i64>,
    /// How often it was used.
    pub uses: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// Adds a token.
pub async fn insert(tx: &mut Tx, tenant: TenantId, token: &EnrolmentTokenRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(token.id)
        .bind(&token.name)
        .bind(token.secret_sha256)
        .bind(&token.device_type)
        .bind(token.max_uses)
        .bind(token.created_at)
        .bind(token.expires_at)
        .execute(c)
        .await
        .map(drop))
}

/// The token with that id.
pub async fn get(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    id: EnrolmentTokenId,
) -> Result<Option<EnrolmentTokenRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` tokens, newest first, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: Option<EnrolmentTokenId>,
    limit: i64,
) -> Result<Vec<EnrolmentTokenRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(tenant).bind(after).bind(limit).fetch_all(c).await)
}

/// Counts one use; false when it is used up, expired or revoked.
pub async fn use_once(tx: &mut Tx, tenant: TenantId, id: EnrolmentTokenId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(USE)
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Revokes a token; false when there is none to revoke.
pub async fn revoke(tx: &mut Tx, tenant: TenantId, id: EnrolmentTokenId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(REVOKE)
        .bind(tenant)
        .bind(id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}
