//! Groups.

use drover_api::{Device, Group, GroupMembers, GroupMove, GroupWrite, Page, PageQuery};
use drover_types::{DeviceId, GroupId};

use super::{Client, ClientError};

impl Client {
    /// At most `at_most` groups.
    pub async fn groups(&self, at_most: usize) -> Result<Page<Group>, ClientError> {
        self.list(&["groups"], &PageQuery::default(), at_most).await
    }

    /// Makes a group.
    pub async fn create_group(&self, body: &GroupWrite) -> Result<Group, ClientError> {
        self.create(&["groups"], body).await
    }

    /// One group.
    pub async fn group(&self, id: GroupId) -> Result<Group, ClientError> {
        self.get(&["groups", &id.to_string()]).await
    }

    /// At most `at_most` devices in a group.
    pub async fn group_devices(&self, id: GroupId, at_most: usize) -> Result<Page<Device>, ClientError> {
        self.list(&["groups", &id.to_string(), "devices"], &PageQuery::default(), at_most).await
    }

    /// Changes a group.
    pub async fn update_group(&self, id: GroupId, body: &GroupWrite) -> Result<Group, ClientError> {
        self.put(&["groups", &id.to_string()], body).await
    }

    /// Moves a group, with all that are part of it.
    pub async fn move_group(&self, id: GroupId, body: &GroupMove) -> Result<Group, ClientError> {
        self.put(&["groups", &id.to_string(), "parent"], body).await
    }

    /// Deletes a group; its devices stay.
    pub async fn delete_group(&self, id: GroupId) -> Result<(), ClientError> {
        self.delete(&["groups", &id.to_string()]).await
    }

    /// Puts 1 to 1 000 devices into a group; those that are in it already stay.
    pub async fn add_to_group(&self, id: GroupId, device_ids: Vec<DeviceId>) -> Result<(), ClientError> {
        self.post_into_set(&["groups", &id.to_string(), "devices"], &GroupMembers { device_ids }).await
    }

    /// Takes a device out of a group.
    pub async fn remove_from_group(&self, id: GroupId, device_id: DeviceId) -> Result<(), ClientError> {
        self.delete(&["groups", &id.to_string(), "devices", &device_id.to_string()]).await
    }
}
