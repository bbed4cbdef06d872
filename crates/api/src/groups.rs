//! Groups: static by list, dynamic by condition.

use drover_types::{DeviceId, GroupId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Devices by list (static) or by condition (dynamic).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// The group's id.
    pub id: GroupId,
    /// Its name, unique in the tenant.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The group that it is part of; a dynamic group is part of none.
    pub parent_id: Option<GroupId>,
    /// Who is in a dynamic group: every device for which this holds at the time of the question. None for a static one.
    #[serde(default)]
    pub condition: Option<String>,
    /// How many devices are in it. In lists it is none for dynamic groups, which are counted when one is looked at. It is
    /// none as well when the count takes too long.
    pub device_count: Option<u64>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its name or description last changed.
    pub updated_at: Timestamp,
}

/// Make or change a group.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
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
    /// Makes the group dynamic: a condition such as `device.type == "truck" && device.attr.region == "eu"`. A group stays
    /// static or dynamic; left out in a change, the condition stays as it is. It may ask for static groups only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// Move a group, with all below it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMove {
    /// The group that it becomes part of; none takes it to the top.
    pub parent_id: Option<GroupId>,
}

/// Devices to put into a static group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupMembers {
    /// The devices: 1 to 1 000.
    pub device_ids: Vec<DeviceId>,
}
