//! Attributes of devices.

use drover_api::{DeviceAttributes, DeviceAttributesChange};
use drover_types::DeviceId;

use super::{Client, ClientError};

impl Client {
    /// The attributes of a device.
    pub async fn device_attributes(&self, id: DeviceId) -> Result<DeviceAttributes, ClientError> {
        self.get(&["devices", &id.to_string(), "attributes"]).await
    }

    /// Gives a device exactly these attributes.
    pub async fn replace_device_attributes(
        &self,
        id: DeviceId,
        body: &DeviceAttributes,
    ) -> Result<DeviceAttributes, ClientError> {
        self.put(&["devices", &id.to_string(), "attributes"], body).await
    }

    /// Sets and removes some attributes of a device.
    pub async fn change_device_attributes(
        &self,
        id: DeviceId,
        body: &DeviceAttributesChange,
    ) -> Result<DeviceAttributes, ClientError> {
        self.patch(&["devices", &id.to_string(), "attributes"], body).await
    }
}
