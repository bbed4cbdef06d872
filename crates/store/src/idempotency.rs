//! Keys that make creating calls repeatable.

use drover_db::{Tx, run};
use drover_types::{Sha256Digest, TenantId, Timestamp};
use uuid::Uuid;

use crate::{Result, statements};

statements! {
    CLAIM = "INSERT INTO idempotency_keys \
             (tenant_id, caller, idempotency_key, request_sha256, resource_id, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, caller, idempotency_key) DO NOTHING";
    GET = "SELECT request_sha256, resource_id FROM idempotency_keys \
           WHERE tenant_id = $1 AND caller = $2 AND idempotency_key = $3";
    DELETE_OLD = "DELETE FROM idempotency_keys WHERE tenant_id = $1 AND created_at < $2";
}

/// What a key was used for.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct IdempotencyRow {
    /// SHA-256 of the request.
    pub request_sha256: Sha256Digest,
    /// What it made.
    pub resource_id: Uuid,
}

/// One use of a key.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Who uses it.
    pub caller: &'a str,
    /// The key.
    pub key: &'a str,
    /// SHA-256 of the request.
    pub request_sha256: Sha256Digest,
    /// What the request is about to make.
    pub resource_id: Uuid,
}

/// Takes the key for this request. Returns what stood there before when it was taken already.
pub async fn claim(tx: &mut Tx, tenant: TenantId, claim: Claim<'_>, now: Timestamp) -> Result<Option<IdempotencyRow>> {
    let taken = run!(&mut *tx, |c| sqlx::query(CLAIM)
        .bind(tenant)
        .bind(claim.caller)
        .bind(claim.key)
        .bind(claim.request_sha256)
        .bind(claim.resource_id)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))?;
    if taken {
        return Ok(None);
    }
    run!(tx, |c| sqlx::query_as(GET).bind(tenant).bind(claim.caller).bind(claim.key).fetch_optional(c).await)
}

/// Forgets keys from before `before`.
pub async fn delete_old(tx: &mut Tx, tenant: TenantId, before: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE_OLD).bind(tenant).bind(before).execute(c).await.map(drop))
}
