//! Scripted examples.

use drover_rollout::{
    Decision, DueSession, Policy, Snapshot, StageCounts, StagePolicy, StageSnapshot, next_tick, offer_slots, plan,
};
use drover_types::{BreachAction, RolloutKind, RolloutState, SessionState, StageState};

use crate::any::{at, session_id};

/// 20 %, 50 %, 100 %; half of at least four failed: take it back.
pub(crate) fn demo_policy() -> Policy {
    let stage = StagePolicy::by_percentage;
    Policy {
        stages: vec![stage("canary", 20), stage("half", 50), stage("all", 100)],
        success_threshold: 0.9,
        rollback_threshold: 0.5,
        min_sample: 4,
        on_breach: BreachAction::Rollback,
        max_in_flight: None,
        session_timeout_ms: 60_000,
    }
}

pub(crate) fn stage(state: StageState, counts: StageCounts) -> StageSnapshot {
    StageSnapshot { state, soak_until: None, counts }
}

pub(crate) fn snapshot(state: RolloutState, stages: Vec<StageSnapshot>) -> Snapshot {
    Snapshot { state, kind: RolloutKind::Update, stages, due: vec![], child: None, children_needed: false }
}

/// The canary as given, the other stages waiting.
pub(crate) fn canary(state: RolloutState, canary: StageState, counts: StageCounts) -> Snapshot {
    let waiting = stage(StageState::Waiting, StageCounts::default());
    snapshot(state, vec![stage(canary, counts), waiting.clone(), waiting])
}

pub(crate) fn running(counts: StageCounts) -> Snapshot {
    canary(RolloutState::Active, StageState::Running, counts)
}

pub(crate) const TWO_OF_FOUR: StageCounts =
    StageCounts { pending: 0, in_flight: 0, succeeded: 2, failed: 2, cancelled: 0, skipped: 0 };

#[test]
fn the_demo_rolls_back_when_half_of_the_canary_failed() {
    let policy = demo_policy();
    let early = running(StageCounts { in_flight: 1, succeeded: 1, ..TWO_OF_FOUR });
    assert_eq!(plan(&policy, &early, at(1)), vec![], "two of three: below the minimum sample");

    let reason = "stage \"canary\": 2 of 4 devices failed (50 %); the limit is 50 %".to_owned();
    let expected = vec![
        Decision::BeginRollback { reason: reason.clone() },
        Decision::FailStage { stage: 0, reason },
        Decision::CallOffWaiting,
    ];
    assert_eq!(plan(&policy, &running(TWO_OF_FOUR), at(2)), expected);

    let mut back = canary(RolloutState::RollingBack, StageState::Failed, TWO_OF_FOUR);
    back.children_needed = true;
    assert_eq!(plan(&policy, &back, at(3)), vec![Decision::CreateRollback]);
    for state in [RolloutState::Scheduled, RolloutState::Active, RolloutState::Paused] {
        back.child = Some(state);
        assert_eq!(plan(&policy, &back, at(4)), vec![], "it waits for the rollout that takes devices back");
    }
    back.child = Some(RolloutState::Completed);
    assert_eq!(plan(&policy, &back, at(5)), vec![Decision::FinishRollback]);
}

#[test]
fn the_good_release_goes_through_stage_by_stage() {
    let policy = demo_policy();
    let none = StageCounts::default();
    let mut now = canary(RolloutState::Scheduled, StageState::Waiting, none);
    assert_eq!(plan(&policy, &now, at(1)), vec![Decision::Activate]);
    now.state = RolloutState::Active;
    for (index, size) in [4, 6, 10].into_iter().enumerate() {
        assert_eq!(plan(&policy, &now, at(1)), vec![Decision::OpenStage { stage: index }]);
        now.stages[index] = stage(StageState::Opening, StageCounts { pending: size, ..none });
        assert_eq!((plan(&policy, &now, at(1)), offer_slots(&policy, &now)), (vec![], 0));
        now.stages[index].state = StageState::Running;
        assert_eq!((plan(&policy, &now, at(1)), offer_slots(&policy, &now)), (vec![], size));
        now.stages[index].counts = StageCounts { succeeded: size, ..none };
        assert_eq!(plan(&policy, &now, at(1)), vec![Decision::PassStage { stage: index }]);
        now.stages[index].state = StageState::Passed;
    }
    assert_eq!(plan(&policy, &now, at(1)), vec![Decision::Complete]);
}

