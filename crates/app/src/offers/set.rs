//! Many offers, a few statements.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use drover_db::{BoxFuture, Tx};
use drover_rollout::{Snapshot, offer_slots};
use drover_store::counters::CounterRow;
use drover_store::device_components::DeviceComponentRow;
use drover_store::rollouts::{self, RolloutRow};
use drover_store::session_changes::{self, Offer};
use drover_store::stages::StageRow;
use drover_store::{Result as StoreResult, counters, device_components, stages, targets};
use drover_types::{DeviceId, RolloutId, SessionState, StageState, TenantId, Timestamp};

use super::{Attempt, Verdict, said};
use crate::numbered::{Numbered, by_tenant};
use crate::rollouts::stage_snapshots;
use crate::transitions::{self, Change, Changed};
use crate::{Result, rollout_policy};

/// Makes the offers that their rollouts allow at this moment, those of each tenant together. Of one rollout, who came first
/// is served first; rollouts are in the order of their ids.
pub(crate) fn make_all<'t>(
    tx: &'t mut Tx,
    attempts: &'t [Attempt],
) -> BoxFuture<'t, StoreResult<Vec<Result<Verdict>>>> {
    Box::pin(async move {
        let mut verdicts = BTreeMap::new();
        for (tenant, own) in by_tenant(attempts, |attempt| attempt.tenant) {
            verdicts.extend(of_tenant(tx, tenant, &own).await?);
        }
        Ok(verdicts.into_values().collect())
    })
}

/// What a rollout grants to devices of a stage that ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// So many more devices may be told now; none while the stage is not open.
    pub(super) slots: u64,
    /// So long each may be silent.
    session_timeout: Duration,
}

/// Asks the planner.
pub(super) fn room(rollout: &RolloutRow, stages: &[StageRow], counters: &[CounterRow], stage: i64) -> Result<Room> {
    let policy = rollout_policy::parse(&rollout.policy)?;
    let session_timeout = Duration::from_millis(policy.session_timeout_ms);
    let own = stages.iter().find(|own| own.position == stage);
    let is_open = own.is_some_and(|own| !matches!(own.state, StageState::Waiting | StageState::Opening));
    let snapshot = Snapshot {
        state: rollout.state,
        kind: rollout.kind,
        stages: stage_snapshots(stages, counters),
        due: Vec::new(),
        child: None,
        children_needed: false,
    };
    Ok(Room { slots: if is_open { offer_slots(&policy, &snapshot) } else { 0 }, session_timeout })
}

type Verdicts = BTreeMap<usize, Result<Verdict>>;

/// What is written at the end.
#[derive(Default)]
struct Plan<'a> {
    offers: Vec<(Asking<'a>, Offer)>,
    skips: Vec<Change>,
}

async fn of_tenant(tx: &mut Tx, tenant: TenantId, attempts: &[Numbered<'_, Attempt>]) -> StoreResult<Verdicts> {
    let ids: BTreeSet<RolloutId> = attempts.iter().map(|(_, attempt)| attempt.candidate.rollout_id).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let now = attempts.iter().map(|(_, attempt)| attempt.now).max();
    let mut verdicts: Verdicts = attempts.iter().map(|(number, _)| (*number, Ok(Verdict::Closed))).collect();
    // Held still until the offers are made: a pause waits for them, later offers see the pause.
    let rollouts = rollouts::locked(tx, tenant, &ids).await?;
    let (false, Some(now)) = (rollouts.is_empty(), now) else { return Ok(verdicts) };
    let mut gates = gates(tx, tenant, &rollouts).await?;
    let asking = who_may_ask(tx, tenant, &gates, attempts, &mut verdicts).await?;
    let mut plan = Plan::default();
    for (rollout, asking) in rollouts.iter().zip(asking).filter(|(_, asking)| !asking.is_empty()) {
        decide(tx, tenant, rollout, asking, &mut plan, &mut verdicts).await?;
    }
    if !plan.skips.is_empty() {
        // Who is left out counts, too: that may close the gate for the others.
        transitions::apply(tx, tenant, &plan.skips, now).await?;
        gates = self::gates(tx, tenant, &rollouts).await?;
        let mut told = BTreeMap::new();
        let closed = plan.offers.extract_if(.., |(asking, _)| {
            let candidate = &asking.attempt.candidate;
            let gate = gates.iter().find(|gate| gate.rollout.id == candidate.rollout_id);
            let slots = gate.and_then(|gate| gate.room(candidate.stage).ok()).map_or(0, |room| room.slots);
            let told = told.entry(candidate.rollout_id).or_insert(0);
            *told += 1;
            *told > slots
        });
        verdicts.extend(closed.map(|(asking, _)| (asking.number, Ok(Verdict::Closed))));
    }
    for number in make(tx, tenant, &plan.offers, now).await? {
        verdicts.insert(number, Ok(Verdict::Offered));
    }
    Ok(verdicts)
}

/// A rollout with what decides whether it makes offers.
struct Gate<'r> {
    rollout: &'r RolloutRow,
    stages: Vec<StageRow>,
    counters: Vec<CounterRow>,
}

