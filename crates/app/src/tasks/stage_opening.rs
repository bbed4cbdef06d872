//! Chooses the devices of an opening stage: batches of rows behind a cursor that survives a restart.

use drover_db::{Lease, Tx};
use drover_store::stages::{self, Cursor, StageRow, StateChange};
use drover_store::targets::{self, Range, StageFilter, Target};
use drover_store::update_sessions::{self, Chosen, INSERT_ROWS_MAX, PendingStage};
use drover_store::{changes, counters, rollouts};
use drover_types::{
    DEVICE_BUCKETS, DeviceId, FirmwareId, RolloutId, RolloutKind, SessionState, StageState, TenantId, Timestamp,
    UpdateSessionId,
};

use super::rollout_driver::{View, hold};
use crate::rollouts::tally;
use crate::targets::share;
use crate::{App, Error, Result};

/// Devices per transaction.
const BATCH: usize = 5_000;

/// A cursor bucket before all buckets: the choice goes on at bucket 0.
const WRAPPED: i64 = -1;

/// How many devices the stage takes when it opens: all that match its condition, or what is left of its share of all
/// that may be taken and were taken before.
pub(super) async fn devices_to_choose(app: &App, view: &View, stage: usize) -> Result<i64> {
    if let (RolloutKind::Rollback, Some(parent)) = (view.row.kind, view.row.parent_id) {
        return Ok(targets::count_back(&app.db, view.tenant, parent).await?);
    }
    let Some(policy) = view.policy.stages.get(stage) else { return Ok(0) };
    let target = app.rollout_target(view.tenant, &view.row, view.now).await?.target;
    let filter = stage_filter(app, view, stage, view.now).await?;
    let eligible = targets::count(&app.db, &target, &filter).await?;
    let Some(percentage) = policy.percentage else { return Ok(eligible) };
    let taken = i64::try_from(tally(&view.counters, None).total()).unwrap_or(i64::MAX);
    Ok(share(percentage, eligible.saturating_add(taken)).saturating_sub(taken).max(0))
}

async fn stage_filter(app: &App, view: &View, stage: usize, now: Timestamp) -> Result<StageFilter> {
    let condition = view.policy.stages.get(stage).and_then(|stage| stage.condition.as_deref());
    let only = match condition {
        Some(condition) => Some(app.stored_condition(condition, now).await?),
        None => None,
    };
    Ok(StageFilter { only, ..StageFilter::default() })
}

/// Chooses the next batch of devices, or makes the stage running when no more are to be chosen.
pub(super) async fn fill(app: &App, lease: &Lease, view: &View, stage: &StageRow) -> Result<()> {
    let remaining = stage.remaining.unwrap_or(0);
    if remaining == 0 {
        return release(app, lease, view, stage).await;
    }
    // A way back takes all that there are, and there may be more of them by now.
    let most = if view.row.parent_id.is_some() { i64::MAX } else { remaining };
    let limit = usize::try_from(most).unwrap_or(BATCH).min(BATCH);
    let now = view.now;
    // All batches ask about the moment at which the stage opened, as the count did.
    let asked_at = stage.opened_at.unwrap_or(now);
    let ids = (0..limit).map(|_| UpdateSessionId::generate(now, app.entropy())).collect();
    let batch = Batch {
        lease: lease.clone(),
        tenant: view.tenant,
        epoch: view.row.epoch,
        target: app.rollout_target(view.tenant, &view.row, asked_at).await?.target,
        filter: stage_filter(app, view, usize::try_from(stage.position).unwrap_or(usize::MAX), asked_at).await?,
        rollout: view.row.id,
        parent: view.row.parent_id,
        shift: view.row.shift,
        stage: stage.clone(),
        remaining,
        limit,
        ids,
        now,
    };
    app.writer.write(move |tx| Box::pin(async move { batch.run(tx).await })).await
}

/// From here on its devices are told; a step of its own, as every node has to hear of it.
async fn release(app: &App, lease: &Lease, view: &View, stage: &StageRow) -> Result<()> {
    let (lease, tenant, rollout, epoch) = (lease.clone(), view.tenant, view.row.id, view.row.epoch);
    let (position, now) = (stage.position, view.now);
    let _news = app.feed.announce();
    app.writer
        .write(move |tx| {
            Box::pin(async move {
                hold(tx, &lease).await?;
                if rollouts::lock(tx, tenant, rollout).await? != Some(epoch) {
                    return Ok(());
                }
                let change = StateChange { from: StageState::Opening, to: StageState::Running, soak_until: None };
                stages::set_state(tx, tenant, rollout, position, change, now).await?;
                Ok::<_, Error>(changes::push_rollout(tx, tenant, rollout, now).await?)
            })
        })
        .await
}

