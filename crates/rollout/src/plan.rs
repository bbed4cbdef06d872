//! The planner. The crate's documentation tells the story that these functions follow.

use std::time::Duration;

use drover_types::{BreachAction, RolloutKind, RolloutState, StageState, Timestamp};

use crate::decision::Decision;
use crate::gate::{Breach, breach, may_stop};
use crate::policy::Policy;
use crate::snapshot::{MAX_DUE_SESSIONS, Snapshot, StageCounts, StageSnapshot};

/// What to do next with a rollout that stands as `snapshot` at the time `now`: time-outs first, then at most one step.
/// While the rollout is active and sessions time out, the only step is to stop it. Nothing when there is nothing to do,
/// and nothing but time-outs when policy and snapshot have different stages.
pub fn plan(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Vec<Decision> {
    let mut decisions = Vec::new();
    match snapshot.state {
        RolloutState::Draft | RolloutState::Completed | RolloutState::RolledBack => {}
        RolloutState::Paused => decisions.extend(time_outs(snapshot, now)),
        RolloutState::Scheduled => {
            decisions.extend(time_outs(snapshot, now));
            if stages_match(policy, snapshot) && is_start_reached(policy, 0, now) {
                decisions.push(Decision::Activate);
            }
        }
        RolloutState::Active => {
            decisions.extend(time_outs(snapshot, now));
            if stages_match(policy, snapshot) {
                match stop(policy, snapshot) {
                    Some(stopping) => decisions.extend(stopping),
                    None if decisions.is_empty() => decisions.extend(plan_active(policy, snapshot, now)),
                    // The time-outs may trip a gate: the next plan sees them.
                    None => {}
                }
            }
        }
        RolloutState::Cancelled => {
            decisions.extend(time_outs(snapshot, now));
            decisions.extend(call_off(snapshot));
        }
        RolloutState::RollingBack => {
            decisions.extend(time_outs(snapshot, now));
            decisions.extend(plan_rolling_back(snapshot));
        }
    }
    decisions
}

/// The earliest time after `now` at which the plan can change though nothing else happens: a start time or the end of
/// a soak. None when only events matter. Session time-outs are not in it: the caller knows the earliest
/// `next_action_at`.
pub fn next_tick(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    if !stages_match(policy, snapshot) {
        return None;
    }
    let at = match snapshot.state {
        RolloutState::Scheduled => policy.stages[0].start_time,
        RolloutState::Active => {
            let (index, stage) = snapshot.current_stage(policy.success_threshold)?;
            if stop(policy, snapshot).is_some() {
                return None;
            }
            match stage.state {
                StageState::Waiting => policy.stages[index].start_time,
                StageState::Soaking if is_satisfied(policy, snapshot.kind, &stage.counts) => stage.soak_until,
                _ => None,
            }
        }
        _ => None,
    };
    at.filter(|time| *time > now)
}

/// How many more sessions may be in flight now: never more than the cap leaves room for, nor than are pending in the
/// stages that offer, those that are running, soaking or passed and those that failed when a person went on regardless.
/// 0 unless the rollout is active and all gates hold.
pub fn offer_slots(policy: &Policy, snapshot: &Snapshot) -> u64 {
    let is_offering = snapshot.state == RolloutState::Active && stages_match(policy, snapshot);
    if !is_offering || breach(policy, snapshot).is_some() {
        return 0;
    }
    let offering = snapshot.stages.iter().filter(|stage| match stage.state {
        StageState::Running | StageState::Soaking | StageState::Passed | StageState::Failed => true,
        StageState::Waiting | StageState::Opening => false,
    });
    let pending: u64 = offering.map(|stage| stage.counts.pending).sum();
    let cap = policy.max_in_flight.map_or(u64::MAX, u64::from);
    pending.min(cap.saturating_sub(snapshot.in_flight()))
}

/// A snapshot of another policy proves nothing: without this, one without stages would be complete.
fn stages_match(policy: &Policy, snapshot: &Snapshot) -> bool {
    !policy.stages.is_empty() && policy.stages.len() == snapshot.stages.len()
}

fn is_start_reached(policy: &Policy, stage: usize, now: Timestamp) -> bool {
    policy.stages[stage].start_time.is_none_or(|start| start <= now)
}

fn time_outs(snapshot: &Snapshot, now: Timestamp) -> Option<Decision> {
    let is_due = |session: &&crate::DueSession| session.state.is_in_flight() && session.next_action_at <= now;
    let sessions: Vec<_> = snapshot.due.iter().filter(is_due).take(MAX_DUE_SESSIONS).map(|due| due.id).collect();
    (!sessions.is_empty()).then_some(Decision::TimeOutSessions { sessions })
}

/// Said while anything is in flight, because the counts do not tell offered sessions from those at work.
fn call_off(snapshot: &Snapshot) -> Option<Decision> {
    (!snapshot.all_ended()).then_some(Decision::CallOffWaiting)
}

/// The next step of an active rollout while all gates hold.
fn plan_active(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Option<Decision> {
    let Some((index, stage)) = snapshot.current_stage(policy.success_threshold) else {
        return snapshot.all_ended().then_some(Decision::Complete);
    };
    match stage.state {
        StageState::Waiting => is_start_reached(policy, index, now).then_some(Decision::OpenStage { stage: index }),
        StageState::Running | StageState::Soaking => advance(policy, snapshot.kind, index, stage, now),
        StageState::Opening | StageState::Passed | StageState::Failed => None,
    }
}

/// The next step of a running or soaking stage.
fn advance(
    policy: &Policy,
    kind: RolloutKind,
    index: usize,
    stage: &StageSnapshot,
    now: Timestamp,
) -> Option<Decision> {
    if !is_satisfied(policy, kind, &stage.counts) {
        return None;
    }
    let pass = Decision::PassStage { stage: index };
    if stage.state == StageState::Soaking {
        // A soak without an end would never pass.
        return stage.soak_until.is_none_or(|until| until <= now).then_some(pass);
    }
    let soak_ms = policy.stages[index].soak_ms;
    if soak_ms == 0 || stage.counts.ended() == 0 {
        return Some(pass);
    }
    Some(Decision::SoakStage { stage: index, until: now.plus(Duration::from_millis(soak_ms)) })
}

/// Whether a stage whose gates hold needs nothing more to soak and pass. Of a stage that ended, the gates have said
/// enough; taking back waits for everyone.
fn is_satisfied(policy: &Policy, kind: RolloutKind, counts: &StageCounts) -> bool {
    let is_enough = kind == RolloutKind::Update && counts.is_enough(counts.succeeded, policy.success_threshold);
    counts.all_ended() || is_enough
}

/// What a gate that trips now does; none when none trips. The rollout is stopped before the stage is marked: a failed
/// stage in an active rollout would read as overridden by a person.
fn stop(policy: &Policy, snapshot: &Snapshot) -> Option<Vec<Decision>> {
    let (index, stage) = snapshot.current_stage(policy.success_threshold)?;
    let Breach { reason, action } = breach(policy, snapshot)?;
    if !may_stop(action, stage.state) {
        return None;
    }
    let may_fail = stage.state.may_become(StageState::Failed);
    let fail = may_fail.then(|| Decision::FailStage { stage: index, reason: reason.clone() });
    let (first, last) = match action {
        BreachAction::Pause => (Decision::Pause { reason }, None),
        BreachAction::Cancel => (Decision::Cancel { reason }, Some(Decision::CallOffWaiting)),
        BreachAction::Rollback => (Decision::BeginRollback { reason }, Some(Decision::CallOffWaiting)),
    };
    Some([Some(first), fail, last].into_iter().flatten().collect())
}

fn plan_rolling_back(snapshot: &Snapshot) -> Option<Decision> {
    if !snapshot.all_ended() {
        return call_off(snapshot);
    }
    match snapshot.child {
        None if snapshot.children_needed => Some(Decision::CreateRollback),
        Some(child) if !child.is_final() => None,
        None | Some(_) => Some(Decision::FinishRollback),
    }
}
