//! Stages that do not wait for everyone.

use drover_rollout::{Decision, Policy, Snapshot, StageCounts, StageSnapshot, next_tick, offer_slots, plan};
use drover_types::{BreachAction, RolloutKind, RolloutState, StageState};
use proptest::prelude::*;

use crate::any::at;
use crate::examples::{canary, demo_policy, running, snapshot, stage};

/// 18 of 20 succeeded, which is the threshold of 90 %; one is pending, one at work.
const ENOUGH: StageCounts =
    StageCounts { pending: 1, in_flight: 1, succeeded: 18, failed: 0, cancelled: 0, skipped: 0 };

/// 17 of 20 succeeded, three failed: more than may, of those that ended.
const TOO_MANY_FAILED: StageCounts = StageCounts { in_flight: 0, succeeded: 16, failed: 3, ..ENOUGH };

/// Trips at 15 % failures.
fn strict(on_breach: BreachAction) -> Policy {
    Policy { rollback_threshold: 0.15, on_breach, ..demo_policy() }
}

/// The canary passed and too many of its stragglers failed then; the second stage stands as given.
fn after_canary(state: StageState, pending: u64) -> Snapshot {
    let waiting = stage(StageState::Waiting, StageCounts::default());
    let current = stage(state, StageCounts { pending, ..StageCounts::default() });
    snapshot(RolloutState::Active, vec![stage(StageState::Passed, TOO_MANY_FAILED), current, waiting])
}

fn reason() -> String {
    "stage \"canary\": 3 of 19 devices failed (15.79 %); the limit is 15 %".to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// In whole numbers: 100 · succeeded ≥ hundredths · all.
    #[test]
    fn a_stage_passes_at_its_threshold_exactly(
        hundredths in 0..=100_u32,
        (succeeded, pending, in_flight) in (0..200_u64, 0..40_u64, 1..40_u64),
    ) {
        let policy = Policy { success_threshold: f64::from(hundredths) / 100.0, ..demo_policy() };
        let counts = StageCounts { pending, in_flight, succeeded, cancelled: 7, skipped: 7, ..StageCounts::default() };
        let is_enough = succeeded > 0 && 100 * succeeded >= u64::from(hundredths) * (succeeded + pending + in_flight);
        let expected = if is_enough { vec![Decision::PassStage { stage: 0 }] } else { vec![] };
        prop_assert_eq!(plan(&policy, &running(counts), at(1)), expected);
    }
}

#[test]
fn failures_count_against_the_threshold() {
    let failed = |failed| running(StageCounts { failed, succeeded: 18, in_flight: 1, ..StageCounts::default() });
    assert_eq!(plan(&demo_policy(), &failed(1), at(1)), vec![Decision::PassStage { stage: 0 }]);
    assert_eq!(plan(&demo_policy(), &failed(2), at(1)), vec![]);
}

#[test]
fn a_threshold_of_nothing_still_needs_one_success() {
    let policy = Policy { success_threshold: 0.0, ..demo_policy() };
    let silent = StageCounts { pending: 3, failed: 1, ..StageCounts::default() };
    assert_eq!(plan(&policy, &running(silent), at(1)), vec![]);
    let one = StageCounts { succeeded: 1, ..silent };
    assert_eq!(plan(&policy, &running(one), at(1)), vec![Decision::PassStage { stage: 0 }]);
}

#[test]
fn a_stage_soaks_and_passes_with_stragglers_that_are_still_offered() {
    let mut policy = demo_policy();
    policy.stages[0].soak_ms = 10_000;
    let mut now = running(ENOUGH);
    assert_eq!(plan(&policy, &now, at(1)), vec![Decision::SoakStage { stage: 0, until: at(11) }]);
    now.stages[0] = StageSnapshot { soak_until: Some(at(11)), ..stage(StageState::Soaking, ENOUGH) };
    assert_eq!((plan(&policy, &now, at(10)), next_tick(&policy, &now, at(10))), (vec![], Some(at(11))));
    assert_eq!(offer_slots(&policy, &now), 1);
    assert_eq!(plan(&policy, &now, at(11)), vec![Decision::PassStage { stage: 0 }]);
    now.stages[0].state = StageState::Passed;
    assert_eq!((plan(&policy, &now, at(11)), offer_slots(&policy, &now)), (vec![Decision::OpenStage { stage: 1 }], 1));
}

#[test]
fn an_opening_stage_offers_nothing_and_holds_nobody_up() {
    let mut policy = demo_policy();
    let mut now = canary(RolloutState::Active, StageState::Passed, ENOUGH);
    now.stages[1] = stage(StageState::Opening, StageCounts { pending: 6, ..StageCounts::default() });
    assert_eq!(offer_slots(&policy, &now), 1);
    now.stages[1].state = StageState::Running;
    assert_eq!(offer_slots(&policy, &now), 7);
    policy.max_in_flight = Some(4);
    assert_eq!(offer_slots(&policy, &now), 3, "one straggler is at work");
}

#[test]
fn stragglers_of_a_passed_stage_that_fail_stop_the_stage_that_is_at_it() {
    for state in [StageState::Running, StageState::Soaking] {
        let now = after_canary(state, 6);
        let fail = Decision::FailStage { stage: 1, reason: reason() };
        let expected = vec![Decision::Pause { reason: reason() }, fail];
        let policy = strict(BreachAction::Pause);
        assert_eq!((plan(&policy, &now, at(1)), offer_slots(&policy, &now)), (expected, 0), "{state}");
        let mut small = Policy { min_sample: 20, ..policy };
        assert_eq!(plan(&small, &now, at(1)), vec![], "19 of them ended");
        small.min_sample = 19;
        assert_eq!(plan(&small, &now, at(1)).len(), 2);
    }
}

