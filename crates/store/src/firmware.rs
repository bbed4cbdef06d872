//! Firmware.

use drover_db::{Conn, Tx, run};
use drover_types::{ComponentName, FirmwareId, FirmwareState, Sha256Digest, TenantId, Timestamp, Version};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO firmware (tenant_id, id, name, version, version_key, device_type, component, \
              release_counter, rollback_floor, state, size_bytes, manifest, manifest_bundle, manifest_sha256, \
              signed_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    GET = "SELECT id, name, version, device_type, component, release_counter, rollback_floor, state, size_bytes, \
           manifest, manifest_bundle, manifest_sha256, signed_by, created_at, published_at FROM firmware \
           WHERE tenant_id = $1 AND id = $2";
    PAGE = "SELECT id, name, version, device_type, component, release_counter, rollback_floor, state, size_bytes, \
            manifest, manifest_bundle, manifest_sha256, signed_by, created_at, published_at FROM firmware \
            WHERE tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR id < $2) \
            AND (CAST($3 AS TEXT) IS NULL OR device_type = $3) AND (CAST($4 AS TEXT) IS NULL OR component = $4) \
            AND (CAST($5 AS TEXT) IS NULL OR version = $5) ORDER BY id DESC LIMIT $6";
    LOCK = "SELECT id FROM firmware WHERE tenant_id = $1 AND id = $2";
    PUBLISH = "UPDATE firmware SET state = $3, published_at = $4 WHERE tenant_id = $1 AND id = $2 AND state = $5";
    DELETE = "DELETE FROM firmware WHERE tenant_id = $1 AND id = $2";
    ROLLOUTS = "SELECT COUNT(*) FROM rollouts WHERE tenant_id = $1 AND firmware_id = $2";
    SESSIONS = "SELECT COUNT(*) FROM update_sessions WHERE tenant_id = $1 AND from_firmware_id = $2";
    RUNNING = "SELECT COUNT(*) FROM device_components WHERE tenant_id = $1 AND firmware_id = $2";
}

/// A firmware.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct FirmwareRow {
    /// Its id.
    pub id: FirmwareId,
    /// The product's name.
    pub name: String,
    /// The version.
    pub version: Version,
    /// The device type that it is for.
    pub device_type: String,
    /// The component that it is for.
    pub component: ComponentName,
    /// Rises with every release.
    pub release_counter: i64,
    /// The lowest counter that devices running it may go back to.
    pub rollback_floor: i64,
    /// Draft or published.
    pub state: FirmwareState,
    /// Size of all artifacts.
    pub size_bytes: i64,
    /// The signed manifest, byte for byte.
    pub manifest: Vec<u8>,
    /// The bundle over it.
    pub manifest_bundle: String,
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256Digest,
    /// Fingerprint of the key that signed it.
    pub signed_by: Sha256Digest,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
}

/// Which firmware.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From behind this one.
    pub after: Option<FirmwareId>,
    /// Only for this device type.
    pub device_type: Option<String>,
    /// Only for this component.
    pub component: Option<ComponentName>,
    /// Only this version.
    pub version: Option<Version>,
}

/// Adds a firmware. Fails with a unique violation when the version or the manifest is there already.
pub async fn insert(tx: &mut Tx, tenant: TenantId, firmware: &FirmwareRow) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(firmware.id)
        .bind(&firmware.name)
        .bind(&firmware.version)
        .bind(firmware.version.sort_key())
        .bind(&firmware.device_type)
        .bind(&firmware.component)
        .bind(firmware.release_counter)
        .bind(firmware.rollback_floor)
        .bind(firmware.state)
        .bind(firmware.size_bytes)
        .bind(&firmware.manifest)
        .bind(&firmware.manifest_bundle)
        .bind(firmware.manifest_sha256)
        .bind(firmware.signed_by)
        .bind(firmware.created_at)
        .execute(c)
        .await
        .map(drop))
}

/// The firmware with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: FirmwareId) -> Result<Option<FirmwareRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Up to `limit` firmware, newest first.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<FirmwareRow>> {
    run!(conn, |c| sqlx::query_as(PAGE)
        .bind(tenant)
        .bind(filter.after)
        .bind(&filter.device_type)
        .bind(&filter.component)
        .bind(&filter.version)
        .bind(limit)
        .fetch_all(c)
        .await)
}

/// Holds a firmware still until the transaction ends; false when there is none.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: FirmwareId) -> Result<bool> {
    let sql = format!("{LOCK} {}", tx.dialect().for_update());
    let found: Option<FirmwareId> =
        run!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(c).await)?;
    Ok(found.is_some())
}

/// Publishes a draft; false when it is none.
pub async fn publish(tx: &mut Tx, tenant: TenantId, id: FirmwareId, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(PUBLISH)
        .bind(tenant)
        .bind(id)
        .bind(FirmwareState::Published)
        .bind(now)
        .bind(FirmwareState::Draft)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Removes a firmware with its artifacts and names.
pub async fn delete(tx: &mut Tx, tenant: TenantId, id: FirmwareId) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(id).execute(c).await.map(drop))
}

/// How many rollouts bring it, devices run it, and devices may have to go back to it.
pub async fn uses(tx: &mut Tx, tenant: TenantId, id: FirmwareId) -> Result<i64> {
    let rollouts: i64 = run!(&mut *tx, |c| sqlx::query_scalar(ROLLOUTS).bind(tenant).bind(id).fetch_one(c).await)?;
    let sessions: i64 = run!(&mut *tx, |c| sqlx::query_scalar(SESSIONS).bind(tenant).bind(id).fetch_one(c).await)?;
    let running: i64 = run!(tx, |c| sqlx::query_scalar(RUNNING).bind(tenant).bind(id).fetch_one(c).await)?;
    Ok(rollouts + sessions + running)
}
