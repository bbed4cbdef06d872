//! Words that people put on devices.

use drover_store::{device_tags, devices};
use drover_types::{DeviceId, Permission};

use crate::audit::Entry;
use crate::devices::{locked, shown};
use crate::{App, Caller, Error, Reach, Result, validate};

/// Tags that can be on a device.
const TAGS_MAX: i64 = 100;

impl App {
    /// Puts a tag on a device. One that is on it already stays.
    pub async fn device_tag_add(&self, caller: &Caller, id: DeviceId, tag: String) -> Result<()> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let tenant = access.tenant;
        validate::tag("tag", &tag)?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    let before = locked(tx, tenant, id).await?;
                    devices::changed(tx, tenant, id, now).await?;
                    device_tags::add(tx, tenant, id, &tag).await?;
                    if device_tags::count(&mut *tx, tenant, id).await? > TAGS_MAX {
                        return Err(Error::field("tag", format!("a device has at most {TAGS_MAX} tags")));
                    }
                    let after = shown(&mut *tx, tenant, &Reach::Tenant, id).await?;
                    let entry = Entry::changed("device", "add_tag", id, &before, &after)?;
                    audit.record(tx, entry.with("hardware_id", after.hardware_id).with("tag", tag)).await
                })
            })
            .await
    }

    /// Takes a tag off a device.
    pub async fn device_tag_remove(&self, caller: &Caller, id: DeviceId, tag: String) -> Result<()> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let tenant = access.tenant;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    let before = locked(tx, tenant, id).await?;
                    devices::changed(tx, tenant, id, now).await?;
                    if !device_tags::remove(tx, tenant, id, &tag).await? {
                        return Err(Error::not_found("tag on this device", tag));
                    }
                    let after = shown(&mut *tx, tenant, &Reach::Tenant, id).await?;
                    let entry = Entry::changed("device", "remove_tag", id, &before, &after)?;
                    audit.record(tx, entry.with("hardware_id", after.hardware_id).with("tag", tag)).await
                })
            })
            .await
    }
}