#[test]
fn a_passed_stage_that_ended_is_judged_below_the_minimum_sample_too() {
    let policy = Policy { min_sample: 50, ..strict(BreachAction::Pause) };
    let mut now = after_canary(StageState::Running, 6);
    assert_eq!(plan(&policy, &now, at(1)), vec![]);
    now.stages[0].counts.pending = 0;
    assert_eq!(plan(&policy, &now, at(1)).len(), 2);
}

#[test]
fn between_stages_a_gate_rolls_back_or_cancels_and_marks_no_stage() {
    for state in [StageState::Waiting, StageState::Opening] {
        let now = after_canary(state, 0);
        let mut policy = strict(BreachAction::Rollback);
        policy.stages[1].start_time = Some(at(100));
        let expected = vec![Decision::BeginRollback { reason: reason() }, Decision::CallOffWaiting];
        assert_eq!(plan(&policy, &now, at(1)), expected, "{state}");
        assert_eq!((offer_slots(&policy, &now), next_tick(&policy, &now, at(1))), (0, None), "{state}");
        policy.on_breach = BreachAction::Cancel;
        let expected = vec![Decision::Cancel { reason: reason() }, Decision::CallOffWaiting];
        assert_eq!(plan(&policy, &now, at(1)), expected, "{state}");
    }
}

#[test]
fn between_stages_a_gate_that_pauses_waits_for_a_stage_to_mark_and_offers_nothing() {
    let mut policy = strict(BreachAction::Pause);
    policy.stages[1].start_time = Some(at(100));
    let waiting = after_canary(StageState::Waiting, 0);
    assert_eq!((plan(&policy, &waiting, at(99)), next_tick(&policy, &waiting, at(99))), (vec![], Some(at(100))));
    assert_eq!(offer_slots(&policy, &waiting), 0);
    assert_eq!(plan(&policy, &waiting, at(100)), vec![Decision::OpenStage { stage: 1 }]);
    let opening = after_canary(StageState::Opening, 6);
    assert_eq!((plan(&policy, &opening, at(100)), offer_slots(&policy, &opening)), (vec![], 0));
}

#[test]
fn who_resumes_overrides_the_gates_of_all_stages_so_far() {
    let policy = strict(BreachAction::Pause);
    let resumed = after_canary(StageState::Failed, 6);
    assert_eq!((plan(&policy, &resumed, at(1)), offer_slots(&policy, &resumed)), (vec![], 7));
    let mut later = resumed;
    later.stages[1].counts = StageCounts { succeeded: 6, ..StageCounts::default() };
    later.stages[2] = stage(StageState::Running, StageCounts { pending: 10, ..StageCounts::default() });
    assert_eq!((plan(&policy, &later, at(1)), offer_slots(&policy, &later)), (vec![], 11));
    later.stages[2].counts = StageCounts { pending: 6, failed: 4, ..StageCounts::default() };
    let stops = plan(&policy, &later, at(1));
    assert!(matches!(stops[..], [Decision::Pause { .. }, Decision::FailStage { stage: 2, .. }]), "{stops:?}");
}

#[test]
fn an_overridden_stage_is_done_once_enough_of_it_ended() {
    let policy = demo_policy();
    let overridden = |failed| {
        let counts = StageCounts { pending: 2, succeeded: 8, failed, ..StageCounts::default() };
        plan(&policy, &canary(RolloutState::Active, StageState::Failed, counts), at(1))
    };
    assert_eq!(overridden(9), vec![], "17 of 19 is less than 90 %");
    assert_eq!(overridden(10), vec![Decision::OpenStage { stage: 1 }]);
}

#[test]
fn a_rollout_waits_for_stragglers_without_judging_them() {
    let policy = strict(BreachAction::Pause);
    let mut now = after_canary(StageState::Passed, 0);
    now.stages[2].state = StageState::Passed;
    assert_eq!((plan(&policy, &now, at(1)), offer_slots(&policy, &now)), (vec![], 1));
    now.stages[0].counts = StageCounts { pending: 0, in_flight: 1, ..TOO_MANY_FAILED };
    assert_eq!((plan(&policy, &now, at(1)), offer_slots(&policy, &now)), (vec![], 0));
    now.stages[0].counts = StageCounts { pending: 0, failed: 4, ..TOO_MANY_FAILED };
    assert_eq!(plan(&policy, &now, at(1)), vec![Decision::Complete]);
    now.stages[2] = stage(StageState::Failed, StageCounts { pending: 1, succeeded: 9, ..StageCounts::default() });
    assert_eq!(plan(&policy, &now, at(1)), vec![], "an overridden stage may have stragglers, too");
}

#[test]
fn taking_back_waits_for_everyone() {
    let policy = Policy::for_rollback(None, 60_000);
    let mut back = snapshot(RolloutState::Active, vec![stage(StageState::Running, ENOUGH)]);
    back.kind = RolloutKind::Rollback;
    assert_eq!(plan(&policy, &back, at(1)), vec![]);
    back.stages[0].counts = StageCounts { pending: 0, in_flight: 0, ..ENOUGH };
    assert_eq!(plan(&policy, &back, at(1)), vec![Decision::PassStage { stage: 0 }]);
}
