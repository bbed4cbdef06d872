//! What a rollout would do.

use drover_types::{DeviceId, Exclusion, Version};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What a rollout would do if it was created and all its stages opened now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutPreview {
    /// How many devices it would take.
    pub devices: u64,
    /// How many of them are at work for another rollout: they wait until that ended.
    pub busy: u64,
    /// How many each stage would take.
    pub stages: Vec<StagePreview>,
    /// By device type: the 50 with the most devices that it would take.
    pub by_type: PreviewShares,
    /// Devices of the firmware's type, by what they run now: the 50 versions with the most devices that it would take.
    pub by_version: PreviewShares,
    /// The devices that it would leave out, by reason. A device counts for the first reason that applies.
    pub excluded: Vec<ExclusionPreview>,
}

/// What one stage would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StagePreview {
    /// The stage's name.
    pub name: String,
    /// How many devices it would take.
    pub devices: u64,
}

/// Devices by something that they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewShares {
    /// The largest.
    pub items: Vec<PreviewShare>,
    /// How many devices all others have.
    pub other_devices: u64,
    /// How many of those it would take.
    pub other_taken: u64,
}

/// Devices that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewShare {
    /// What: a type or a version. None for devices that have reported no version.
    pub name: Option<String>,
    /// How many there are.
    pub devices: u64,
    /// How many of them it would take.
    pub taken: u64,
}

/// Devices that are left out for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExclusionPreview {
    /// The reason.
    pub reason: Exclusion,
    /// The reason, for a person.
    pub explanation: String,
    /// How many devices.
    pub devices: u64,
    /// The first 20 of them. `POST /api/v1/rollouts/preview/excluded` lists all.
    pub sample: Vec<ExcludedDevice>,
}

/// A device that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExcludedDevice {
    /// The device.
    pub device_id: DeviceId,
    /// Its hardware id.
    pub hardware_id: String,
    /// Its type.
    pub device_type: String,
    /// What the rollout's component runs.
    pub version: Option<Version>,
    /// Why it is left out.
    pub reason: Exclusion,
    /// What of the device is the cause, for a person.
    pub detail: String,
}

/// Which of the devices that are left out.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExcludedFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only for this reason.
    pub reason: Option<Exclusion>,
}
