//! What the planner can say.

use drover_types::{RolloutState, StageState, Timestamp, UpdateSessionId};

/// One thing for the driver to do. Stages are named by their index, 0 first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// The rollout becomes active.
    Activate,
    /// The stage becomes opening; the driver chooses its devices and then makes it running.
    OpenStage {
        /// Which stage.
        stage: usize,
    },
    /// The stage becomes soaking.
    SoakStage {
        /// Which stage.
        stage: usize,
        /// When the soak is over.
        until: Timestamp,
    },
    /// The stage has passed.
    PassStage {
        /// Which stage.
        stage: usize,
    },
    /// The stage has failed: one of its gates tripped.
    FailStage {
        /// Which stage.
        stage: usize,
        /// Why, for a person.
        reason: String,
    },
    /// The rollout becomes paused.
    Pause {
        /// Why, for a person.
        reason: String,
    },
    /// The rollout becomes cancelled.
    Cancel {
        /// Why, for a person.
        reason: String,
    },
    /// The rollout becomes rolling back.
    BeginRollback {
        /// Why, for a person.
        reason: String,
    },
    /// These sessions were silent for too long and become timed out.
    TimeOutSessions {
        /// Which sessions; at most [`crate::MAX_DUE_SESSIONS`].
        sessions: Vec<UpdateSessionId>,
    },
    /// All pending and merely offered sessions of the rollout become cancelled. Said again on every plan until nothing
    /// is left in flight: doing it twice changes nothing.
    CallOffWaiting,
    /// Make and start the rollout that takes the updated devices back.
    CreateRollback,
    /// The rollout becomes rolled back.
    FinishRollback,
    /// The rollout becomes completed.
    Complete,
}

impl Decision {
    /// The state that the rollout takes on; none when it keeps its own.
    pub const fn rollout_state(&self) -> Option<RolloutState> {
        match self {
            Self::Activate => Some(RolloutState::Active),
            Self::Pause { .. } => Some(RolloutState::Paused),
            Self::Cancel { .. } => Some(RolloutState::Cancelled),
            Self::BeginRollback { .. } => Some(RolloutState::RollingBack),
            Self::FinishRollback => Some(RolloutState::RolledBack),
            Self::Complete => Some(RolloutState::Completed),
            Self::OpenStage { .. }
            | Self::SoakStage { .. }
            | Self::PassStage { .. }
            | Self::FailStage { .. }
            | Self::TimeOutSessions { .. }
            | Self::CallOffWaiting
            | Self::CreateRollback => None,
        }
    }

    /// The stage that changes and the state that it takes on; none when no stage changes.
    pub const fn stage_state(&self) -> Option<(usize, StageState)> {
        match self {
            Self::OpenStage { stage } => Some((*stage, StageState::Opening)),
            Self::SoakStage { stage, .. } => Some((*stage, StageState::Soaking)),
            Self::PassStage { stage } => Some((*stage, StageState::Passed)),
            Self::FailStage { stage, .. } => Some((*stage, StageState::Failed)),
            _ => None,
        }
    }
}
