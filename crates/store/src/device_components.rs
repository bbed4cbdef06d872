//! What the components of devices run.

use drover_db::{Conn, Tx, run};
use drover_types::{ComponentName, DeviceId, FirmwareId, Sha256Digest, TenantId, Timestamp, Version};

use crate::statements::with_list;
use crate::{Result, statements};

statements! {
    GET = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at FROM device_components \
           WHERE tenant_id = $1 AND device_id = $2 AND component = $3";
    COUNT = "SELECT COUNT(*) FROM device_components WHERE tenant_id = $1 AND device_id = $2";
    RUNNING = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at FROM device_components \
               WHERE tenant_id = $1 AND component = $2 AND device_id IN ($3/*more*/)";
    OF_DEVICE = "SELECT device_id, component, version, manifest_sha256, firmware_id, reported_at \
                 FROM device_components WHERE tenant_id = $1 AND device_id = $2 ORDER BY component";
}

/// Few enough for any database's limit of parameters.
const ROWS_PER_STATEMENT: usize = 100;

/// What one component of a device is said to run.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// The device.
    pub device: DeviceId,
    /// The component.
    pub component: &'a ComponentName,
    /// Its version; none when nothing is installed.
    pub version: Option<&'a Version>,
    /// SHA-256 of the signed manifest that it was installed from.
    pub manifest_sha256: Option<Sha256Digest>,
    /// When it was said.
    pub at: Timestamp,
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

/// Notes what components run, each of them once.
pub async fn note(tx: &mut Tx, tenant: TenantId, heard: &[Heard<'_>]) -> Result<()> {
    for some in heard.chunks(ROWS_PER_STATEMENT) {
        run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new(
                "WITH v (device_id, component, version, version_key, manifest_sha256, reported_at) AS (",
            );
            query.push_values(some, |mut row, heard| {
                row.push_bind(heard.device)
                    .push_bind(heard.component)
                    .push_bind(heard.version)
                    .push_bind(heard.version.map(Version::sort_key))
                    .push_bind(heard.manifest_sha256)
                    .push_bind(heard.at);
            });
            query.push(
                ") INSERT INTO device_components (tenant_id, device_id, component, version, version_key, \
                 manifest_sha256, firmware_id, release_counter, reported_at) SELECT ",
            );
            query.push_bind(tenant).push(
                ", v.device_id, v.component, v.version, v.version_key, v.manifest_sha256, f.id, f.release_counter, \
                 v.reported_at FROM v LEFT JOIN firmware f ON f.tenant_id = ",
            );
            // Without a condition, SQLite would take the next ON for the join's.
            query.push_bind(tenant).push(
                " AND f.manifest_sha256 = v.manifest_sha256 WHERE TRUE \
                 ON CONFLICT (tenant_id, device_id, component) DO UPDATE SET version = excluded.version, \
                 version_key = excluded.version_key, manifest_sha256 = excluded.manifest_sha256, \
                 firmware_id = excluded.firmware_id, release_counter = excluded.release_counter, \
                 reported_at = excluded.reported_at",
            );
            query.build().persistent(false).execute(c).await.map(drop)
        })?;
    }
    Ok(())
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
