//! The rules of a simulated rollout, said again without the planner.

use std::time::Duration;

use drover_rollout::{Decision, StageCounts, next_tick, plan};
use drover_types::{RolloutKind, RolloutState, SessionState, StageState};

use crate::world::{Device, Session, World};

impl World {
    /// Fails when the decision breaks a rule.
    pub(crate) fn check(&self, decision: &Decision) {
        if let Some(next) = decision.rollout_state() {
            assert!(self.state.may_become(next), "{} -> {next}", self.state);
        }
        if let Some((stage, next)) = decision.stage_state() {
            let current = self.stages[stage].0;
            assert!(current.may_become(next), "stage {stage}: {current} -> {next}");
        }
        match decision {
            Decision::OpenStage { stage } => self.check_open(*stage),
            Decision::SoakStage { stage, .. } => assert!(self.may_pass(*stage)),
            Decision::PassStage { stage } => {
                assert!(self.may_pass(*stage));
                let soaked = Duration::from_millis(self.policy.stages[*stage].soak_ms);
                let is_soaked = self.stages[*stage].1.is_some_and(|until| until <= self.now);
                assert!(is_soaked || soaked.is_zero() || self.counts(*stage).ended() == 0);
                assert!(!self.has_nobody_run(*stage), "the firmware would go further and nobody ran it");
            }
            Decision::FailStage { stage, .. } => {
                assert!(self.is_stopped_by_gate, "the rollout is stopped first");
                assert_eq!(self.current(), Some(*stage));
            }
            Decision::TimeOutSessions { sessions } => {
                let is_due = |s: &Session| s.state.is_in_flight() && s.next_action_at <= self.now;
                let due = self.sessions.iter().filter(|s| sessions.contains(&s.id) && is_due(s)).count();
                assert_eq!(due, sessions.len());
            }
            Decision::CallOffWaiting => {
                assert!(matches!(self.state, RolloutState::Cancelled | RolloutState::RollingBack), "{}", self.state);
            }
            Decision::CreateRollback => assert!(self.child.is_none() && self.is_drained()),
            Decision::FinishRollback => assert!(self.child != Some(RolloutState::Active) && self.is_drained()),
            Decision::Complete => assert!(self.is_drained() && self.sessions.len() == self.devices.len()),
            Decision::Activate => assert!(self.is_started(0)),
            Decision::Pause { .. } => {
                assert!(self.is_any_gate_tripped());
                let current = self.current().map(|stage| self.stages[stage].0);
                assert!(matches!(current, Some(StageState::Running | StageState::Soaking)), "{current:?}");
            }
            Decision::Cancel { .. } | Decision::BeginRollback { .. } => {
                assert!(self.is_any_gate_tripped());
                assert!(self.sessions.iter().any(|s| s.state.is_failure()), "that nobody ran it only pauses");
            }
        }
    }

    fn check_open(&self, stage: usize) {
        assert_eq!(self.state, RolloutState::Active);
        assert!(self.is_started(stage));
        assert!((0..stage).all(|earlier| self.is_done(earlier)));
        assert!(self.stages[stage..].iter().all(|(s, _)| *s == StageState::Waiting));
    }

    fn is_started(&self, stage: usize) -> bool {
        self.policy.stages[stage].start_time.is_none_or(|start| start <= self.now)
    }

    /// The first stage that is not done.
    pub(crate) fn current(&self) -> Option<usize> {
        (0..self.stages.len()).find(|stage| !self.is_done(*stage))
    }

    fn is_done(&self, stage: usize) -> bool {
        let counts = self.counts(stage);
        match self.stages[stage].0 {
            StageState::Passed => true,
            StageState::Failed => is_over(&counts) || self.is_enough(counts.ended(), &counts),
            _ => false,
        }
    }

    fn may_pass(&self, stage: usize) -> bool {
        self.state == RolloutState::Active && self.is_satisfied(stage) && !self.is_any_gate_tripped()
    }

