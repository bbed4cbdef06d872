//! What the planner looks at: how a rollout stands at one moment.

use drover_types::{RolloutKind, RolloutState, SessionState, StageState, Timestamp, UpdateSessionId};

/// The most due sessions that one snapshot carries and one plan times out; the rest wait for the next plan.
pub const MAX_DUE_SESSIONS: usize = 1_000;

/// A rollout at one moment, all of it read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The rollout's state.
    pub state: RolloutState,
    /// Why the rollout exists; a rollback has no gates.
    pub kind: RolloutKind,
    /// Its stages: as many as the policy has, in the same order.
    pub stages: Vec<StageSnapshot>,
    /// Sessions in flight whose `next_action_at` has come, earliest first; at most [`MAX_DUE_SESSIONS`].
    pub due: Vec<DueSession>,
    /// The state of the rollout that takes this one back, once it is made.
    pub child: Option<RolloutState>,
    /// Some session succeeded on a device that has something to return to.
    pub children_needed: bool,
}

impl Snapshot {
    /// Sessions in flight in the whole rollout.
    pub fn in_flight(&self) -> u64 {
        self.stages.iter().map(|stage| stage.counts.in_flight).sum()
    }

    /// No session of the rollout is pending or in flight.
    pub fn all_ended(&self) -> bool {
        self.stages.iter().all(|stage| stage.counts.all_ended())
    }

    /// The first stage that is not done, and its index.
    pub(crate) fn current_stage(&self, success_threshold: f64) -> Option<(usize, &StageSnapshot)> {
        self.stages.iter().enumerate().find(|(_, stage)| !stage.is_done(success_threshold))
    }
}

/// A stage at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageSnapshot {
    /// The stage's state.
    pub state: StageState,
    /// When its soak is over; set while it is soaking.
    pub soak_until: Option<Timestamp>,
    /// How its sessions stand.
    pub counts: StageCounts,
}

impl StageSnapshot {
    /// The next stage need not wait for this one: it passed, or it failed, a person went on and enough of it ended,
    /// whichever way. Done or not, it may have stragglers.
    fn is_done(&self, success_threshold: f64) -> bool {
        match self.state {
            StageState::Passed => true,
            StageState::Failed => {
                self.counts.all_ended() || self.counts.is_enough(self.counts.ended(), success_threshold)
            }
            StageState::Waiting | StageState::Opening | StageState::Running | StageState::Soaking => false,
        }
    }
}

/// How many sessions of a stage stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StageCounts {
    /// Chosen and not offered yet.
    pub pending: u64,
    /// Offered or at work.
    pub in_flight: u64,
    /// Succeeded.
    pub succeeded: u64,
    /// Failed, rolled back, rejected or timed out.
    pub failed: u64,
    /// Called off before anything was installed.
    pub cancelled: u64,
    /// There was nothing to do.
    pub skipped: u64,
}

impl StageCounts {
    /// Sessions that gates judge: those that succeeded or failed, not those cancelled or skipped.
    pub const fn ended(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// Sessions that the success threshold is a share of: all but those cancelled or skipped.
    pub const fn counted(&self) -> u64 {
        self.pending.saturating_add(self.in_flight).saturating_add(self.ended())
    }

    /// All sessions.
    pub const fn total(&self) -> u64 {
        self.counted().saturating_add(self.cancelled).saturating_add(self.skipped)
    }

    /// Nothing is pending or in flight.
    pub const fn all_ended(&self) -> bool {
        self.pending == 0 && self.in_flight == 0
    }

    /// Whether `sessions`, some of [`Self::counted`], are one at least and that share of them.
    pub(crate) fn is_enough(&self, sessions: u64, threshold: f64) -> bool {
        sessions > 0 && share(sessions, self.counted()).is_some_and(|share| share >= threshold)
    }

    /// The share of [`Self::ended`] that failed, 0 to 1; 0 when none ended.
    pub fn failure_share(&self) -> f64 {
        share(self.failed, self.ended()).unwrap_or(0.0)
    }

    /// The share of [`Self::ended`] that succeeded, 0 to 1; 1 when none ended.
    pub fn success_share(&self) -> f64 {
        share(self.succeeded, self.ended()).unwrap_or(1.0)
    }
}

/// `part` of `whole`, none of an empty whole. Both are exact below 2^53 and the division rounds once, as the decimal
/// text of a threshold does: 3 of 10 is exactly a threshold of 0.3.
#[expect(clippy::cast_precision_loss, reason = "counts of devices stay far below 2^53")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A session in flight whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueSession {
    /// Which session.
    pub id: UpdateSessionId,
    /// Its state.
    pub state: SessionState,
    /// When it is timed out unless it reports before.
    pub next_action_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_judge_neither_cancelled_nor_skipped_sessions() {
        let counts = StageCounts { pending: 1, in_flight: 2, succeeded: 7, failed: 3, cancelled: 5, skipped: 9 };
        assert_eq!((counts.ended(), counts.counted(), counts.total()), (10, 13, 27));
        assert!(counts.failure_share() >= 0.3 && counts.failure_share() <= 0.3);
        assert!(counts.success_share() >= 0.7 && counts.success_share() <= 0.7);
    }

    #[test]
    fn an_empty_stage_has_neither_failed_nor_missed_its_success() {
        let counts = StageCounts::default();
        assert!(counts.failure_share() <= 0.0 && counts.success_share() >= 1.0);
    }
}