impl Gate<'_> {
    fn room(&self, stage: i64) -> Result<Room> {
        room(self.rollout, &self.stages, &self.counters, stage)
    }
}

/// Of each rollout, in order.
async fn gates<'r>(tx: &mut Tx, tenant: TenantId, rollouts: &'r [RolloutRow]) -> StoreResult<Vec<Gate<'r>>> {
    let ids: Vec<_> = rollouts.iter().map(|rollout| rollout.id).collect();
    let stages = stages::of_rollouts(&mut *tx, tenant, &ids).await?;
    let counters = counters::of_rollouts(&mut *tx, tenant, &ids).await?;
    let gate = |rollout: &'r RolloutRow| Gate {
        rollout,
        stages: stages.iter().filter(|row| row.rollout_id == rollout.id).cloned().collect(),
        counters: counters.iter().filter(|row| row.rollout_id == rollout.id).cloned().collect(),
    };
    Ok(rollouts.iter().map(gate).collect())
}

/// An attempt whose rollout has room, and is still for the same devices.
struct Asking<'a> {
    number: usize,
    attempt: &'a Attempt,
    room: Room,
}

/// Of each rollout, in order.
async fn who_may_ask<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    gates: &[Gate<'_>],
    attempts: &[Numbered<'a, Attempt>],
    verdicts: &mut Verdicts,
) -> StoreResult<Vec<Vec<Asking<'a>>>> {
    // Of one device's component, one is enough: the others would be refused.
    let mut components = BTreeSet::new();
    let mut all = Vec::with_capacity(gates.len());
    for gate in gates {
        let rollout = gate.rollout;
        let own = || attempts.iter().filter(|(_, attempt)| attempt.candidate.rollout_id == rollout.id);
        let asks_for_groups = own().any(|(_, one)| one.target.as_ref().is_some_and(|target| target.asks_for_groups()));
        let groups =
            if asks_for_groups { rollouts::target_groups(&mut *tx, tenant, rollout.id).await? } else { Vec::new() };
        let mut asking = Vec::new();
        for (number, attempt) in own() {
            let room = match gate.room(attempt.candidate.stage) {
                Ok(room) => room,
                Err(error) => {
                    verdicts.insert(*number, Err(error));
                    continue;
                }
            };
            let stands = attempt.target.as_ref().is_none_or(|target| target.is_of(Some(rollout.epoch), &groups));
            if room.slots == 0 || !stands {
                continue;
            }
            verdicts.insert(*number, Ok(Verdict::Refused));
            if components.insert((attempt.device, &attempt.candidate.component)) {
                asking.push(Asking { number: *number, attempt, room });
            }
        }
        all.push(asking);
    }
    Ok(all)
}

/// Who of those that ask a rollout is told, as long as there is room, and who is left out. Who comes when there is none is
/// not judged: it may fit by the time that there is.
async fn decide<'a>(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: &RolloutRow,
    asking: Vec<Asking<'a>>,
    plan: &mut Plan<'a>,
    verdicts: &mut Verdicts,
) -> StoreResult<()> {
    let running = running(tx, tenant, rollout, &asking).await?;
    let why_not = why_not(tx, rollout, &asking, &running).await?;
    let mut told = 0;
    for asking in asking {
        if told >= asking.room.slots {
            verdicts.insert(asking.number, Ok(Verdict::Closed));
            continue;
        }
        let device = asking.attempt.device;
        if let Some(reason) = why_not.get(&device) {
            plan.skips.push(asking.attempt.skip(*reason));
            verdicts.insert(asking.number, Ok(Verdict::Skipped));
        } else {
            told += 1;
            let offer = offer(asking.attempt, running.get(&device), asking.room);
            plan.offers.push((asking, offer));
        }
    }
    Ok(())
}

