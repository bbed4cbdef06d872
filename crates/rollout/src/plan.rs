//! The planner. The crate's documentation tells the story that these functions follow.

use std::time::Duration;

use drover_types::{BreachAction, RolloutKind, RolloutState, StageState, Timestamp};

use crate::decision::Decision;
use crate::policy::Policy;
use crate::snapshot::{MAX_DUE_SESSIONS, Snapshot, StageCounts, StageSnapshot};

/// What to do next with a rollout that stands as `snapshot` at the time `now`: time-outs first, then at most one step.
/// Nothing when there is nothing to do, and nothing but time-outs when policy and snapshot have different stages.
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
                decisions.extend(plan_active(policy, snapshot, now));
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
/// a soak. None when only events matter. Session time-outs are not in it: the caller knows the earliest `next_action_at`.
pub fn next_tick(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Option<Timestamp> {
    if !stages_match(policy, snapshot) {
        return None;
    }
    let at = match snapshot.state {
        RolloutState::Scheduled => policy.stages[0].start_time,
        RolloutState::Active => {
            let (index, stage) = current_stage(snapshot)?;
            let is_waiting_only =
                stage.counts.all_ended() && breach(policy, snapshot.kind, index, &stage.counts).is_none();
            match stage.state {
                StageState::Waiting => policy.stages[index].start_time,
                StageState::Soaking if is_waiting_only => stage.soak_until,
                _ => None,
            }
        }
        _ => None,
    };
    at.filter(|time| *time > now)
}

/// How many more sessions may be in flight now, never more than the current stage has pending. 0 unless the rollout is
/// active and the current stage is running with its gates intact, or failed and a person went on regardless.
pub fn offer_slots(policy: &Policy, snapshot: &Snapshot) -> u64 {
    if snapshot.state != RolloutState::Active || !stages_match(policy, snapshot) {
        return 0;
    }
    let Some((index, stage)) = current_stage(snapshot) else {
        return 0;
    };
    let may_offer = match stage.state {
        StageState::Running => breach(policy, snapshot.kind, index, &stage.counts).is_none(),
        StageState::Failed => true,
        StageState::Waiting | StageState::Opening | StageState::Soaking | StageState::Passed => false,
    };
    if !may_offer {
        return 0;
    }
    let cap = policy.max_in_flight.map_or(u64::MAX, u64::from);
    stage.counts.pending.min(cap.saturating_sub(snapshot.in_flight()))
}

/// A snapshot of another policy proves nothing: without this, one without stages would be complete.
fn stages_match(policy: &Policy, snapshot: &Snapshot) -> bool {
    !policy.stages.is_empty() && policy.stages.len() == snapshot.stages.len()
}

fn is_start_reached(policy: &Policy, stage: usize, now: Timestamp) -> bool {
    policy.stages[stage].start_time.is_none_or(|start| start <= now)
}

/// The first stage that is not done, and its index.
fn current_stage(snapshot: &Snapshot) -> Option<(usize, &StageSnapshot)> {
    snapshot.stages.iter().enumerate().find(|(_, stage)| !stage.is_done())
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

fn plan_active(policy: &Policy, snapshot: &Snapshot, now: Timestamp) -> Vec<Decision> {
    let Some((index, stage)) = current_stage(snapshot) else {
        return vec![Decision::Complete];
    };
    match stage.state {
        StageState::Waiting if is_start_reached(policy, index, now) => vec![Decision::OpenStage { stage: index }],
        StageState::Running | StageState::Soaking => match breach(policy, snapshot.kind, index, &stage.counts) {
            Some(reason) => stop(policy.on_breach, index, reason),
            None => advance(policy, index, stage, now).into_iter().collect(),
        },
        StageState::Waiting | StageState::Opening | StageState::Passed | StageState::Failed => Vec::new(),
    }
}

/// The next step of a running or soaking stage whose gates hold.
fn advance(policy: &Policy, index: usize, stage: &StageSnapshot, now: Timestamp) -> Option<Decision> {
    if !stage.counts.all_ended() {
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

/// Why a gate of the stage trips; none while both hold.
fn breach(policy: &Policy, kind: RolloutKind, index: usize, counts: &StageCounts) -> Option<String> {
    let (ended, failed) = (counts.ended(), counts.failed);
    if kind == RolloutKind::Rollback || ended == 0 {
        return None;
    }
    let name = &policy.stages[index].name;
    let is_sample_enough = ended >= u64::from(policy.min_sample) || counts.all_ended();
    if is_sample_enough && counts.failure_share() >= policy.rollback_threshold {
        let limit = percent(policy.rollback_threshold);
        let share = percent(counts.failure_share());
        return Some(format!("stage {name:?}: {failed} of {ended} devices failed ({share}); the limit is {limit}"));
    }
    if counts.all_ended() && counts.success_share() < policy.success_threshold {
        let needed = percent(policy.success_threshold);
        let (share, succeeded) = (percent(counts.success_share()), counts.succeeded);
        return Some(format!("stage {name:?}: {succeeded} of {ended} devices succeeded ({share}); needed {needed}"));
    }
    None
}

/// At most two decimals, none that says nothing.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Stops the rollout, then marks the stage: a failed stage in an active rollout would read as overridden by a person.
fn stop(on_breach: BreachAction, stage: usize, reason: String) -> Vec<Decision> {
    let fail = Decision::FailStage { stage, reason: reason.clone() };
    match on_breach {
        BreachAction::Pause => vec![Decision::Pause { reason }, fail],
        BreachAction::Cancel => vec![Decision::Cancel { reason }, fail, Decision::CallOffWaiting],
        BreachAction::Rollback => vec![Decision::BeginRollback { reason }, fail, Decision::CallOffWaiting],
    }
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
