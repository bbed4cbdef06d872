//! Random policies and snapshots.

use drover_rollout::{DueSession, Policy, Snapshot, StageCounts, StagePolicy, StageSnapshot};
use drover_types::{BreachAction, RolloutKind, RolloutState, SessionState, StageState, Timestamp, UpdateSessionId};
use proptest::prelude::*;
use proptest::sample::select;

/// Times in tests are small numbers of seconds.
pub(crate) fn at(seconds: u32) -> Timestamp {
    Timestamp::from_micros(i64::from(seconds) * 1_000_000)
}

pub(crate) fn session_id(number: usize) -> UpdateSessionId {
    UpdateSessionId::generate(at(0), number as u128)
}

/// A valid policy of 1 to 4 stages, some of them by condition. The text of a condition is the number of devices that
/// match it.
pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let matching = proptest::collection::vec(proptest::option::weighted(0.3, 0..6_usize), 4);
    (policy_by_percentage(), matching).prop_map(|(mut policy, matching)| {
        // The last stage is for all.
        let last = policy.stages.len() - 1;
        for (stage, matching) in policy.stages[..last].iter_mut().zip(matching) {
            if let Some(matching) = matching {
                (stage.percentage, stage.condition) = (None, Some(matching.to_string()));
            }
        }
        policy
    })
}

/// A valid policy of 1 to 4 stages by percentage.
pub(crate) fn policy_by_percentage() -> impl Strategy<Value = Policy> {
    let gates = (threshold(0), threshold(1), 1..12_u32, select(BreachAction::ALL));
    let limits = (proptest::option::of(1..8_u32), 1_000..300_000_u64);
    (stages(), gates, limits).prop_map(|(stages, gates, limits)| Policy {
        stages,
        success_threshold: gates.0,
        rollback_threshold: gates.1,
        min_sample: gates.2,
        on_breach: gates.3,
        max_in_flight: limits.0,
        session_timeout_ms: limits.1,
    })
}

/// A share as people write it, so that fleets can hit it exactly.
fn threshold(hundredths_min: u8) -> impl Strategy<Value = f64> {
    (hundredths_min..=100).prop_map(|hundredths| f64::from(hundredths) / 100.0)
}

fn stages() -> impl Strategy<Value = Vec<StagePolicy>> {
    let earlier = proptest::collection::btree_set(1..100_u8, 0..4);
    let times = proptest::collection::vec((proptest::option::of(0..600_u32), 0..200_000_u64), 4);
    (earlier, times).prop_map(|(earlier, times)| {
        let percentages = earlier.into_iter().chain([100]);
        let stage = |(index, (percentage, (start, soak_ms))): (usize, (u8, (Option<u32>, u64)))| StagePolicy {
            name: format!("stage {index}"),
            percentage: Some(percentage),
            condition: None,
            start_time: start.map(at),
            // Half of the stages do not soak.
            soak_ms: soak_ms.saturating_sub(100_000),
        };
        percentages.zip(times).enumerate().map(stage).collect()
    })
}

fn counts() -> impl Strategy<Value = StageCounts> {
    let open = prop_oneof![Just((0, 0)), (0..5_u64, 0..5_u64)];
    (open, 0..9_u64, 0..9_u64, 0..3_u64, 0..3_u64).prop_map(|(open, succeeded, failed, cancelled, skipped)| {
        StageCounts { pending: open.0, in_flight: open.1, succeeded, failed, cancelled, skipped }
    })
}

fn stage_snapshot() -> impl Strategy<Value = StageSnapshot> {
    (select(StageState::ALL), proptest::option::of(0..600_u32), counts())
        .prop_map(|(state, until, counts)| StageSnapshot { state, soak_until: until.map(at), counts })
}

fn due() -> impl Strategy<Value = Vec<DueSession>> {
    let session = (select(SessionState::ALL), 0..600_u32);
    proptest::collection::vec(session, 0..4).prop_map(|sessions| {
        let due = |(number, (state, time)): (usize, (SessionState, u32))| DueSession {
            id: session_id(number),
            state,
            next_action_at: at(time),
        };
        sessions.into_iter().enumerate().map(due).collect()
    })
}

/// Any snapshot with `stage_count` stages, also such as no driver would ever show.
pub(crate) fn snapshot(stage_count: usize) -> impl Strategy<Value = Snapshot> {
    let stages = proptest::collection::vec(stage_snapshot(), stage_count);
    let child = proptest::option::of(select(RolloutState::ALL));
    (select(RolloutState::ALL), select(RolloutKind::ALL), stages, due(), child, any::<bool>()).prop_map(
        |(state, kind, stages, due, child, children_needed)| Snapshot {
            state,
            kind,
            stages,
            due,
            child,
            children_needed,
        },
    )
}

/// A policy and any snapshot with as many stages.
pub(crate) fn policy_and_snapshot() -> impl Strategy<Value = (Policy, Snapshot)> {
    policy().prop_flat_map(|policy| {
        let stage_count = policy.stages.len();
        (Just(policy), snapshot(stage_count))
    })
}
