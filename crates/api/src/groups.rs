//! Static groups.

use drover_types::{DeviceId, GroupId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Devices by list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// The group's id.
    pub id: GroupId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The group that it is part of.
    pub parent_id: Option<GroupId>,
    /// How many devices are in it.
    pub device_count: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its name or description last changed.
    pub updated_at: Timestamp,
}

/// Make or change a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupWrite {
    /// Its name, unique in the tenant: 1 to 100 characters.
    pub name: String,
    /// What it is for: at most 1 000 characters.
    #[serde(default)]
    pub description: String,
    /// The group that it is part of; only when it is made. Groups lie at most 8 deep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<GroupId>,
}

/// Move a group, with all below it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMove {
    /// The group that it becomes part of; none takes it to the top.
    pub parent_id: Option<GroupId>,
}

/// Devices to put into a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMembers {
    /// The devices: 1 to 1 000.
    pub device_ids: Vec<DeviceId>,
}
