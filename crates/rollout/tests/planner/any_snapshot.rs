//! What holds for any snapshot whatever.

use std::time::Duration;

use drover_rollout::{Decision, DueSession, StageSnapshot, next_tick, offer_slots, plan};
use drover_types::{RolloutState, StageState, Timestamp};
use proptest::prelude::*;

use crate::any::{at, policy_and_snapshot};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn decisions_are_legal_transitions((policy, snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        let mut state = snapshot.state;
        for decision in plan(&policy, &snapshot, at(now)) {
            if let Some(next) = decision.rollout_state() {
                prop_assert!(state.may_become(next), "{state} -> {next}");
                state = next;
            }
            if let Some((stage, next)) = decision.stage_state() {
                let current = snapshot.stages[stage].state;
                prop_assert!(current.may_become(next), "{current} -> {next}");
            }
        }
    }

    #[test]
    fn only_an_active_rollout_offers_and_opens((policy, mut snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        for state in RolloutState::ALL.iter().filter(|state| **state != RolloutState::Active) {
            snapshot.state = *state;
            prop_assert_eq!(offer_slots(&policy, &snapshot), 0);
            let opens = plan(&policy, &snapshot, at(now)).iter().any(|decision| decision.stage_state().is_some());
            prop_assert!(!opens, "{state}");
        }
    }

    #[test]
    fn a_paused_rollout_only_times_out((policy, mut snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        snapshot.state = RolloutState::Paused;
        let only_time_outs = |decision: &Decision| matches!(decision, Decision::TimeOutSessions { .. });
        prop_assert!(plan(&policy, &snapshot, at(now)).iter().all(only_time_outs));
    }

    #[test]
    fn a_finished_rollout_and_a_draft_plan_nothing((policy, mut snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        for state in [RolloutState::Draft, RolloutState::Completed, RolloutState::RolledBack] {
            snapshot.state = state;
            prop_assert_eq!(plan(&policy, &snapshot, at(now)), vec![]);
            prop_assert_eq!(next_tick(&policy, &snapshot, at(now)), None);
        }
    }

    #[test]
    fn slots_keep_the_cap_and_the_open_stages((policy, snapshot) in policy_and_snapshot()) {
        let slots = offer_slots(&policy, &snapshot);
        if slots > 0 {
            let is_open = |stage: &&StageSnapshot| !matches!(stage.state, StageState::Waiting | StageState::Opening);
            let pending: u64 = snapshot.stages.iter().filter(is_open).map(|stage| stage.counts.pending).sum();
            prop_assert!(slots <= pending);
            let cap = policy.max_in_flight.map_or(u64::MAX, u64::from);
            prop_assert!(snapshot.in_flight() + slots <= cap);
        }
    }

    #[test]
    fn nothing_is_offered_that_a_plan_would_stop((policy, snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        let stops = |decision: &Decision| {
            matches!(decision, Decision::Pause { .. } | Decision::Cancel { .. } | Decision::BeginRollback { .. })
        };
        if plan(&policy, &snapshot, at(now)).iter().any(stops) {
            prop_assert_eq!(offer_slots(&policy, &snapshot), 0);
        }
    }

    #[test]
    fn the_plan_changes_at_the_next_tick_and_not_before(
        (policy, mut snapshot) in policy_and_snapshot(),
        now in 0..700_u32,
        share in 0.0..1.0_f64,
    ) {
        snapshot.due.clear();
        let now = at(now);
        let (before, tick) = (plan(&policy, &snapshot, now), next_tick(&policy, &snapshot, now));
        if let Some(tick) = tick {
            prop_assert!(tick > now);
            let just_before = tick.minus(Duration::from_micros(1));
            let between = now.plus(just_before.since(now).mul_f64(share));
            prop_assert_eq!(&plan(&policy, &snapshot, between), &before);
            prop_assert_ne!(&plan(&policy, &snapshot, tick), &before);
        } else if !before.iter().any(|decision| matches!(decision, Decision::SoakStage { .. })) {
            let end_of_time = Timestamp::from_micros(i64::MAX);
            prop_assert_eq!(plan(&policy, &snapshot, end_of_time), before);
        }
    }

    #[test]
    fn a_completed_rollout_has_neither_stragglers_nor_open_stages(
        (policy, mut snapshot) in policy_and_snapshot(),
        now in 0..700_u32,
    ) {
        snapshot.state = RolloutState::Active;
        if plan(&policy, &snapshot, at(now)).contains(&Decision::Complete) {
            prop_assert!(snapshot.all_ended());
            let is_over = |stage: &StageSnapshot| matches!(stage.state, StageState::Passed | StageState::Failed);
            prop_assert!(snapshot.stages.iter().all(is_over));
        }
    }

    #[test]
    fn time_outs_are_seen_before_the_rollout_goes_on((policy, snapshot) in policy_and_snapshot(), now in 0..700_u32) {
        let decisions = plan(&policy, &snapshot, at(now));
        if snapshot.state == RolloutState::Active && matches!(decisions[..], [Decision::TimeOutSessions { .. }, ..]) {
            let goes_on = |decision: &Decision| {
                let next = decision.stage_state().map(|(_, state)| state);
                next.is_some_and(|next| next != StageState::Failed) || *decision == Decision::Complete
            };
            prop_assert!(!decisions.iter().any(goes_on), "{decisions:?}");
        }
    }

    #[test]
    fn a_snapshot_of_another_policy_changes_no_state(
        (policy, mut snapshot) in policy_and_snapshot(),
        now in 0..700_u32,
    ) {
        snapshot.stages.pop();
        snapshot.state = RolloutState::Active;
        let changes = |decision: &Decision| decision.rollout_state().is_some() || decision.stage_state().is_some();
        prop_assert!(!plan(&policy, &snapshot, at(now)).iter().any(changes));
        prop_assert_eq!(offer_slots(&policy, &snapshot), 0);
    }

    #[test]
    fn exactly_the_due_sessions_in_flight_are_timed_out(
        (policy, snapshot) in policy_and_snapshot(),
        now in 0..700_u32,
    ) {
        let ends = [RolloutState::Draft, RolloutState::Completed, RolloutState::RolledBack];
        let is_over = ends.contains(&snapshot.state);
        let is_due = |due: &&DueSession| !is_over && due.state.is_in_flight() && due.next_action_at <= at(now);
        let expected: Vec<_> = snapshot.due.iter().filter(is_due).map(|due| due.id).collect();
        let timed_out = plan(&policy, &snapshot, at(now)).into_iter().find_map(|decision| match decision {
            Decision::TimeOutSessions { sessions } => Some(sessions),
            _ => None,
        });
        prop_assert_eq!(timed_out.unwrap_or_default(), expected);
    }
}
