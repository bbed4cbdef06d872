//! Rollouts.

use std::collections::BTreeMap;

use drover_types::{
    BreachAction, ComponentName, FirmwareId, GroupId, RolloutId, RolloutKind, RolloutState, StageState, Timestamp,
    Version,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A plan that takes a firmware to a target in stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Rollout {
    /// The rollout's id.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// Update, or the way back from one.
    pub kind: RolloutKind,
    /// Where it stands.
    pub status: RolloutState,
    /// Why it paused, was cancelled or rolls back.
    pub reason: Option<String>,
    /// The firmware that it brings; of a rollback, the one that it takes back.
    pub firmware_id: FirmwareId,
    /// The firmware's version.
    pub version: Version,
    /// The device type that it is for.
    pub device_type: String,
    /// The component that it is for.
    pub component: ComponentName,
    /// The rollout that this one takes back.
    pub parent_id: Option<RolloutId>,
    /// Only members of these groups; all devices of the type when empty.
    pub target_groups: Vec<GroupId>,
    /// Only devices for which this holds, besides.
    #[serde(default)]
    pub target_condition: Option<String>,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Share of a stage's devices that must succeed before the next stage opens, 0 to 1; the others follow later.
    pub success_threshold: f64,
    /// Share of a stage's finished devices whose failure trips the gate, above 0 to 1.
    pub rollback_threshold: f64,
    /// Finished devices before the failure gate may trip.
    pub min_sample: u32,
    /// What happens when the failure gate trips.
    pub on_breach: BreachAction,
    /// How many devices may be at work at once; any number when none.
    pub max_in_flight: Option<u32>,
    /// Silence after which a device at work counts as failed, in milliseconds.
    pub session_timeout_ms: u64,
    /// Devices by state.
    pub counts: RolloutCounts,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When its sessions were moved to the archive, 90 days after it ended unless set otherwise. They can be read as
    /// before; the rollout cannot be taken back any more.
    pub archived_at: Option<Timestamp>,
}

/// One stage of a rollout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The share of the target that has it when the stage is over, cumulative, in percent. None for a stage by condition.
    pub percentage: Option<u8>,
    /// The stage takes all of the target for which this holds, and that earlier stages left.
    #[serde(default)]
    pub condition: Option<String>,
    /// Not before this time.
    pub start_time: Option<Timestamp>,
    /// How long to wait after the last success, in milliseconds.
    pub soak_ms: u64,
    /// Where it stands.
    pub status: StageState,
    /// When its devices were chosen.
    pub opened_at: Option<Timestamp>,
    /// When it passed or failed.
    pub completion_time: Option<Timestamp>,
    /// Devices by state.
    pub counts: RolloutCounts,
}

/// Devices by state. Called-off and skipped devices are left out of source 002's counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RolloutCounts {
    /// Chosen, not offered yet.
    pub pending: u64,
    /// Told or at work.
    pub in_flight: u64,
    /// Done.
    pub succeeded: u64,
    /// Failed, rolled back by itself, refused or silent.
    pub failed: u64,
    /// Called off before anything was installed.
    pub cancelled: u64,
    /// Had nothing to do.
    pub skipped: u64,
}

/// Create a rollout. It does nothing until it is started.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutCreate {
    /// Its name: 1 to 100 characters.
    pub name: String,
    /// A published firmware.
    pub firmware_id: FirmwareId,
    /// 1 to 50 stages by percentage or condition; the percentages rise, and the last stage has 100.
    pub stages: Vec<StageCreate>,
    /// Only members of these groups, at most 100; all devices of the firmware's type when empty.
    #[serde(default)]
    pub target_groups: Vec<GroupId>,
    /// Only devices for which this holds, besides: a condition such as `device.attr.region == "eu"`. What it asks for has
    /// to hold when the stage opens, and again when the device comes for the update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_condition: Option<String>,
    /// Share of a stage's devices that must succeed before the next stage opens, 0 to 1; 0.95 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<f64>,
    /// Share of a stage's finished devices whose failure trips the gate, above 0 to 1; 0.2 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_threshold: Option<f64>,
    /// Finished devices before the failure gate may trip; 10 when not given. In a smaller stage the gate looks when all have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_sample: Option<u32>,
    /// What happens when the failure gate trips; `pause` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_breach: Option<BreachAction>,
    /// How many devices may be at work at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Silence after which a device at work counts as failed, in milliseconds: 1 000 to 30 days; 1 day when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout_ms: Option<u64>,
}

/// One stage of a new rollout.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StageCreate {
    /// Its name; `stage N` when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Cumulative share of the target in percent, 1 to 100; earlier stages by condition count. Either this or a condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u8>,
    /// Takes all of the target for which this holds when the stage opens, and that earlier stages left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// How long to wait after the last success, in milliseconds; 0 when not given, at most 30 days.
    #[serde(default)]
    pub soak_ms: u64,
}

/// Change a rollout: its name at any time, all else only while it is a draft.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutUpdate {
    /// A new name: 1 to 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<Vec<StageCreate>>,
    /// New target groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_groups: Option<Vec<GroupId>>,
    /// New target condition. Null is not given, as in every field here: the condition stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_condition: Option<String>,
    /// Removes the target condition: then the rollout is for all devices of the type, or of its groups.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_target_condition: bool,
    /// New success threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<f64>,
    /// New failure threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_threshold: Option<f64>,
    /// New minimum sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_sample: Option<u32>,
    /// New action of the failure gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_breach: Option<BreachAction>,
    /// New cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// New time-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_timeout_ms: Option<u64>,
}

/// Take a rollout back.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutRollback {
    /// Why: at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Which rollouts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RolloutFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only in this state.
    pub status: Option<RolloutState>,
    /// Only the ways back from this rollout.
    pub parent_id: Option<RolloutId>,
}

/// How a rollout is doing, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutMetrics {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// Where it stands.
    pub status: RolloutState,
    /// Devices by state.
    pub counts: RolloutCounts,
    /// Succeeded share of finished devices, 0 to 1; none before the first one finished.
    pub success_rate: Option<f64>,
    /// Failed devices by failure class.
    pub failures_by_class: BTreeMap<String, u64>,
    /// The same per stage.
    pub stages: Vec<StageMetrics>,
}

/// How one stage is doing, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageMetrics {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub status: StageState,
    /// Devices by state.
    pub counts: RolloutCounts,
}
