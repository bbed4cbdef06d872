//! Chooses the devices of an opening stage: batches of rows behind a cursor that survives a restart.

use std::time::{Duration, Instant};

use drover_db::{Lease, Tx};
use drover_rollout::StagePolicy;
use drover_store::stages::{self, Cursor, StageRow, StateChange};
use drover_store::targets::{self, FIRST, Range, StageFilter, Target};
use drover_store::update_sessions::{self, Chosen, INSERT_ROWS_MAX, PendingStage};
use drover_store::{changes, condition_groups, counters, rollouts};
use drover_types::{
    DeviceId, FirmwareId, RolloutId, RolloutKind, SessionState, StageState, TenantId, Timestamp, UpdateSessionId,
};

use super::ring::Spot;
use super::rollout_driver::{View, hold};
use crate::rollouts::tally;
use crate::targets::share;
use crate::{App, Error, Result};

/// So many new sessions the database has to know of before devices report about them.
const ANALYZED_FROM: u64 = 1_000;

/// How long batches follow each other before others have their turn.
const FILL_TIME: Duration = Duration::from_secs(1);

/// How long a batch is looked for; then the cursor is written, whatever was found.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// How many devices the stage takes when it opens: what is left of its share of all that may be taken and were taken
/// before. One that takes all that match ends when all were looked at, and nobody counts them before.
pub(super) async fn devices_to_choose(app: &App, view: &View, stage: usize) -> Result<i64> {
    if let (RolloutKind::Rollback, Some(parent)) = (view.row.kind, view.row.parent_id) {
        return Ok(targets::count_back(&app.db, view.tenant, parent).await?);
    }
    let Some(policy) = view.policy.stages.get(stage) else { return Ok(0) };
    // What cannot be asked is found before the stage opens.
    let target = app.rollout_target(view.tenant, &view.row, view.now).await?.target;
    let filter = stage_filter(app, view, stage, view.now).await?;
    let Some(percentage) = policy.percentage.filter(|_| !takes_all(policy)) else { return Ok(i64::MAX) };
    let eligible = targets::count(&app.db, &target, &filter).await?;
    let taken = i64::try_from(tally(&view.counters, None).total()).unwrap_or(i64::MAX);
    Ok(share(percentage, eligible.saturating_add(taken)).saturating_sub(taken).max(0))
}

async fn stage_filter(app: &App, view: &View, stage: usize, now: Timestamp) -> Result<StageFilter> {
    let condition = view.policy.stages.get(stage).and_then(|stage| stage.condition.as_deref());
    let Some(condition) = condition else { return Ok(StageFilter::default()) };
    let asked = condition_groups::of_rollout(&app.db, view.tenant, view.row.id).await?;
    Ok(StageFilter { only: Some(app.stored_condition(condition, &asked, now).await?), ..StageFilter::default() })
}

/// Chooses batches of devices for a while, or makes the stage running when no more are to be chosen.
///
/// They are looked up beside the transaction that takes them, so that no writer waits for what conditions cost: the next
/// ones while those before are written. Nobody else can take them meanwhile: that transaction moves the cursor from where
/// the look began.
pub(super) async fn fill(app: &App, lease: &Lease, view: &View, stage: &StageRow) -> Result<()> {
    if stage.remaining.unwrap_or(0) == 0 {
        return release(app, lease, view, stage).await;
    }
    let begin = Instant::now();
    let mut batch = Box::pin(next_batch(app, lease, view, stage)).await?;
    loop {
        let Cursor { remaining, bucket, device } = batch.after;
        let behind =
            StageRow { remaining: Some(remaining), cursor_bucket: bucket, cursor_device: device, ..stage.clone() };
        let is_last = remaining == 0 || begin.elapsed() > FILL_TIME;
        let written = app.writer.write(move |tx| Box::pin(async move { batch.run(tx).await }));
        if is_last {
            return written.await.map(drop);
        }
        let (written, next) = tokio::join!(written, Box::pin(next_batch(app, lease, view, &behind)));
        if !written? {
            return Ok(());
        }
        batch = next?;
    }
}

