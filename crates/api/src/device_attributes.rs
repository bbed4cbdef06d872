//! Attributes of devices.

use std::collections::BTreeMap;

use drover_types::AttributeValue;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What people know about a device, by name: at most 100.
///
/// A name is 1 to 63 characters `a-z`, `0-9` or `_` and begins with a letter; a text has at most 256 bytes. Conditions
/// see them as `device.attr.NAME`. Devices cannot change them.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceAttributes {
    /// The values by name.
    pub attributes: BTreeMap<String, AttributeValue>,
}

/// Change some attributes of a device; the others stay as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceAttributesChange {
    /// New values by name.
    #[serde(default)]
    pub set: BTreeMap<String, AttributeValue>,
    /// Names of attributes that go; one that is not there is gone already.
    #[serde(default)]
    pub unset: Vec<String>,
}
