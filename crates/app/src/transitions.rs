//! What goes with every change of an update session: counters, the device's status, the driver's wake-up.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::Tx;
use drover_store::counters::Counted;
use drover_store::rollouts::{self, RolloutRow, StateChange};
use drover_store::session_changes::{self, Failure, Move};
use drover_store::update_sessions::{self, SessionRef};
use drover_store::{Result as StoreResult, changes, counters, devices};
use drover_types::{
    DeviceId, DeviceStatus, FailureClass, RolloutId, RolloutState, SessionState, TenantId, Timestamp, UpdateSessionId,
};

use crate::Result;

/// A session that is to change.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) session: UpdateSessionId,
    pub(crate) rollout: RolloutId,
    pub(crate) stage: i64,
    pub(crate) device: DeviceId,
    /// The class that the state before was counted under: only a time-out has one and can still change.
    pub(crate) class_before: Option<FailureClass>,
    pub(crate) step: Move,
}

/// A session that changed, and where it is counted since.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed {
    pub(crate) rollout: RolloutId,
    pub(crate) stage: i64,
    pub(crate) device: DeviceId,
    pub(crate) from: Counted,
    pub(crate) to: Counted,
}

/// Changes the states of many sessions of one tenant, each once, with all that hangs on them. Returns those that changed:
/// the others were not in `step.from` any more.
pub(crate) async fn apply(
    tx: &mut Tx,
    tenant: TenantId,
    changes: &[Change],
    now: Timestamp,
) -> StoreResult<BTreeSet<UpdateSessionId>> {
    let moves: Vec<_> = changes.iter().map(|change| (change.session, change.step.clone())).collect();
    let changed = session_changes::change_states(tx, tenant, &moves, now).await?;
    let changed: BTreeSet<_> = changed.into_iter().collect();
    let done = changes.iter().filter(|change| changed.contains(&change.session)).map(|change| {
        let Change { rollout, stage, device, class_before, step, .. } = change;
        let class = step.failure.as_ref().map(|(class, _, _)| *class);
        let (from, to) = ((step.from, *class_before), (step.to, class));
        Changed { rollout: *rollout, stage: *stage, device: *device, from, to }
    });
    after(tx, tenant, &done.collect::<Vec<_>>(), now).await?;
    Ok(changed)
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
    let mut changed = Vec::new();
    for from in SessionState::ALL.iter().copied().filter(|from| from.may_become(to)) {
        let ids: Vec<_> = sessions.iter().filter(|one| one.state == from).map(|one| one.id).collect();
        let ended = session_changes::end_many(tx, (tenant, rollout), &ids, (from, to), failure.as_ref(), now).await?;
        changed.extend(ended.into_iter().map(|ended| Changed {
            rollout,
            stage: ended.stage,
            device: ended.device_id,
            from: (from, None),
            to: (to, class),
        }));
    }
    after(tx, tenant, &changed, now).await?;
    Ok(changed.len())
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

/// What follows: sessions are counted elsewhere, the device's status is that of its last session, and a session that
/// ended is news for the driver.
pub(crate) async fn after(tx: &mut Tx, tenant: TenantId, changed: &[Changed], now: Timestamp) -> StoreResult<()> {
    let mut additions: BTreeMap<counters::Place, i64> = BTreeMap::new();
    for Changed { rollout, stage, from, to, .. } in changed {
        *additions.entry((*rollout, *stage, *from)).or_default() -= 1;
        *additions.entry((*rollout, *stage, *to)).or_default() += 1;
    }
    additions.retain(|_, sessions| *sessions != 0);
    counters::add_all(tx, tenant, &additions).await?;

    let moved = || changed.iter().filter(|one| one.from.0 != one.to.0);
    let statuses = moved().filter_map(|one| Some((one.device, status_after((one.from.0, one.to.0))?)));
    let mut by_status: BTreeMap<DeviceStatus, Vec<DeviceId>> = BTreeMap::new();
    for (device, status) in statuses.collect::<BTreeMap<_, _>>() {
        by_status.entry(status).or_default().push(device);
    }
    for (status, devices) in by_status {
        devices::set_status_of(tx, tenant, &devices, status, now).await?;
    }

    let with_news: BTreeSet<RolloutId> = moved().filter(|one| one.to.0.is_final()).map(|one| one.rollout).collect();
    for rollout in with_news {
        rollouts::wake(tx, tenant, rollout, now).await?;
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