struct Batch {
    lease: Lease,
    tenant: TenantId,
    epoch: i64,
    target: Target,
    filter: StageFilter,
    rollout: RolloutId,
    parent: Option<RolloutId>,
    shift: i64,
    stage: StageRow,
    remaining: i64,
    limit: usize,
    ids: Vec<UpdateSessionId>,
    now: Timestamp,
}

/// What one look at the candidates gave.
struct Picked {
    devices: Vec<(DeviceId, FirmwareId)>,
    /// Where to go on; none when there is nothing behind.
    next: Option<(i64, Option<DeviceId>)>,
}

impl Batch {
    async fn run(&self, tx: &mut Tx) -> Result<()> {
        hold(tx, &self.lease).await?;
        let (tenant, rollout, position) = (self.tenant, self.rollout, self.stage.position);
        if rollouts::lock(tx, tenant, rollout).await? != Some(self.epoch) {
            return Ok(());
        }
        let picked = self.pick(tx).await?;
        let chosen: Vec<Chosen> = self
            .ids
            .iter()
            .zip(&picked.devices)
            .map(|(id, (device, firmware))| Chosen { id: *id, device: *device, firmware: *firmware })
            .collect();
        let pending = PendingStage { rollout, stage: position, component: self.target.component.clone() };
        for rows in chosen.chunks(INSERT_ROWS_MAX) {
            update_sessions::insert_pending(tx, tenant, &pending, rows, self.now).await?;
        }
        let count = i64::try_from(chosen.len()).unwrap_or(0);
        if count > 0 {
            counters::add(tx, tenant, rollout, position, SessionState::Pending, None, count).await?;
        }
        let remaining = match (&picked.next, self.parent) {
            (None, _) => 0,
            (Some(_), None) => self.remaining - count,
            (Some(_), Some(_)) => (self.remaining - count).max(1),
        };
        let (bucket, device) = picked.next.map_or((None, None), |(bucket, device)| (Some(bucket), device));
        let cursor = Cursor { remaining, bucket, device };
        if !stages::advance(tx, tenant, rollout, position, self.remaining, cursor).await? {
            return Err(Error::conflict("stage_moved", "another driver opened this stage further"));
        }
        Ok(())
    }

    async fn pick(&self, tx: &mut Tx) -> Result<Picked> {
        match self.parent {
            Some(parent) => self.pick_back(tx, parent).await,
            None => self.pick_forward(tx).await,
        }
    }

    /// Buckets from the rollout's shift to the last, then from the first to the shift.
    async fn pick_forward(&self, tx: &mut Tx) -> Result<Picked> {
        let nobody = DeviceId(uuid::Uuid::nil());
        let bucket = self.stage.cursor_bucket.unwrap_or(self.shift - 1);
        let wrapped = self.stage.cursor_bucket.is_some_and(|bucket| bucket < self.shift);
        let (from, to) = if wrapped { (0, self.shift) } else { (self.shift, i64::from(DEVICE_BUCKETS)) };
        let range = Range { from, to, after_bucket: bucket, after: self.stage.cursor_device.unwrap_or(nobody) };
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let rows = targets::pick(tx, &self.target, &self.filter, range, limit).await?;
        let next = match rows.last() {
            Some(last) if rows.len() == self.limit => Some((last.bucket, Some(last.device_id))),
            _ if wrapped || self.shift == 0 => None,
            _ => Some((WRAPPED, None)),
        };
        let firmware = self.target.firmware;
        Ok(Picked { devices: rows.into_iter().map(|row| (row.device_id, firmware)).collect(), next })
    }

    async fn pick_back(&self, tx: &mut Tx, parent: RolloutId) -> Result<Picked> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let rows = targets::pick_back(tx, self.tenant, parent, self.rollout, self.stage.cursor_device, limit).await?;
        let next = match rows.last() {
            Some(last) if rows.len() == self.limit => Some((0, Some(last.device_id))),
            _ => None,
        };
        Ok(Picked { devices: rows.into_iter().map(|row| (row.device_id, row.firmware_id)).collect(), next })
    }
}
