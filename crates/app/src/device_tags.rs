//! Words that people put on devices.

use drover_store::{device_tags, devices};
use drover_types::{DeviceId, Permission};

use crate::{App, Caller, Error, Result, validate};

/// Tags that can be on a device.
const TAGS_MAX: i64 = 100;

impl App {
    /// Puts a tag on a device. One that is on it already stays.
    pub async fn device_tag_add(&self, caller: &Caller, id: DeviceId, tag: String) -> Result<()> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let tenant = access.tenant;
        validate::tag("tag", &tag)?;
        let now = self.now();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    if !devices::changed(tx, tenant, id, now).await? {
                        return Err(Error::not_found("device", id));
                    }
                    device_tags::add(tx, tenant, id, &tag).await?;
                    if device_tags::count(tx, tenant, id).await? > TAGS_MAX {
                        return Err(Error::field("tag", format!("a device has at most {TAGS_MAX} tags")));
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Takes a tag off a device.
    pub async fn device_tag_remove(&self, caller: &Caller, id: DeviceId, tag: String) -> Result<()> {
        let access = caller.authorize(Permission::DevicesWrite)?;
        let tenant = access.tenant;
        let now = self.now();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    access.check_device(&mut *tx, id).await?;
                    if !devices::changed(tx, tenant, id, now).await? {
                        return Err(Error::not_found("device", id));
                    }
                    if !device_tags::remove(tx, tenant, id, &tag).await? {
                        return Err(Error::not_found("tag on this device", tag));
                    }
                    Ok(())
                })
            })
            .await
    }
}
