//! A small driver, its devices and a person who interferes.

use std::time::Duration;

use drover_rollout::{Decision, offer_slots, plan};
use drover_types::{RolloutState, SessionState, StageState};

use crate::world::{Device, Session, World};

const TICK: Duration = Duration::from_secs(10);
/// No simulated rollout may take longer.
const TICKS_MAX: u32 = 4_000;
/// After so many ticks somebody resumes a paused rollout.
const PATIENCE_TICKS: u32 = 15;
/// Devices that the driver chooses per tick.
const CHOICE_BATCH: usize = 7;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Person {
    Pauses,
    Resumes,
    Cancels,
    RollsBack,
}

/// Drives the rollout until it ended, or until it rests because nobody shows up who could be offered something, with a
/// person who acts at some ticks. Fails when it does neither.
pub(crate) fn run(world: &mut World, person: &[(u32, Person)]) {
    let (mut paused_ticks, mut child_ticks) = (0, 0);
    let last_act = person.iter().map(|(tick, _)| *tick).max().unwrap_or(0);
    for tick in 0..TICKS_MAX {
        world.tick = tick;
        for (_, act) in person.iter().filter(|(at, _)| *at == tick) {
            world.obey(*act);
        }
        paused_ticks = if world.state == RolloutState::Paused { paused_ticks + 1 } else { 0 };
        if paused_ticks > PATIENCE_TICKS {
            world.obey(Person::Resumes);
        }
        child_ticks += u32::from(world.child.is_some());
        if child_ticks > 3 {
            world.child = Some(RolloutState::Completed);
        }
        world.settle();
        world.choose();
        world.offer();
        world.let_devices_work();
        world.check_limits();
        if tick > last_act && world.state.is_final() && world.is_drained() {
            return;
        }
        if tick > last_act && world.is_at_rest() {
            world.check_rest();
            return;
        }
        world.now = world.now.plus(TICK);
    }
    panic!("the rollout did not end: {world:?}");
}

impl World {
    fn obey(&mut self, person: Person) {
        let is_unopened = self.stages[0].0 == StageState::Waiting;
        let next = match person {
            Person::Pauses => RolloutState::Paused,
            Person::Resumes if self.state != RolloutState::Paused => return,
            Person::Resumes if is_unopened => RolloutState::Scheduled,
            Person::Resumes => RolloutState::Active,
            Person::Cancels => RolloutState::Cancelled,
            Person::RollsBack => RolloutState::RollingBack,
        };
        if self.state.may_become(next) {
            self.state = next;
            self.is_stopped_by_gate = false;
        }
    }

    /// Plans and applies at one time until nothing changes: it gets there, and no two plans contradict.
    fn settle(&mut self) {
        let mut said: Vec<Decision> = Vec::new();
        loop {
            let decisions = plan(&self.policy, &self.snapshot(), self.now);
            assert_eq!(decisions, plan(&self.policy, &self.snapshot(), self.now), "the same for the same");
            let mut has_changed = false;
            for decision in decisions {
                let may_repeat = decision == Decision::CallOffWaiting;
                assert!(may_repeat || !said.contains(&decision), "said twice: {decision:?}");
                has_changed |= self.apply(&decision);
                said.push(decision);
            }
            if !has_changed {
                return;
            }
            let steps_max = 4 * self.stages.len() + 8;
            assert!(said.len() <= steps_max, "no end: {said:?}");
        }
    }

    /// Chooses the next devices of an opening stage; running once it has its share.
    fn choose(&mut self) {
        let Some(stage) = self.stages.iter().position(|(state, _)| *state == StageState::Opening) else {
            return;
        };
        if !matches!(self.state, RolloutState::Active | RolloutState::Paused) {
            return;
        }
        let missing = self.share(stage) - self.sessions.len();
        for _ in 0..missing.min(CHOICE_BATCH) {
            self.choose_device(stage);
        }
        if missing <= CHOICE_BATCH {
            self.stages[stage].0 = StageState::Running;
        }
    }

    /// Devices ask for work while there are slots; those out of reach do not.
    fn offer(&mut self) {
        let slots = offer_slots(&self.policy, &self.snapshot());
        if slots == 0 {
            return;
        }
        assert_eq!(self.state, RolloutState::Active);
        assert!(!self.is_stopped_by_gate && !self.is_any_gate_tripped(), "offered past a tripped gate");
        let deadline = self.now.plus(Duration::from_millis(self.policy.session_timeout_ms));
        let (stages, tick) = (&self.stages, self.tick);
        let is_offered = |s: &&mut Session| {
            s.state == SessionState::Pending && !matches!(stages[s.stage].0, StageState::Waiting | StageState::Opening)
        };
        let mut offered: Vec<_> = self.sessions.iter_mut().filter(is_offered).collect();
        assert!(slots <= offered.len() as u64, "slots without pending sessions");
        offered.retain(|session| session.device.asks_at(tick));
        for (session, _) in offered.into_iter().zip(0..slots) {
            session.state = SessionState::Offered;
            session.next_action_at = deadline;
        }
    }

    fn let_devices_work(&mut self) {
        let deadline = self.now.plus(Duration::from_millis(self.policy.session_timeout_ms));
        for session in &mut self.sessions {
            let next = session.next_report();
            if let Some(next) = next {
                assert!(session.state.may_become(next), "the simulation is wrong: {} -> {next}", session.state);
                session.state = next;
                session.next_action_at = deadline;
            }
            session.age += u32::from(session.state.is_in_flight());
        }
    }

    fn check_limits(&self) {
        let cap = self.policy.max_in_flight.map_or(usize::MAX, |cap| cap as usize);
        assert!(self.in_flight() <= cap, "{} in flight", self.in_flight());
        let open = self.stages.iter().rposition(|(state, _)| *state != StageState::Waiting);
        let share = open.map_or(0, |stage| self.share(stage));
        assert!(self.sessions.len() <= share, "{} chosen of a share of {share}", self.sessions.len());
    }
}

impl Device {
    /// Whether the device is in reach at that tick.
    fn asks_at(self, tick: u32) -> bool {
        match self {
            Self::Away(until, _) => until <= tick,
            Self::Absent => false,
            Self::Ends(..) | Self::Silent { .. } | Self::Late(_) => true,
        }
    }
}

impl Session {
    /// The state that the device reports now, if it reports one.
    fn next_report(&self) -> Option<SessionState> {
        match (self.device, self.state) {
            (Device::Ends(end, ticks), state) if state.is_in_flight() => {
                let is_over = self.age >= ticks || end == SessionState::Skipped;
                let is_installing = self.age > 0 && state == SessionState::Offered;
                if is_over { Some(end) } else { is_installing.then_some(SessionState::Installing) }
            }
            (Device::Away(_, end), state) if state.is_in_flight() => Some(end),
            (Device::Silent { after_switch: true }, SessionState::Offered) => Some(SessionState::Validating),
            (Device::Late(end), SessionState::TimedOut) => Some(end),
            _ => None,
        }
    }
}
