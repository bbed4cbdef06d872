//! Words that people put on devices.

use drover_db::{Conn, Tx, run};
use drover_types::{DeviceId, TenantId};

use crate::{Result, statements};

statements! {
    ADD = "INSERT INTO device_tags (tenant_id, device_id, tag) VALUES ($1, $2, $3) \
           ON CONFLICT (tenant_id, device_id, tag) DO NOTHING";
    REMOVE = "DELETE FROM device_tags WHERE tenant_id = $1 AND device_id = $2 AND tag = $3";
    COUNT = "SELECT COUNT(*) FROM device_tags WHERE tenant_id = $1 AND device_id = $2";
}

/// A device has a tag.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TagRow {
    /// The device.
    pub device_id: DeviceId,
    /// The tag.
    pub tag: String,
}

/// Puts a tag on a device; false when it was on it already.
pub async fn add(tx: &mut Tx, tenant: TenantId, device: DeviceId, tag: &str) -> Result<bool> {
    run!(tx, |c| sqlx::query(ADD)
        .bind(tenant)
        .bind(device)
        .bind(tag)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Takes a tag off a device; false when it was not on it.
pub async fn remove(tx: &mut Tx, tenant: TenantId, device: DeviceId, tag: &str) -> Result<bool> {
    run!(tx, |c| sqlx::query(REMOVE)
        .bind(tenant)
        .bind(device)
        .bind(tag)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// How many tags are on the device.
pub async fn count(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT).bind(tenant).bind(device).fetch_one(c).await)
}

/// The tags of these devices, in no order; at most some hundred devices.
pub async fn of_devices(conn: impl Into<Conn<'_>>, tenant: TenantId, devices: &[DeviceId]) -> Result<Vec<TagRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new("SELECT device_id, tag FROM device_tags WHERE tenant_id = ");
        query.push_bind(tenant).push(" AND device_id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(")");
        query.build_query_as().fetch_all(c).await
    })
}
