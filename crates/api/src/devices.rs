//! Devices.

use std::collections::BTreeMap;

use drover_types::{AttributeValue, ComponentName, DeviceId, DeviceStatus, GroupId, Sha256Digest, Timestamp, Version};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// The device's id.
    pub id: DeviceId,
    /// VIN or serial number, unique in the tenant.
    pub hardware_id: String,
    /// Its kind; firmware is made for one type.
    pub device_type: String,
    /// Version of the component `main`, as last reported.
    pub current_version: Option<Version>,
    /// The version that a running update takes it to.
    pub target_version: Option<Version>,
    /// How it is doing.
    pub status: DeviceStatus,
    /// When it was last heard of.
    pub last_seen: Option<Timestamp>,
    /// The static group it is in, when it is in exactly one.
    pub group_id: Option<GroupId>,
    /// All static groups it is in.
    pub group_ids: Vec<GroupId>,
    /// What its components run.
    pub components: Vec<ComponentView>,
    /// Free text by key.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// What people know about it, by name.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeValue>,
    /// Words that people put on it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it registered.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// What one component of a device runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ComponentView {
    /// The component.
    pub component: ComponentName,
    /// Its version, as last reported.
    pub version: Option<Version>,
    /// SHA-256 of the signed manifest it was installed from.
    pub manifest_sha256: Option<Sha256Digest>,
    /// When it was reported.
    pub reported_at: Timestamp,
}

/// Change a device. Fields that are left out stay as they are.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceUpdate {
    /// Replaces the metadata: at most 64 keys, 16 KiB in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, serde_json::Value>>,
    /// Puts the device into exactly these static groups; at most 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_ids: Option<Vec<GroupId>>,
}

/// Which devices.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only of this type.
    pub device_type: Option<String>,
    /// Only with this status.
    pub status: Option<DeviceStatus>,
    /// Only members of this group.
    pub group_id: Option<GroupId>,
    /// Only with exactly this hardware id.
    pub hardware_id: Option<String>,
    /// Only those for which this condition holds: `device.attr.region == "eu" && "canary" in device.tags`.
    pub filter: Option<String>,
    /// A condition in the spelling of RSQL, instead of `filter`: `attribute.region==eu;tag==canary`.
    pub rsql: Option<String>,
}

/// Which devices to count.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeviceCountFilter {
    /// Only of this type.
    pub device_type: Option<String>,
    /// Only with this status.
    pub status: Option<DeviceStatus>,
    /// Only members of this group.
    pub group_id: Option<GroupId>,
    /// Only those for which this condition holds.
    pub filter: Option<String>,
    /// A condition in the spelling of RSQL, instead of `filter`.
    pub rsql: Option<String>,
}

/// How many devices there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCount {
    /// How many.
    pub count: u64,
}