type Running = BTreeMap<DeviceId, DeviceComponentRow>;

/// What the rollout's component runs on those that ask.
async fn running(tx: &mut Tx, tenant: TenantId, rollout: &RolloutRow, asking: &[Asking<'_>]) -> StoreResult<Running> {
    let devices: Vec<_> = asking.iter().map(|one| one.attempt.device).collect();
    let rows = device_components::running(tx, tenant, &rollout.component, &devices).await?;
    Ok(rows.into_iter().map(|row| (row.device_id, row)).collect())
}

/// Which devices may not have the firmware any more, and why: a short code and a sentence. Since they were chosen, another
/// rollout may have brought them further, a dependency may have gone, or the target may not hold for them now.
async fn why_not(
    tx: &mut Tx,
    rollout: &RolloutRow,
    asking: &[Asking<'_>],
    running: &Running,
) -> StoreResult<BTreeMap<DeviceId, (&'static str, &'static str)>> {
    let devices = asking.iter().map(|one| one.attempt.device);
    // All targets that stand are the same but for the moment that they ask about, which is when a device that asks was
    // seen last.
    let targets = asking.iter().filter_map(|one| one.attempt.target.as_ref());
    if let Some(target) = targets.max_by_key(|target| target.asked_at) {
        let devices: Vec<_> = devices.collect();
        let reasons = targets::why_not(tx, &target.target, &devices, target.asked_at).await?;
        return Ok(reasons.into_iter().map(|(device, reason)| (device, said(reason))).collect());
    }
    let runs_it =
        |device: &DeviceId| running.get(device).is_some_and(|running| running.firmware_id == Some(rollout.firmware_id));
    let gone = ("not_running", "it does not run any more what is taken back");
    Ok(devices.filter(|device| !runs_it(device)).map(|device| (device, gone)).collect())
}

fn offer(attempt: &Attempt, running: Option<&DeviceComponentRow>, room: Room) -> Offer {
    Offer {
        from_version: running.and_then(|running| running.version.clone()),
        from_firmware: running.and_then(|running| running.firmware_id),
        next_action_at: attempt.now.plus(room.session_timeout),
    }
}

/// Writes the offers; says which were made.
async fn make(
    tx: &mut Tx,
    tenant: TenantId,
    offers: &[(Asking<'_>, Offer)],
    now: Timestamp,
) -> StoreResult<Vec<usize>> {
    let rows: Vec<_> = offers.iter().map(|(asking, offer)| (asking.attempt.candidate.id, offer.clone())).collect();
    let made: BTreeSet<_> = session_changes::offer(tx, tenant, &rows, now).await?.into_iter().collect();
    let made: Vec<_> = offers.iter().filter(|(asking, _)| made.contains(&asking.attempt.candidate.id)).collect();
    let changed = made.iter().map(|(Asking { attempt, .. }, _)| Changed {
        rollout: attempt.candidate.rollout_id,
        stage: attempt.candidate.stage,
        device: attempt.device,
        from: (SessionState::Pending, None),
        to: (SessionState::Offered, None),
    });
    transitions::after(tx, tenant, &changed.collect::<Vec<_>>(), now).await?;
    // A device that falls silent from here on is noticed in time.
    let mut wakes: BTreeMap<RolloutId, Timestamp> = BTreeMap::new();
    for (asking, offer) in &made {
        let at = wakes.entry(asking.attempt.candidate.rollout_id).or_insert(offer.next_action_at);
        *at = offer.next_action_at.min(*at);
    }
    for (rollout, at) in wakes {
        rollouts::wake(tx, tenant, rollout, at).await?;
    }
    Ok(made.into_iter().map(|(asking, _)| asking.number).collect())
}
