//! Update sessions.

use drover_types::{
    ComponentName, DeviceId, FailureClass, FirmwareId, RolloutId, SessionState, Timestamp, UpdateSessionId,
    UpdateStatus, Version,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One device's passage through one rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSession {
    /// The session's id.
    pub id: UpdateSessionId,
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Index of the stage, from 0.
    pub stage: u32,
    /// The device.
    pub device_id: DeviceId,
    /// The device's hardware id.
    pub hardware_id: String,
    /// The component.
    pub component: ComponentName,
    /// The firmware that it brings.
    pub firmware_id: FirmwareId,
    /// That firmware's version.
    pub version: Version,
    /// What ran before.
    pub from_version: Option<Version>,
    /// Where it stands.
    pub state: SessionState,
    /// Source 002's shorter state; none for sessions that it does not count.
    pub status: Option<UpdateStatus>,
    /// Share done, 0 to 100.
    pub progress: u8,
    /// The class of the failure.
    pub failure_class: Option<FailureClass>,
    /// A short stable code of the failure.
    pub failure_code: Option<String>,
    /// What happened, for a person.
    pub error_message: Option<String>,
    /// When the device was told.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// How long it took, in seconds.
    pub duration: Option<u64>,
}

/// Which update sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UpdateSessionFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only in this state.
    pub state: Option<SessionState>,
}