#[test]
fn a_stage_smaller_than_the_minimum_sample_is_judged_at_its_end() {
    let policy = Policy { min_sample: 10, ..demo_policy() };
    let stops = |counts| plan(&policy, &running(counts), at(1)).len() == 3;
    assert!(!stops(StageCounts { pending: 1, ..TWO_OF_FOUR }));
    assert!(stops(TWO_OF_FOUR));
}

#[test]
fn too_few_successes_stop_a_stage_that_the_failure_gate_let_through() {
    let policy = Policy { on_breach: BreachAction::Pause, ..demo_policy() };
    let counts = StageCounts { succeeded: 6, failed: 1, ..StageCounts::default() };
    let reason = "stage \"canary\": 6 of 7 devices succeeded (85.71 %); needed 90 %".to_owned();
    let expected = vec![Decision::Pause { reason: reason.clone() }, Decision::FailStage { stage: 0, reason }];
    assert_eq!(plan(&policy, &running(counts), at(1)), expected);
    assert_eq!(plan(&policy, &running(StageCounts { in_flight: 1, ..counts }), at(1)), vec![], "not all ended yet");
}

#[test]
fn a_breach_can_cancel() {
    let policy = Policy { on_breach: BreachAction::Cancel, ..demo_policy() };
    let decisions = plan(&policy, &running(TWO_OF_FOUR), at(1));
    assert!(matches!(decisions[..], [Decision::Cancel { .. }, Decision::FailStage { .. }, Decision::CallOffWaiting]));
}

#[test]
fn a_person_who_resumes_overrides_the_gate() {
    let policy = demo_policy();
    let open = StageCounts { pending: 3, ..TWO_OF_FOUR };
    let resumed = canary(RolloutState::Active, StageState::Failed, open);
    assert_eq!((plan(&policy, &resumed, at(1)), offer_slots(&policy, &resumed)), (vec![], 3));
    let ended = canary(RolloutState::Active, StageState::Failed, TWO_OF_FOUR);
    assert_eq!(plan(&policy, &ended, at(2)), vec![Decision::OpenStage { stage: 1 }]);
}

#[test]
fn a_stage_soaks_until_its_time_unless_its_share_is_empty() {
    let mut policy = demo_policy();
    policy.stages[0].soak_ms = 10_000;
    let all_good = StageCounts { succeeded: 4, ..StageCounts::default() };
    let soak = Decision::SoakStage { stage: 0, until: at(11) };
    assert_eq!(plan(&policy, &running(all_good), at(1)), vec![soak]);

    let mut soaking = canary(RolloutState::Active, StageState::Soaking, all_good);
    soaking.stages[0].soak_until = Some(at(11));
    assert_eq!((plan(&policy, &soaking, at(10)), next_tick(&policy, &soaking, at(10))), (vec![], Some(at(11))));
    assert_eq!(plan(&policy, &soaking, at(11)), vec![Decision::PassStage { stage: 0 }]);
    soaking.stages[0].counts = TWO_OF_FOUR;
    assert_eq!(plan(&policy, &soaking, at(10)).len(), 3, "the gate looks while soaking, too");

    let empty_share = running(StageCounts::default());
    assert_eq!(plan(&policy, &empty_share, at(1)), vec![Decision::PassStage { stage: 0 }]);
}

/// The plan that pauses at `stage`.
fn pauses(stage: usize, reason: &str) -> Vec<Decision> {
    let reason = reason.to_owned();
    vec![Decision::Pause { reason: reason.clone() }, Decision::FailStage { stage, reason }]
}

#[test]
fn a_condition_that_matches_nobody_lets_nobody_else_have_the_firmware() {
    let mut policy = demo_policy();
    policy.stages[0] = StagePolicy { condition: Some("c".into()), percentage: None, ..policy.stages[0].clone() };
    policy.validate().unwrap();
    let mut nobody = running(StageCounts::default());
    let reason = "stage \"canary\" took no device; resume to go on without it";
    assert_eq!(plan(&policy, &nobody, at(1)), pauses(0, reason), "it does not roll back, as failures would");
    assert_eq!(offer_slots(&policy, &nobody), 0);
    nobody.stages[0].state = StageState::Failed;
    assert_eq!(plan(&policy, &nobody, at(1)), vec![Decision::OpenStage { stage: 1 }], "a person went on past it");
}

