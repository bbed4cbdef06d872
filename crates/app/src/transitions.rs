//! What goes with every change of an update session: counters, the device's status, the driver's wake-up.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::Tx;
use drover_store::rollouts::{self, RolloutRow, StateChange};
use drover_store::update_sessions::{self, Failure, Move, SessionRef};
use drover_store::{changes, counters, devices};
use drover_types::{
    DeviceId, DeviceStatus, FailureClass, RolloutId, RolloutState, SessionState, TenantId, Timestamp, UpdateSessionId,
};

use crate::Result;

/// The session that changes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject {
    pub(crate) tenant: TenantId,
    pub(crate) session: UpdateSessionId,
    pub(crate) rollout: RolloutId,
    pub(crate) stage: i64,
    pub(crate) device: DeviceId,
    /// The class that the state before was counted under: only a time-out has one and can still change.
    pub(crate) class_before: Option<FailureClass>,
}

/// Changes the state with all that hangs on it; false, and nothing done, when it was not in `change.from` any more.
pub(crate) async fn apply(tx: &mut Tx, subject: Subject, change: &Move, now: Timestamp) -> Result<bool> {
    let Subject { tenant, rollout, stage, .. } = subject;
    if !update_sessions::change_state(tx, tenant, subject.session, change, now).await? {
        return Ok(false);
    }
    let class = change.failure.as_ref().map(|(class, _, _)| *class);
    let (before, after) = ((change.from, subject.class_before), (change.to, class));
    counters::shift(tx, (tenant, rollout), stage, before, after, 1).await?;
    after_change(tx, subject, (change.from, change.to), now).await?;
    Ok(true)
}

/// Ends many sessions of one rollout at once, at most some thousand, with all that hangs on them; those that moved
/// since they were read stay as they are. Says how many ended.
pub(crate) async fn end_many(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: RolloutId,
    sessions: &[SessionRef],
    to: SessionState,
    failure: Option<Failure>,
    now: Timestamp,
) -> Result<usize> {
    let class = failure.as_ref().map(|(class, _, _)| *class);
    let mut count_ended = 0;
    for from in SessionState::ALL.iter().copied().filter(|from| from.may_become(to)) {
        let ids: Vec<_> = sessions.iter().filter(|one| one.state == from).map(|one| one.id).collect();
        let ended = update_sessions::end_many(tx, (tenant, rollout), &ids, (from, to), failure.as_ref(), now).await?;
        let mut by_stage: BTreeMap<i64, i64> = BTreeMap::new();
        for session in &ended {
            *by_stage.entry(session.stage).or_default() += 1;
        }
        for (stage, count) in by_stage {
            counters::shift(tx, (tenant, rollout), stage, (from, None), (to, class), count).await?;
        }
        if let Some(status) = status_after((from, to)) {
            let devices: Vec<_> = ended.iter().map(|session| session.device_id).collect();
            devices::set_status_of(tx, tenant, &devices, status, now).await?;
        }
        count_ended += ended.len();
    }
    if count_ended > 0 && to.is_final() {
        rollouts::wake(tx, tenant, rollout, now).await?;
    }
    Ok(count_ended)
}

/// How a device is doing whose session changed like that; none when that says nothing. Of a session that was called off
/// before the device was told, the device knows nothing: its status says what it did before.
fn status_after((from, to): (SessionState, SessionState)) -> Option<DeviceStatus> {
    match to {
        SessionState::Succeeded => Some(DeviceStatus::Success),
        SessionState::Cancelled | SessionState::Skipped if from == SessionState::Pending => None,
        SessionState::Cancelled | SessionState::Skipped => Some(DeviceStatus::Idle),
        state if state.is_failure() => Some(DeviceStatus::Failed),
        state if state.is_in_flight() => Some(DeviceStatus::Updating),
        _ => None,
    }
}

/// The device's status follows its session; a session that ended is news for the driver.
pub(crate) async fn after_change(
    tx: &mut Tx,
    subject: Subject,
    (from, to): (SessionState, SessionState),
    now: Timestamp,
) -> Result<()> {
    if let Some(status) = status_after((from, to)) {
        devices::set_status(tx, subject.tenant, subject.device, status, now).await?;
    }
    if to.is_final() {
        rollouts::wake(tx, subject.tenant, subject.rollout, now).await?;
    }
    Ok(())
}

/// Forgets a device and takes its sessions out of the counters; false when there is none.
pub(crate) async fn delete_device(tx: &mut Tx, tenant: TenantId, device: DeviceId, now: Timestamp) -> Result<bool> {
    // Held still, the device gets no new sessions; with their rollouts held still, the ones it has do not move.
    if devices::lock(tx, tenant, device).await?.is_none() {
        return Ok(false);
    }
    let sessions = update_sessions::counted_of_device(&mut *tx, tenant, device).await?;
    let rollouts: BTreeSet<RolloutId> = sessions.iter().map(|session| session.rollout_id).collect();
    for rollout in &rollouts {
        rollouts::lock(tx, tenant, *rollout).await?;
    }
    for counted in update_sessions::counted_of_device(&mut *tx, tenant, device).await? {
        let (rollout, stage) = (counted.rollout_id, counted.stage);
        counters::add(tx, tenant, rollout, stage, counted.state, counted.failure_class, -1).await?;
        rollouts::wake(tx, tenant, rollout, now).await?;
    }
    changes::push_device(tx, tenant, device).await?;
    Ok(devices::delete(tx, tenant, device).await?)
}

/// Changes a rollout's state; the rollout that it takes back hears when it ended.
pub(crate) async fn set_rollout_state(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: &RolloutRow,
    change: &StateChange,
    now: Timestamp,
) -> Result<bool> {
    let changed = rollouts::set_state(tx, tenant, rollout.id, change, now).await?;
    if changed && change.to == RolloutState::Active {
        changes::push_rollout(tx, tenant, rollout.id).await?;
    }
    if let Some(parent) = rollout.parent_id
        && changed
        && change.to.is_final()
    {
        rollouts::wake(tx, tenant, parent, now).await?;
    }
    Ok(changed)
}
