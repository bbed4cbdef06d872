//! The gates: what stops a rollout.

use drover_types::{BreachAction, RolloutKind, StageState};

use crate::policy::Policy;
use crate::snapshot::{Snapshot, StageCounts};

/// A gate that trips.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    /// Why, for a person.
    pub(crate) reason: String,
    /// What happens now.
    pub(crate) action: BreachAction,
}

/// The gate that trips; none while all hold. Judged are the current stage while it is running or soaking, and the stages
/// that passed since a person last overrode a gate: their stragglers may still fail.
pub(crate) fn breach(policy: &Policy, snapshot: &Snapshot) -> Option<Breach> {
    if snapshot.kind == RolloutKind::Rollback {
        return None;
    }
    let (current, stage) = snapshot.current_stage(policy.success_threshold)?;
    let is_judged = matches!(stage.state, StageState::Running | StageState::Soaking);
    let own =
        || failure_breach(policy, current, &stage.counts).or_else(|| success_breach(policy, current, &stage.counts));
    let breached = |reason| Breach { reason, action: policy.on_breach };
    if let Some(reason) = is_judged.then(own).flatten() {
        return Some(breached(reason));
    }
    let overridden = snapshot.stages[..=current].iter().rposition(|stage| stage.state == StageState::Failed);
    let mut later = overridden.map_or(0, |index| index + 1)..current;
    let of_passed = later.find_map(|index| {
        let stage = &snapshot.stages[index];
        (stage.state == StageState::Passed).then(|| failure_breach(policy, index, &stage.counts)).flatten()
    });
    let nobody = || {
        let is_running = stage.state == StageState::Running;
        let reason = is_running.then(|| nobody_ran(policy, current, &stage.counts)).flatten()?;
        Some(Breach { reason, action: BreachAction::Pause })
    };
    of_passed.map(breached).or_else(nobody)
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

/// A stage that nobody ran has proved nothing to those behind it: a condition that matched no device, or devices that
/// were all left out. The share of a small target may be nobody: that is what was asked for.
fn nobody_ran(policy: &Policy, index: usize, counts: &StageCounts) -> Option<String> {
    let is_last = index + 1 == policy.stages.len();
    if is_last || !counts.all_ended() || counts.ended() > 0 {
        return None;
    }
    let name = &policy.stages[index].name;
    match counts.total() {
        0 if policy.stages[index].condition.is_none() => None,
        0 => Some(format!("stage {name:?} took no device; resume to go on without it")),
        all => Some(format!(
            "stage {name:?}: none of {all} devices ran the update, all were left out; resume to go on without it"
        )),
    }
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
