//! A simulated rollout: what a store would hold, and decisions applied to it with every rule checked.

use drover_rollout::{Decision, DueSession, Policy, Snapshot, StageCounts, StageSnapshot};
use drover_types::{RolloutKind, RolloutState, SessionState, StageState, Timestamp, UpdateSessionId};

use crate::any::session_id;

/// What a device does with an offer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Device {
    /// It ends so, this many ticks after the offer.
    Ends(SessionState, u32),
    /// It is out of reach for so many ticks, then ends so.
    Away(u32, SessionState),
    /// It never shows up.
    Absent,
    /// It falls silent at once, or after the switch.
    Silent { after_switch: bool },
    /// It falls silent and, once given up on, says that it ended so.
    Late(SessionState),
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: UpdateSessionId,
    pub(crate) device: Device,
    pub(crate) stage: usize,
    pub(crate) state: SessionState,
    pub(crate) next_action_at: Timestamp,
    /// Ticks since the offer.
    pub(crate) age: u32,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) policy: Policy,
    pub(crate) kind: RolloutKind,
    pub(crate) devices: Vec<Device>,
    pub(crate) state: RolloutState,
    pub(crate) stages: Vec<(StageState, Option<Timestamp>)>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) child: Option<RolloutState>,
    pub(crate) now: Timestamp,
    pub(crate) tick: u32,
    /// How often a gate paused the rollout.
    pub(crate) gate_pauses: usize,
    /// A gate tripped and nobody went on since.
    pub(crate) is_stopped_by_gate: bool,
}

impl World {
    pub(crate) fn new(policy: Policy, kind: RolloutKind, devices: Vec<Device>) -> Self {
        let stages = vec![(StageState::Waiting, None); policy.stages.len()];
        Self {
            policy,
            kind,
            devices,
            state: RolloutState::Scheduled,
            stages,
            sessions: Vec::new(),
            child: None,
            now: Timestamp::from_micros(0),
            tick: 0,
            gate_pauses: 0,
            is_stopped_by_gate: false,
        }
    }

    /// How many devices may have been chosen once the stage is open.
    pub(crate) fn share(&self, stage: usize) -> usize {
        let (all, policy) = (self.devices.len(), &self.policy.stages[stage]);
        let before = self.sessions.iter().filter(|session| session.stage < stage).count();
        let matching = policy.condition.as_ref().map(|matching| matching.parse::<usize>().expect("a number"));
        match (matching, policy.percentage) {
            (Some(matching), _) => (before + matching).min(all),
            (None, percentage) => (usize::from(percentage.unwrap_or(0)) * all).div_ceil(100).max(before),
        }
    }

    pub(crate) fn counts(&self, stage: usize) -> StageCounts {
        let mut counts = StageCounts::default();
        for session in self.sessions.iter().filter(|session| session.stage == stage) {
            let counter = match session.state {
                SessionState::Pending => &mut counts.pending,
                SessionState::Succeeded => &mut counts.succeeded,
                SessionState::Cancelled => &mut counts.cancelled,
                SessionState::Skipped => &mut counts.skipped,
                ended if ended.is_failure() => &mut counts.failed,
                _ => &mut counts.in_flight,
            };
            *counter += 1;
        }
        counts
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.sessions.iter().filter(|session| session.state.is_in_flight()).count()
    }

    pub(crate) fn is_drained(&self) -> bool {
        self.sessions.iter().all(|session| session.state.is_final())
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let stage = |(index, (state, soak_until)): (usize, &(StageState, Option<Timestamp>))| StageSnapshot {
            state: *state,
            soak_until: *soak_until,
            counts: self.counts(index),
        };
        let is_due = |s: &&Session| s.state.is_in_flight() && s.next_action_at <= self.now;
        let due = |s: &Session| DueSession { id: s.id, state: s.state, next_action_at: s.next_action_at };
        Snapshot {
            state: self.state,
            kind: self.kind,
            stages: self.stages.iter().enumerate().map(stage).collect(),
            due: self.sessions.iter().filter(is_due).map(due).collect(),
            child: self.child,
            children_needed: self.sessions.iter().any(|s| s.state == SessionState::Succeeded),
        }
    }

    /// Adds a session for the next device.
    pub(crate) fn choose_device(&mut self, stage: usize) {
        let number = self.sessions.len();
        let (id, device) = (session_id(number), self.devices[number]);
        let session = Session { id, device, stage, state: SessionState::Pending, next_action_at: self.now, age: 0 };
        self.sessions.push(session);
    }

    /// Does what was decided; fails when a decision breaks a rule. Whether anything changed.
    pub(crate) fn apply(&mut self, decision: &Decision) -> bool {
        self.check(decision);
        if let Some(next) = decision.rollout_state() {
            self.state = next;
        }
        if let Some((stage, next)) = decision.stage_state() {
            self.stages[stage].0 = next;
        }
        match decision {
            Decision::SoakStage { stage, until } => self.stages[*stage].1 = Some(*until),
            Decision::Pause { .. } | Decision::Cancel { .. } | Decision::BeginRollback { .. } => {
                self.is_stopped_by_gate = true;
                self.gate_pauses += usize::from(self.state == RolloutState::Paused);
                assert!(self.gate_pauses <= self.stages.len(), "a person resumes in vain");
            }
            Decision::TimeOutSessions { sessions } => self.end(SessionState::TimedOut, |s| sessions.contains(&s.id)),
            Decision::CallOffWaiting => {
                let is_waiting = |s: &Session| matches!(s.state, SessionState::Pending | SessionState::Offered);
                let is_any_waiting = self.sessions.iter().any(is_waiting);
                self.end(SessionState::Cancelled, is_waiting);
                return is_any_waiting;
            }
            Decision::CreateRollback => self.child = Some(RolloutState::Active),
            _ => {}
        }
        true
    }

    fn end(&mut self, state: SessionState, is_meant: impl Fn(&Session) -> bool) {
        for session in self.sessions.iter_mut().filter(|session| is_meant(session)) {
            session.state = state;
        }
    }
}
