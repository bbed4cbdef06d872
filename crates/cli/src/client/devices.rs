//! Devices.

use drover_api::{Device, DeviceCount, DeviceCountFilter, DeviceFilter, DeviceUpdate, Page, PageQuery, UpdateSession};
use drover_types::DeviceId;

use super::pages::with_query;
use super::{Client, ClientError};

impl Client {
    /// At most `at_most` devices.
    pub async fn devices(&self, filter: &DeviceFilter, at_most: usize) -> Result<Page<Device>, ClientError> {
        self.list(&["devices"], filter, at_most).await
    }

    /// How many devices there are.
    pub async fn device_count(&self, filter: &DeviceCountFilter) -> Result<DeviceCount, ClientError> {
        self.get_url(with_query(self.api_url(&["devices", "count"]), filter, &[])?).await
    }

    /// One device.
    pub async fn device(&self, id: DeviceId) -> Result<Device, ClientError> {
        self.get(&["devices", &id.to_string()]).await
    }

    /// Changes a device.
    pub async fn update_device(&self, id: DeviceId, body: &DeviceUpdate) -> Result<Device, ClientError> {
        self.put(&["devices", &id.to_string()], body).await
    }

    /// Forgets a device.
    pub async fn delete_device(&self, id: DeviceId) -> Result<(), ClientError> {
        self.delete(&["devices", &id.to_string()]).await
    }

    /// At most `at_most` update sessions of a device.
    pub async fn device_updates(&self, id: DeviceId, at_most: usize) -> Result<Page<UpdateSession>, ClientError> {
        self.list(&["devices", &id.to_string(), "updates"], &PageQuery::default(), at_most).await
    }
}
