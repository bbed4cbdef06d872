//! What people know about devices: typed values by name.

use drover_db::{Conn, Tx, run};
use drover_types::{AttributeValue, DeviceId, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    SET = "INSERT INTO device_attributes (tenant_id, device_id, name, kind, text_value, number_value, bool_value, \
           updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
           ON CONFLICT (tenant_id, device_id, name) DO UPDATE SET kind = excluded.kind, \
           text_value = excluded.text_value, number_value = excluded.number_value, \
           bool_value = excluded.bool_value, updated_at = excluded.updated_at";
    REMOVE = "DELETE FROM device_attributes WHERE tenant_id = $1 AND device_id = $2 AND name = $3";
    CLEAR = "DELETE FROM device_attributes WHERE tenant_id = $1 AND device_id = $2";
    COUNT = "SELECT COUNT(*) FROM device_attributes WHERE tenant_id = $1 AND device_id = $2";
}

/// An attribute of a device. The column of its kind holds the value.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AttributeRow {
    /// The device.
    pub device_id: DeviceId,
    /// The attribute's name.
    pub name: String,
    text_value: Option<String>,
    number_value: Option<f64>,
    bool_value: Option<i64>,
}

impl AttributeRow {
    /// Its value; none when no column holds one.
    pub fn value(self) -> Option<AttributeValue> {
        let text = self.text_value.map(AttributeValue::Text);
        let number = || self.number_value.map(AttributeValue::Number);
        let truth = || self.bool_value.map(|value| AttributeValue::Bool(value != 0));
        text.or_else(number).or_else(truth)
    }
}

/// Sets an attribute.
pub async fn set(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceId,
    name: &str,
    value: &AttributeValue,
    now: Timestamp,
) -> Result<()> {
    let (kind, text, number, truth) = match value {
        AttributeValue::Text(text) => ("string", Some(text), None, None),
        // SQLite has no zero with a sign: plus nothing, -0.0 is 0.0, and both databases hold the same.
        AttributeValue::Number(number) => ("number", None, Some(*number + 0.0), None),
        AttributeValue::Bool(truth) => ("bool", None, None, Some(i64::from(*truth))),
    };
    run!(tx, |c| sqlx::query(SET)
        .bind(tenant)
        .bind(device)
        .bind(name)
        .bind(kind)
        .bind(text)
        .bind(number)
        .bind(truth)
        .bind(now)
        .execute(c)
        .await
        .map(drop))
}

/// Removes an attribute, if it is there.
pub async fn remove(tx: &mut Tx, tenant: TenantId, device: DeviceId, name: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(REMOVE).bind(tenant).bind(device).bind(name).execute(c).await.map(drop))
}

/// Removes all attributes of a device.
pub async fn clear(tx: &mut Tx, tenant: TenantId, device: DeviceId) -> Result<()> {
    run!(tx, |c| sqlx::query(CLEAR).bind(tenant).bind(device).execute(c).await.map(drop))
}

/// How many attributes the device has.
pub async fn count(conn: impl Into<Conn<'_>>, tenant: TenantId, device: DeviceId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT).bind(tenant).bind(device).fetch_one(c).await)
}

/// The attributes of these devices, in no order; at most some hundred devices.
pub async fn of_devices(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    devices: &[DeviceId],
) -> Result<Vec<AttributeRow>> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT device_id, name, text_value, number_value, bool_value FROM device_attributes WHERE tenant_id = ",
        );
        query.push_bind(tenant).push(" AND device_id IN (");
        let mut list = query.separated(", ");
        for device in devices {
            list.push_bind(*device);
        }
        query.push(")");
        query.build_query_as().fetch_all(c).await
    })
}
