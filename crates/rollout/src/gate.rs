//! The gates: what stops a rollout.

use drover_types::{BreachAction, RolloutKind, StageState};

use crate::policy::Policy;
use crate::snapshot::{Snapshot, StageCounts};

/// Why a gate trips; none while all hold. Judged are the current stage while it is running or soaking, and the stages
/// that passed since a person last overrode a gate: their stragglers may still fail.
pub(crate) fn breach(policy: &Policy, snapshot: &Snapshot) -> Option<String> {
    if snapshot.kind == RolloutKind::Rollback {
        return None;
    }
    let (current, stage) = snapshot.current_stage(policy.success_threshold)?;
    let is_judged = matches!(stage.state, StageState::Running | StageState::Soaking);
    let own =
        || failure_breach(policy, current, &stage.counts).or_else(|| success_breach(policy, current, &stage.counts));
    if let Some(reason) = is_judged.then(own).flatten() {
        return Some(reason);
    }
    let overridden = snapshot.stages[..=current].iter().rposition(|stage| stage.state == StageState::Failed);
    let mut later = overridden.map_or(0, |index| index + 1)..current;
    later.find_map(|index| {
        let stage = &snapshot.stages[index];
        (stage.state == StageState::Passed).then(|| failure_breach(policy, index, &stage.counts)).flatten()
    })
}

/// Whether a breach stops the rollout while its current stage stands so. A pause needs a stage to mark as failed:
/// without the mark, nothing would remember that a person went on, and the same gate would trip for ever.
pub(crate) fn may_stop(on_breach: BreachAction, current: StageState) -> bool {
    match current {
        StageState::Running | StageState::Soaking => true,
        StageState::Waiting | StageState::Opening => on_breach != BreachAction::Pause,
        StageState::Passed | StageState::Failed => false,
    }
}

fn failure_breach(policy: &Policy, index: usize, counts: &StageCounts) -> Option<String> {
    let (ended, failed) = (counts.ended(), counts.failed);
    let is_sample_enough = ended >= u64::from(policy.min_sample) || counts.all_ended();
    if ended == 0 || !is_sample_enough || counts.failure_share() < policy.rollback_threshold {
        return None;
    }
    let name = &policy.stages[index].name;
    let (share, limit) = (percent(counts.failure_share()), percent(policy.rollback_threshold));
    Some(format!("stage {name:?}: {failed} of {ended} devices failed ({share}); the limit is {limit}"))
}

fn success_breach(policy: &Policy, index: usize, counts: &StageCounts) -> Option<String> {
    let (ended, succeeded) = (counts.ended(), counts.succeeded);
    if ended == 0 || !counts.all_ended() || counts.success_share() >= policy.success_threshold {
        return None;
    }
    let name = &policy.stages[index].name;
    let (share, needed) = (percent(counts.success_share()), percent(policy.success_threshold));
    Some(format!("stage {name:?}: {succeeded} of {ended} devices succeeded ({share}); needed {needed}"))
}

/// At most two decimals, none that says nothing.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