async fn next_batch(app: &App, lease: &Lease, view: &View, stage: &StageRow) -> Result<Batch> {
    let remaining = stage.remaining.unwrap_or(0);
    // A way back takes all that there are, and there may be more of them by now.
    let is_back = view.row.parent_id.is_some();
    let most = if is_back { i64::MAX } else { remaining };
    let limit = usize::try_from(most).unwrap_or(usize::MAX).min(app.settings.stage_batch);
    let picked = match view.row.parent_id {
        Some(parent) => pick_back(app, view, stage, parent, limit).await?,
        None if goes_by_id(view, stage) => pick_by_id(app, view, stage, limit).await?,
        None => pick_around(app, view, stage, limit).await?,
    };
    let now = app.now();
    // In their order, as each index has them: the end of what a moment brings is random.
    let mut ids: Vec<_> = picked.devices.iter().map(|_| UpdateSessionId::generate(now, app.entropy())).collect();
    ids.sort_unstable();
    let chosen = ids.into_iter().zip(&picked.devices);
    let chosen = chosen.map(|(id, (device, firmware))| Chosen { id, device: *device, firmware: *firmware });
    Ok(Batch {
        lease: lease.clone(),
        tenant: view.tenant,
        epoch: view.row.epoch,
        pending: PendingStage { rollout: view.row.id, stage: stage.position, component: view.row.component.clone() },
        chosen: chosen.collect(),
        before: Cursor { remaining, bucket: stage.cursor_bucket, device: stage.cursor_device },
        after: picked.cursor(remaining, i64::from(is_back)),
        now,
    })
}

/// From here on its devices are told; a step of its own, as every node has to hear of it.
async fn release(app: &App, lease: &Lease, view: &View, stage: &StageRow) -> Result<()> {
    if tally(&view.counters, Some(stage.position)).total() >= ANALYZED_FROM
        && let Err(error) = update_sessions::analyze(&app.db).await
    {
        // Only plans are worse, until the database does so by itself.
        tracing::warn!(%error, "the sessions of a new stage could not be analyzed: reports may be slow for some minutes");
    }
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
                Ok::<_, Error>(changes::push_rollout(tx, tenant, rollout).await?)
            })
        })
        .await
}

/// Who was chosen.
struct Picked {
    devices: Vec<(DeviceId, FirmwareId)>,
    /// Where to go on; none when everybody was looked at.
    next: Option<Cursor>,
}

impl Picked {
    /// The stage's cursor when these are taken of the `remaining`, of which `least` are left until all were looked at.
    fn cursor(&self, remaining: i64, least: i64) -> Cursor {
        let left = remaining - i64::try_from(self.devices.len()).unwrap_or(i64::MAX);
        let end = Cursor { remaining: 0, bucket: None, device: None };
        self.next.map_or(end, |next| Cursor { remaining: left.max(least), ..next })
    }
}

/// Whether the order does not matter, as all that match are taken: that of the ids costs least. A choice that has begun
/// stays in its order.
fn goes_by_id(view: &View, stage: &StageRow) -> bool {
    let policy = usize::try_from(stage.position).ok().and_then(|position| view.policy.stages.get(position));
    match (stage.cursor_bucket, stage.cursor_device) {
        (None, None) => policy.is_some_and(takes_all),
        (None, Some(_)) => true,
        (Some(_), _) => false,
    }
}

/// By its condition, or as the last one.
fn takes_all(stage: &StagePolicy) -> bool {
    stage.percentage.is_none_or(|share| share == 100)
}

/// Whom a stage looks for.
async fn sought(app: &App, view: &View, stage: &StageRow) -> Result<(Target, StageFilter)> {
    // All batches ask about the moment at which the stage opened, as the count did.
    let asked_at = stage.opened_at.unwrap_or(view.now);
    let target = app.rollout_target(view.tenant, &view.row, asked_at).await?.target;
    let filter = stage_filter(app, view, usize::try_from(stage.position).unwrap_or(usize::MAX), asked_at).await?;
    Ok((target, filter))
}

