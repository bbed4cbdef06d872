//! Tags on devices.

use drover_types::DeviceId;

use super::{Client, ClientError};

impl Client {
    /// Puts a tag on a device; one that is on it already stays.
    pub async fn add_device_tag(&self, id: DeviceId, tag: &str) -> Result<(), ClientError> {
        self.put_into_set(&["devices", &id.to_string(), "tags", tag]).await
    }

    /// Takes a tag off a device.
    pub async fn remove_device_tag(&self, id: DeviceId, tag: &str) -> Result<(), ClientError> {
        self.delete(&["devices", &id.to_string(), "tags", tag]).await
    }
}
