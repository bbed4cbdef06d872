//! What a person asked of a rollout.

use drover_types::{BreachAction, Timestamp};
use serde::{Deserialize, Serialize};

/// How a rollout proceeds. Stored as JSON; fields that are left out take the defaults below, unknown ones are refused.
/// Call [`Policy::validate`] before storing one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// 1 to 50 stages, each with a percentage or a condition; the percentages rise strictly and the last stage has 100.
    pub stages: Vec<StagePolicy>,
    /// The share of a stage's sessions that must have succeeded for the stage to pass, 0 to 1, and one at least.
    /// Sessions that are pending or in flight count against it; those cancelled or skipped do not count. A stage that
    /// passed does not wait for the rest. 0.95 when left out: one vehicle in twenty may be out of reach for weeks.
    #[serde(default = "default_success_threshold")]
    pub success_threshold: f64,
    /// The share of the ended sessions of a stage, the current or a passed one, that failed at or above which the
    /// failure gate trips, above 0 and up to 1. 0.2 when left out.
    #[serde(default = "default_rollback_threshold")]
    pub rollback_threshold: f64,
    /// How many sessions of the stage must have ended before the failure gate looks, at least 1; a stage with fewer is
    /// looked at when all of it ended. 10 when left out: one bad device of the first few proves nothing.
    #[serde(default = "default_min_sample")]
    pub min_sample: u32,
    /// What happens when a gate trips. `pause` when left out: it harms nothing and asks a person.
    #[serde(default = "default_on_breach")]
    pub on_breach: BreachAction,
    /// The most sessions in flight at once in the whole rollout, at least 1; no cap when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Milliseconds without any report after which a session in flight is timed out, 1 000 to 30 days. One day when
    /// left out: a vehicle that is parked overnight is not a failure.
    #[serde(default = "default_session_timeout_ms")]
    pub session_timeout_ms: u64,
}

/// One stage of a [`Policy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagePolicy {
    /// What a person calls it, 1 to 100 characters.
    pub name: String,
    /// The share of the target that is chosen once this stage is open, earlier stages included: 1 to 100 per cent. None
    /// for a stage by condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentage: Option<u8>,
    /// The stage takes all of the target for which this holds, and that earlier stages left. Text that only the driver
    /// reads. None for a stage by percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The stage opens no earlier than this; at once when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// Milliseconds to wait after enough success before the stage passes, up to 90 days; 0 when left out.
    #[serde(default)]
    pub soak_ms: u64,
}

impl Policy {
    /// The policy of a rollout that takes devices back: one stage with everyone, no gate that could stop it.
    pub fn for_rollback(max_in_flight: Option<u32>, session_timeout_ms: u64) -> Self {
        Self {
            stages: vec![StagePolicy::by_percentage("rollback", 100)],
            success_threshold: 0.0,
            rollback_threshold: 1.0,
            min_sample: u32::MAX,
            on_breach: BreachAction::Pause,
            max_in_flight,
            session_timeout_ms,
        }
    }
}

impl StagePolicy {
    /// A stage that opens at once and does not soak.
    pub fn by_percentage(name: impl Into<String>, percentage: u8) -> Self {
        Self { name: name.into(), percentage: Some(percentage), condition: None, start_time: None, soak_ms: 0 }
    }
}

const fn default_success_threshold() -> f64 {
    0.95
}

const fn default_rollback_threshold() -> f64 {
    0.2
}

const fn default_min_sample() -> u32 {
    10
}

const fn default_on_breach() -> BreachAction {
    BreachAction::Pause
}

const fn default_session_timeout_ms() -> u64 {
    24 * 60 * 60 * 1_000
}
