//! Bearer tokens of devices.

use drover_db::{Conn, Tx, run};
use drover_types::{DeviceId, Sha256Digest, TenantId, Timestamp};
use uuid::Uuid;

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO device_tokens (tenant_id, id, device_id, secret_sha256, created_at) \
              VALUES ($1, $2, $3, $4, $5)";
    GET = "SELECT t.device_id, d.device_type, d.created_at AS registered_at, d.last_seen_at, t.secret_sha256, \
           t.revoked_at \
           FROM device_tokens t \
           JOIN devices d ON d.tenant_id = t.tenant_id AND d.id = t.device_id WHERE t.tenant_id = $1 AND t.id = $2";
    IN_USE = "SELECT t.tenant_id, t.id, t.device_id, t.secret_sha256 \
              FROM device_tokens t \
              JOIN devices d ON d.tenant_id = t.tenant_id AND d.id = t.device_id \
              WHERE (t.tenant_id, t.id) > ($1, $2) AND t.revoked_at IS NULL AND d.last_seen_at > d.created_at \
              ORDER BY t.tenant_id, t.id LIMIT $3";
    REVOKE_ALL = "UPDATE device_tokens SET revoked_at = $3 \
                  WHERE tenant_id = $1 AND device_id = $2 AND revoked_at IS NULL";
}

/// A device's token.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DeviceTokenRow {
    /// Whose it is.
    pub device_id: DeviceId,
    /// That device's type.
    pub device_type: String,
    /// When that device registered.
    pub registered_at: Timestamp,
    /// When that device was last heard of.
    pub last_seen_at: Option<Timestamp>,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token that its device has used.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct UsedTokenRow {
    /// The device's tenant.
    pub tenant_id: TenantId,
    /// The token's id.
    pub id: Uuid,
    /// Whose it is.
    pub device_id: DeviceId,
    /// SHA-256 of the secret.
    pub secret_sha256: Sha256Digest,
}

/// Adds a token.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    id: Uuid,
    device: DeviceId,
    secret_sha256: Sha256Digest,
    now: Timestamp,
) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(id)
        .bind(device)
        .bind(secret_sha256)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// The token with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: Uuid) -> Result<Option<DeviceTokenRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Tokens of all tenants that are valid and that their devices have used since they registered, by tenant and id: those
/// behind `after`.
pub async fn in_use(conn: impl Into<Conn<'_>>, after: (TenantId, Uuid), limit: i64) -> Result<Vec<UsedTokenRow>> {
    let (tenant, id) = after;
    run!(conn, |c| sqlx::query_as(IN_USE).bind(tenant).bind(id).bind(limit).fetch_all(c).await)
}

/// Revokes all tokens of a device.
pub async fn revoke_all(tx: &mut Tx, tenant: TenantId, device: DeviceId, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(REVOKE_ALL).bind(tenant).bind(device).bind(now).execute(c).await.map(drop))
}