#[test]
fn a_stage_whose_devices_were_all_left_out_pauses_unless_it_is_the_last() {
    let policy = demo_policy();
    let left_out = StageCounts { skipped: 3, cancelled: 1, ..StageCounts::default() };
    let reason = "stage \"canary\": none of 4 devices ran the update, all were left out; resume to go on without it";
    assert_eq!(plan(&policy, &running(left_out), at(1)), pauses(0, reason));
    let one_waits = StageCounts { pending: 1, ..left_out };
    assert_eq!(plan(&policy, &running(one_waits), at(1)), vec![]);
    let one_ran = StageCounts { succeeded: 1, ..left_out };
    assert_eq!(plan(&policy, &running(one_ran), at(1)), vec![Decision::PassStage { stage: 0 }]);
    let passed = stage(StageState::Passed, StageCounts { succeeded: 4, ..StageCounts::default() });
    let last = snapshot(RolloutState::Active, vec![passed.clone(), passed, stage(StageState::Running, left_out)]);
    assert_eq!(plan(&policy, &last, at(1)), vec![Decision::PassStage { stage: 2 }]);
}

#[test]
fn a_start_time_is_waited_for() {
    let mut policy = demo_policy();
    policy.stages[0].start_time = Some(at(100));
    policy.stages[1].start_time = Some(at(200));
    let scheduled = canary(RolloutState::Scheduled, StageState::Waiting, StageCounts::default());
    assert_eq!((plan(&policy, &scheduled, at(99)), next_tick(&policy, &scheduled, at(99))), (vec![], Some(at(100))));
    assert_eq!(plan(&policy, &scheduled, at(100)), vec![Decision::Activate]);

    let passed = canary(RolloutState::Active, StageState::Passed, StageCounts::default());
    assert_eq!((plan(&policy, &passed, at(199)), next_tick(&policy, &passed, at(199))), (vec![], Some(at(200))));
    assert_eq!(plan(&policy, &passed, at(200)), vec![Decision::OpenStage { stage: 1 }]);
}

#[test]
fn silent_sessions_are_timed_out_even_when_cancelled() {
    let policy = demo_policy();
    let due = |number, state, time| DueSession { id: session_id(number), state, next_action_at: at(time) };
    let mut cancelled =
        canary(RolloutState::Cancelled, StageState::Failed, StageCounts { in_flight: 2, ..TWO_OF_FOUR });
    cancelled.due = vec![due(1, SessionState::Installing, 10), due(2, SessionState::Offered, 11)];
    let expected = vec![Decision::TimeOutSessions { sessions: vec![session_id(1)] }, Decision::CallOffWaiting];
    assert_eq!(plan(&policy, &cancelled, at(10)), expected);
    let over = canary(RolloutState::Cancelled, StageState::Failed, TWO_OF_FOUR);
    assert_eq!(plan(&policy, &over, at(10)), vec![]);
}

#[test]
fn one_plan_times_out_a_bounded_number_of_sessions() {
    let due = |number| DueSession { id: session_id(number), state: SessionState::Offered, next_action_at: at(1) };
    let mut paused = canary(RolloutState::Paused, StageState::Running, StageCounts { in_flight: 1_001, ..TWO_OF_FOUR });
    paused.due = (0..1_001).map(due).collect();
    let sessions = (0..1_000).map(session_id).collect();
    assert_eq!(plan(&demo_policy(), &paused, at(1)), vec![Decision::TimeOutSessions { sessions }]);
}

#[test]
fn taking_back_goes_on_whatever_fails() {
    let policy = Policy::for_rollback(Some(5), 60_000);
    policy.validate().unwrap();
    let counts = StageCounts { failed: 20, ..StageCounts::default() };
    let mut back = snapshot(RolloutState::Active, vec![stage(StageState::Running, counts)]);
    back.kind = RolloutKind::Rollback;
    assert_eq!(plan(&policy, &back, at(1)), vec![Decision::PassStage { stage: 0 }]);
    back.stages[0].counts.pending = 9;
    back.stages[0].counts.in_flight = 2;
    assert_eq!(offer_slots(&policy, &back), 3);
    back.stages[0] = stage(StageState::Passed, counts);
    assert_eq!(plan(&policy, &back, at(1)), vec![Decision::Complete]);
}
