//! What people know about devices: typed values by name. Devices have no way to change them.

use std::collections::BTreeMap;

use drover_api::{DeviceAttributes, DeviceAttributesChange};
use drover_db::Tx;
use drover_store::device_attributes::{self, AttributeRow};
use drover_store::devices;
use drover_types::{AttributeValue, DeviceId, Permission, TenantId, Timestamp};

use crate::audit::Entry;
use crate::devices::{locked, shown};
use crate::{App, Caller, Error, Reach, Result, validate};

/// Attributes that a device can have.
const ATTRIBUTES_MAX: usize = 100;

/// Bytes of a text.
const TEXT_MAX_BYTES: usize = 256;

impl App {
    /// The attributes of a device.
    pub async fn device_attributes(&self, caller: &Caller, id: DeviceId) -> Result<DeviceAttributes> {
        let access = caller.authorize(Permission::DevicesRead)?;
        let tenant = access.tenant;
        access.check_device(&self.db, id).await?;
        if devices::get(&self.db, tenant, id).await?.is_none() {
            return Err(Error::not_found("device", id));
        }
        self.attributes(tenant, id).await
    }

    async fn attributes(&self, tenant: TenantId, id: DeviceId) -> Result<DeviceAttributes> {
        let rows = device_attributes::of_devices(&self.db, tenant, &[id]).await?;
        Ok(DeviceAttributes { attributes: by_name(rows) })
    }

    /// Gives a device exactly these attributes.
    pub async fn device_attributes_replace(
        &self,
        caller: &Caller,
        id: DeviceId,
        body: DeviceAttributes,
    ) -> Result<DeviceAttributes> {
        self.write_attributes(caller, id, Changes { clear: true, set: body.attributes, unset: Vec::new() }).await
    }

    /// Sets and removes some attributes of a device.
    pub async fn device_attributes_change(
        &self,
        caller: &Caller,
        id: DeviceId,
        body: DeviceAttributesChange,
    ) -> Result<DeviceAttributes> {
        self.write_attributes(caller, id, Changes { clear: false, set: body.set, unset: body.unset }).await
    }

    async fn write_attributes(&self, caller: &Caller, id: DeviceId, changes: Changes) -> Result<DeviceAttributes> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let tenant = access.tenant;
        changes.check()?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    let before = locked(tx, tenant, id).await?;
                    devices::changed(tx, tenant, id, now).await?;
                    changes.apply(tx, tenant, id, now).await?;
                    let after = shown(&mut *tx, tenant, &Reach::Tenant, id).await?;
                    // Names, not values: those are the operators' own.
                    let set: Vec<&str> = changes.set.keys().map(String::as_str).collect();
                    let entry = Entry::changed("device", "update_attributes", id, &before, &after)?;
                    let entry = entry.with("hardware_id", after.hardware_id);
                    audit.record(tx, entry.with("set", set).with("unset", changes.unset)).await
                })
            })
            .await?;
        self.attributes(tenant, id).await
    }
}

/// What becomes of a device's attributes.
struct Changes {
    /// First remove all.
    clear: bool,
    set: BTreeMap<String, AttributeValue>,
    unset: Vec<String>,
}

impl Changes {
    fn check(&self) -> Result<()> {
        validate::at_most("unset", &self.unset, ATTRIBUTES_MAX)?;
        if self.set.len() > ATTRIBUTES_MAX {
            return Err(too_many());
        }
        if let Some(name) = self.unset.iter().find(|name| self.set.contains_key(*name)) {
            return Err(Error::field("unset", format!("{name:?} is set by the same request")));
        }
        self.set.iter().try_for_each(|(name, value)| check(name, value))
    }

    async fn apply(&self, tx: &mut Tx, tenant: TenantId, id: DeviceId, now: Timestamp) -> Result<()> {
        if self.clear {
            device_attributes::clear(tx, tenant, id).await?;
        }
        for name in &self.unset {
            device_attributes::remove(tx, tenant, id, name).await?;
        }
        for (name, value) in &self.set {
            device_attributes::set(tx, tenant, id, name, value, now).await?;
        }
        let count = device_attributes::count(tx, tenant, id).await?;
        if usize::try_from(count).is_ok_and(|count| count <= ATTRIBUTES_MAX) { Ok(()) } else { Err(too_many()) }
    }
}

fn too_many() -> Error {
    Error::field("attributes", format!("a device has at most {ATTRIBUTES_MAX} attributes"))
}

fn check(name: &str, value: &AttributeValue) -> Result<()> {
    validate::attribute_name("attributes", name)?;
    let AttributeValue::Text(text) = value else { return Ok(()) };
    let field = format!("attributes.{name}");
    if text.len() > TEXT_MAX_BYTES {
        return Err(Error::field(field, format!("must have at most {TEXT_MAX_BYTES} bytes")));
    }
    if text.chars().any(char::is_control) {
        return Err(Error::field(field, "must not contain control characters"));
    }
    Ok(())
}

/// Values by name. A row without a value cannot be: it is left out.
pub(crate) fn by_name(rows: impl IntoIterator<Item = AttributeRow>) -> BTreeMap<String, AttributeValue> {
    rows.into_iter().filter_map(|row| Some((row.name.clone(), row.value()?))).collect()
}