    fn is_satisfied(&self, stage: usize) -> bool {
        let counts = self.counts(stage);
        let has_enough = self.kind == RolloutKind::Update && self.is_enough(counts.succeeded, &counts);
        has_enough || is_over(&counts)
    }

    fn is_enough(&self, sessions: u64, counts: &StageCounts) -> bool {
        let exact = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let all = counts.pending + counts.in_flight + counts.succeeded + counts.failed;
        sessions > 0 && exact(sessions) / exact(all) >= self.policy.success_threshold
    }

    /// Whether a gate has tripped by now: of the current stage, or of one that passed after the last overridden one.
    pub(crate) fn is_any_gate_tripped(&self) -> bool {
        let Some(current) = self.current() else { return false };
        let overridden = |stage: usize| (stage..=current).any(|later| self.stages[later].0 == StageState::Failed);
        let is_judged = matches!(self.stages[current].0, StageState::Running | StageState::Soaking);
        let has_own = is_judged && (self.has_failed(current) || self.has_missed_success(current));
        has_own
            || self.has_nobody_run(current)
            || (0..current).any(|stage| !overridden(stage) && self.has_failed(stage))
    }

    /// Whether a running stage ended in which nobody ran the update though somebody was meant to.
    fn has_nobody_run(&self, stage: usize) -> bool {
        let counts = self.counts(stage);
        let ran = counts.succeeded + counts.failed;
        let is_meant = self.policy.stages[stage].condition.is_some() || counts.skipped + counts.cancelled > 0;
        let is_followed = stage + 1 < self.stages.len() && self.kind == RolloutKind::Update;
        self.stages[stage].0 == StageState::Running && is_followed && is_meant && is_over(&counts) && ran == 0
    }

    fn has_failed(&self, stage: usize) -> bool {
        let counts = self.counts(stage);
        let is_looking = is_over(&counts) || counts.ended() >= u64::from(self.policy.min_sample);
        let is_gated = self.kind == RolloutKind::Update && counts.ended() > 0;
        is_gated && is_looking && counts.failure_share() >= self.policy.rollback_threshold
    }

    fn has_missed_success(&self, stage: usize) -> bool {
        let counts = self.counts(stage);
        let is_gated = self.kind == RolloutKind::Update && counts.ended() > 0;
        is_gated && is_over(&counts) && counts.success_share() < self.policy.success_threshold
    }

    /// Whether the driver has nothing to do until a device shows up: the rollout is active, nothing is at work, no
    /// time is waited for, and whoever could be offered something is out of reach for good.
    pub(crate) fn is_at_rest(&self) -> bool {
        let is_opening = self.stages.iter().any(|(state, _)| *state == StageState::Opening);
        let snapshot = self.snapshot();
        let is_idle = plan(&self.policy, &snapshot, self.now).is_empty();
        let is_awaited = next_tick(&self.policy, &snapshot, self.now).is_some();
        let is_absent = |s: &Session| s.state.is_final() || matches!(s.device, Device::Absent);
        self.state == RolloutState::Active
            && !is_opening
            && is_idle
            && !is_awaited
            && self.in_flight() == 0
            && self.sessions.iter().all(is_absent)
    }

    /// A rollout at rest waits for those who never show up, and it goes no further only if too many of them are absent.
    pub(crate) fn check_rest(&self) {
        let absent = self.sessions.iter().filter(|s| s.state == SessionState::Pending).count();
        assert!(absent > 0, "nothing is waited for: {self:?}");
        let Some(current) = self.current() else {
            assert_eq!(self.sessions.len(), self.devices.len());
            return;
        };
        let (state, counts) = (self.stages[current].0, self.counts(current));
        assert!(counts.pending > 0, "nothing is waited for in stage {current}: {self:?}");
        match state {
            StageState::Running => assert!(!self.is_satisfied(current)),
            StageState::Failed => assert!(!self.is_enough(counts.ended(), &counts)),
            _ => panic!("stage {current} rests {state}"),
        }
    }
}

fn is_over(counts: &StageCounts) -> bool {
    counts.pending + counts.in_flight == 0
}
