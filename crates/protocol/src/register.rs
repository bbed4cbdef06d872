//! Registration.

use drover_types::{DeviceId, TenantId};
use serde::{Deserialize, Serialize};

use crate::ComponentReport;

/// A device introduces itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct RegisterRequest {
    /// VIN or serial number: 1 to 128 printable characters, unique in its tenant.
    pub hardware_id: String,
    /// What kind of device it is; firmware is made for one type. 1 to 64 characters `a-z0-9._-`.
    pub device_type: String,
    /// What it runs now, per component; at most 64.
    #[serde(default)]
    pub components: Vec<ComponentReport>,
}

/// The device's identity from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct RegisterReply {
    /// The tenant that the enrolment token belongs to.
    pub tenant_id: TenantId,
    /// The device's id.
    pub device_id: DeviceId,
    /// The device's bearer token; shown this once.
    pub token: String,
    /// How long to wait between checks, in milliseconds.
    pub poll_interval_ms: u64,
    /// Public keys (PEM) that may sign firmware of this tenant. A device that was not given keys
    /// beforehand pins these, once.
    #[serde(default)]
    pub release_keys: Vec<String>,
}

impl std::fmt::Debug for RegisterReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("RegisterReply").field("device_id", &self.device_id).finish_non_exhaustive()
    }
}
