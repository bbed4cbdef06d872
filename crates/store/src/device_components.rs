//! What the components of devices run.

use drover_db::{Conn, Tx, run};
use drover_types::{ComponentName, DeviceId, FirmwareId, Sha256Digest, TenantId, Timestamp, Version};

use crate::statements::with_list;
use crate::{Result, statements};

statements! {
    UPSERT = "INSERT INTO device_components (tenant_id, device_id, component, version, version_key, manifest_sha256, \
              firmware_id, release_counter, reported_at) VALUES ($1, $2, $3, $4, $5, $6, \
              (SELECT f.id FROM firmware f WHERE f.tenant_id = $1 AND f.manifest_sha256 = $6), \
              (SELECT f.release_counter FROM firmware f WHERE f.tenant_id = $1 AND f.manifest_sha256 = $6), $7) \
              ON CONFLICT (tenant_id, device_id, component) DO UPDATE SET version = excluded.version, \
              version_key = excluded.version_key, manifest_sha256 = excluded.manifest_sha256, \
              firmware_id = excluded.firmware_id, release_counter = excluded.release_counter, \
              reported_at = excluded.reported_at";
    GET = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at FROM device_components \
           WHERE tenant_id = $1 AND device_id = $2 AND component = $3";
    COUNT = "SELECT COUNT(*) FROM device_components WHERE tenant_id = $1 AND device_id = $2";
    RUNNING = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at FROM device_components \
               WHERE tenant_id = $1 AND component = $2 AND device_id IN ($3/*more*/)";
    OF_DEVICE = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at \
                 FROM device_components WHERE tenant_id = $1 AND device_id = $2 ORDER BY component";
}

/// What one component of a device runs.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct DeviceComponentRow {
    /// The device.
    pub device_id: DeviceId,
    /// The component.
    pub component: ComponentName,
    /// Its version; none when nothing is installed.
    pub version: Option<Version>,
    /// SHA-256 of the signed manifest that it was installed from.
    pub manifest_sha256: Option<Sha256Digest>,
    /// The firmware of that manifest, when it is one of ours.
    pub firmware_id: Option<FirmwareId>,
    /// When it was reported.
    pub reported_at: Timestamp,
}

/// Notes what a component runs.
pub async fn upsert(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceId,
    component: &ComponentName,
    version: Option<&Version>,
    manifest_sha256: Option<Sha256Digest>,
    now: Timestamp,
) -> Result<()> {
    run!(tx, |c| sqlx::query(UPSERT)
        .bind(tenant)
        .bind(device)
        .bind(component)
        .bind(version)
        .bind(version.map(Version::sort_key))
        .bind(manifest_sha256)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// What that component of the device runs.
pub async fn get(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    device: DeviceId,
    component: &ComponentName,
) -> Result<Option<DeviceComponentRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(device).bind(component).fetch_optional(c).await)
}

/// What that component runs on these devices, at least one and at most some hundred.
pub async fn running(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    component: &ComponentName,
    devices: &[DeviceId],
) -> Result<Vec<DeviceComponentRow>> {
    let sql = with_list(RUNNING, 3, devices.len());
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(devices.len() == 1);
        let query = query.bind(tenant).bind(component);
        devices.iter().fold(query, |query, device| query.bind(*device)).fetch_all(c).await
    })
}

/// How many components of the device are known.
pub async fn count(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT).bind(tenant).bind(device).fetch_one(c).await)
}

/// What all components of the device run.
pub async fn of_device(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    device: DeviceId,
) -> Result<Vec<DeviceComponentRow>> {
    run!(conn, |c| sqlx::query_as(OF_DEVICE).bind(tenant).bind(device).fetch_all(c).await)
}

/// What all components of these devices run; at most some hundred devices.
pub async fn of_devices(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    devices: &[DeviceId],
) -> Result<Vec<DeviceComponentRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at \
             FROM device_components WHERE tenant_id = ",
        );
        query.push_bind(tenant).push(" AND device_id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(") ORDER BY device_id, component");
        query.build_query_as().persistent(false).fetch_all(c).await
    })
}