/// Looks at devices in the order of their ids until `limit` are found, or it took long.
async fn pick_by_id(app: &App, view: &View, stage: &StageRow, limit: usize) -> Result<Picked> {
    let (target, filter) = sought(app, view, stage).await?;
    let begin = Instant::now();
    let mut devices = Vec::new();
    let mut after = stage.cursor_device.unwrap_or(FIRST);
    loop {
        let last = targets::look_by_id(&app.db, view.tenant, after, app.settings.stage_look).await?;
        let missing = limit - devices.len();
        let rows_max = i64::try_from(missing).unwrap_or(i64::MAX);
        let rows = targets::pick_by_id(&app.db, &target, &filter, (after, last), rows_max).await?;
        let last = if rows.len() == missing { rows.last().copied() } else { last };
        devices.extend(rows.into_iter().map(|device| (device, target.firmware)));
        let Some(last) = last else { return Ok(Picked { devices, next: None }) };
        after = last;
        if devices.len() == limit || begin.elapsed() > LOOK_TIME {
            // A release that knows the ring alone begins anew with this cursor, and passes over those that were taken.
            let next = Cursor { remaining: 0, bucket: None, device: Some(after) };
            return Ok(Picked { devices, next: Some(next) });
        }
    }
}

/// Looks at devices in the order of the ring until `limit` are found, or it took long.
async fn pick_around(app: &App, view: &View, stage: &StageRow, limit: usize) -> Result<Picked> {
    let (target, filter) = sought(app, view, stage).await?;
    let begin = Instant::now();
    let mut devices = Vec::new();
    let mut spot = Spot::of(view.row.shift, stage.cursor_bucket, stage.cursor_device);
    loop {
        let rest = spot.rest();
        let range = Range { last: targets::look(&app.db, &target, rest, app.settings.stage_look).await?, ..rest };
        let missing = limit - devices.len();
        let rows = targets::pick(&app.db, &target, &filter, range, i64::try_from(missing).unwrap_or(i64::MAX)).await?;
        let last = if rows.len() == missing { rows.last().copied() } else { range.last };
        devices.extend(rows.iter().map(|row| (row.device_id, target.firmware)));
        let Some(next) = spot.behind(last) else { return Ok(Picked { devices, next: None }) };
        spot = next;
        if devices.len() == limit || begin.elapsed() > LOOK_TIME {
            return Ok(Picked { devices, next: Some(spot.cursor(0)) });
        }
    }
}

/// The next that go back from what `parent` brought.
async fn pick_back(app: &App, view: &View, stage: &StageRow, parent: RolloutId, limit: usize) -> Result<Picked> {
    let rows_max = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = targets::pick_back(&app.db, view.tenant, parent, view.row.id, stage.cursor_device, rows_max).await?;
    let last = rows.last().filter(|_| rows.len() == limit);
    let next = last.map(|last| Cursor { remaining: 0, bucket: Some(0), device: Some(last.device_id) });
    Ok(Picked { devices: rows.into_iter().map(|row| (row.device_id, row.firmware_id)).collect(), next })
}

/// Devices that were chosen, and the cursor's move from before them to behind them.
struct Batch {
    lease: Lease,
    tenant: TenantId,
    epoch: i64,
    pending: PendingStage,
    chosen: Vec<Chosen>,
    before: Cursor,
    after: Cursor,
    now: Timestamp,
}

impl Batch {
    /// Says whether the rollout still is the one that they were chosen for.
    async fn run(&self, tx: &mut Tx) -> Result<bool> {
        hold(tx, &self.lease).await?;
        let (tenant, PendingStage { rollout, stage, .. }) = (self.tenant, &self.pending);
        if rollouts::lock(tx, tenant, *rollout).await? != Some(self.epoch) {
            return Ok(false);
        }
        // First of all: whoever was faster took these devices.
        if !stages::advance(tx, tenant, *rollout, *stage, self.before, self.after).await? {
            return Err(Error::conflict("stage_moved", "another driver opened this stage further"));
        }
        for rows in self.chosen.chunks(INSERT_ROWS_MAX) {
            let inserted = update_sessions::insert_pending(tx, tenant, &self.pending, rows, self.now).await;
            inserted.map_err(not_as_picked)?;
        }
        let count = i64::try_from(self.chosen.len()).unwrap_or(0);
        if count > 0 {
            counters::add(tx, tenant, *rollout, *stage, SessionState::Pending, None, count).await?;
        }
        Ok(true)
    }
}

/// Since it was picked, a device was deleted, or came late and is in the way back already.
fn not_as_picked(error: sqlx::Error) -> Error {
    if drover_db::is_foreign_key_violation(&error) || drover_db::unique_violation(&error).is_some() {
        let detail = "a device was deleted or taken elsewhere while it was chosen: the batch is chosen again";
        return Error::conflict("device_changed", detail).with_source(error);
    }
    error.into()
}
