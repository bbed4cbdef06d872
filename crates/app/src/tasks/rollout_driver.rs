//! Carries out what the planner decides: loads a snapshot, asks, applies by compare-and-set, repeats.
//!
//! One node drives at a time, under a lease that every transaction verifies. A rollout is due when its
//! `next_tick_at` has come. The driver first moves that time ahead (its claim), then looks: whoever has news sets
//! it back, so none is lost between the look and the next appointment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_db::{Lease, Tx};
use drover_rollout::{Decision, DueSession, MAX_DUE_SESSIONS, Policy, Snapshot, next_tick, plan};
use drover_store::counters::{self, CounterRow};
use drover_store::rollouts::{self, DueRow, NewRollout, RolloutRow, StateChange};
use drover_store::session_changes::Failure;
use drover_store::stages::{self, StageRow};
use drover_store::targets;
use drover_store::update_sessions::{self, SessionRef};
use drover_types::{
    ErrorKind, FailureClass, RolloutId, RolloutKind, RolloutState, SessionState, StageState, TenantId, Timestamp,
};
use tokio_util::sync::CancellationToken;

use super::stage_opening;
use crate::audit::{Audit, Entry};
use crate::conditions::is_unusable;
use crate::context::new_id;
use crate::rollouts::{shown, stage_snapshots};
use crate::transitions;
use crate::{App, Error, Result, rollout_policy};

/// A driver that died is replaced after this long.
const LEASE_TTL: Duration = Duration::from_secs(5);
const LEASE_NAME: &str = "rollout-driver";

/// How often the driver looks when nobody pokes it.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long the driver leaves reports to themselves after a round without work left: a thousand of them in a second are
/// a few rounds, not a thousand.
const PAUSE: Duration = Duration::from_millis(100);

/// How soon a tick that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// How far a claim moves the next look ahead: what is left of a tick that died is taken up after this long.
const CLAIM: Duration = Duration::from_secs(30);

/// Rollouts per round, and how long one of them may take before the next one's turn: a gate of another rollout must
/// not wait for long. A step that has begun is ended.
const ROLLOUTS_MAX: i64 = 100;
const TURN: Duration = Duration::from_secs(1);

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut held = None;
    while !stop.is_cancelled() {
        let is_more = round(&app, &mut held, &stop).await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "failed to drive rollouts; trying again");
            false
        });
        if is_more {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = async { tokio::join!(app.poke.notified(), tokio::time::sleep(PAUSE)); } => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    if let Some(Held { lease, .. }) = held
        && let Err(error) = app.db.lease_release(&lease).await
    {
        tracing::debug!(%error, "the driver's lease was not given back; it runs out by itself");
    }
}

/// The driver's lease, and when it was last renewed between two rounds.
struct Held {
    lease: Lease,
    renewed: Instant,
}

/// Says whether there is more to do at once.
async fn round(app: &App, held: &mut Option<Held>, stop: &CancellationToken) -> Result<bool> {
    let Some(lease) = hold_lease(app, held).await? else { return Ok(false) };
    tokio::select! {
        done = drive_due(app, &lease, stop) => done,
        () = lose(app, &lease) => {
            *held = None;
            Ok(false)
        }
    }
}

/// Looks at everything that is due; says whether there is more to do at once.
async fn drive_due(app: &App, lease: &Lease, stop: &CancellationToken) -> Result<bool> {
    let mut is_more = false;
    for due in rollouts::due(&app.db, app.now(), ROLLOUTS_MAX).await? {
        if stop.is_cancelled() {
            return Ok(false);
        }
        let begin = Instant::now();
        match tick(app, lease, due).await {
            Ok(has_more) => is_more |= has_more,
            // One rollout that cannot be driven must not stop the others.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, rollout = %due.id, "failed to drive this rollout; trying again");
            }
        }
        app.metrics.rollout_ticked(begin.elapsed());
    }
    Ok(is_more)
}

/// Keeps the lease while there is work, however long that takes; returns when it is lost.
async fn lose(app: &App, lease: &Lease) {
    loop {
        tokio::time::sleep(LEASE_TTL / 4).await;
        match app.db.lease_renew(lease, LEASE_TTL).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!("another node drives the rollouts now");
                return;
            }
            // Every transaction verifies the lease: going on for now is safe.
            Err(error) => tracing::debug!(%error, "failed to renew the driver's lease"),
        }
    }
}

async fn hold_lease(app: &App, held: &mut Option<Held>) -> Result<Option<Lease>> {
    if let Some(Held { lease, renewed }) = held {
        // Every transaction verifies it: whoever lost it meanwhile changes nothing.
        let is_fresh = renewed.elapsed() < LEASE_TTL / 4;
        if is_fresh || app.db.lease_renew(lease, LEASE_TTL).await? {
            *renewed = if is_fresh { *renewed } else { Instant::now() };
            return Ok(Some(lease.clone()));
        }
    }
    let holder = format!("process {}", std::process::id());
    let lease = app.db.lease_acquire(LEASE_NAME, &holder, LEASE_TTL).await?;
    super::note_lease(lease.as_ref());
    *held = lease.clone().map(|lease| Held { lease, renewed: Instant::now() });
    Ok(lease)
}

/// What the planner and the driver know of a rollout. Read in several statements: whoever takes a step that cannot be
/// taken back looks again under the rollout's lock.
pub(super) struct View {
    pub(super) tenant: TenantId,
    pub(super) row: RolloutRow,
    pub(super) policy: Policy,
    pub(super) stages: Vec<StageRow>,
    pub(super) counters: Vec<CounterRow>,
    due: Vec<SessionRef>,
    snapshot: Snapshot,
    pub(super) now: Timestamp,
}

async fn load(app: &App, tenant: TenantId, id: RolloutId) -> Result<Option<View>> {
    let now = app.now();
    let Some(row) = rollouts::get(&app.db, tenant, id).await? else { return Ok(None) };
    let stages = stages::of_rollout(&app.db, tenant, id).await?;
    let counters = counters::of_rollout(&app.db, tenant, id).await?;
    let due_max = i64::try_from(MAX_DUE_SESSIONS).unwrap_or(i64::MAX);
    let due = update_sessions::due(&app.db, tenant, id, now, due_max).await?;
    let child = rollouts::child(&app.db, tenant, id).await?;
    let rolling_back = row.state == RolloutState::RollingBack;
    let children_needed = rolling_back && targets::count_back(&app.db, tenant, id).await? > 0;
    let snapshot = Snapshot {
        state: row.state,
        kind: row.kind,
        stages: stage_snapshots(&stages, &counters),
        due: due
            .iter()
            .filter_map(|one| Some(DueSession { id: one.id, state: one.state, next_action_at: one.next_action_at? }))
            .collect(),
        child: child.map(|child| child.state),
        children_needed,
    };
    let policy = rollout_policy::parse(&row.policy)?;
    Ok(Some(View { tenant, row, policy, stages, counters, due, snapshot, now }))
}

async fn tick(app: &App, lease: &Lease, due: DueRow) -> Result<bool> {
    let DueRow { tenant_id: tenant, id, next_tick_at } = due;
    let claim = app.now().plus(CLAIM);
    if !set_next_tick(app, lease, tenant, id, next_tick_at, claim).await? {
        return Ok(false);
    }
    let driven = drive(app, lease, tenant, id, claim).await;
    if driven.is_err() {
        let soon = app.now().plus(RETRY);
        set_next_tick(app, lease, tenant, id, claim, soon).await?;
    }
    driven
}

async fn drive(app: &App, lease: &Lease, tenant: TenantId, id: RolloutId, claim: Timestamp) -> Result<bool> {
    let begin = Instant::now();
    while begin.elapsed() < TURN {
        let Some(view) = load(app, tenant, id).await? else { return Ok(false) };
        if !step(app, lease, &view).await? {
            rest(app, lease, &view, claim).await?;
            return Ok(false);
        }
    }
    // There is more to do; the others first.
    set_next_tick(app, lease, tenant, id, claim, app.now()).await?;
    Ok(true)
}

/// Makes the next appointment, unless there was news since the claim. The rollout is held still meanwhile: an offer
/// whose time-out is later than the claim leaves no other trace than the session itself.
async fn rest(app: &App, lease: &Lease, view: &View, claim: Timestamp) -> Result<()> {
    let planned = next_tick(&view.policy, &view.snapshot, view.now);
    let watches = !view.row.state.is_final() || view.snapshot.in_flight() > 0;
    let (lease, tenant, id) = (lease.clone(), view.tenant, view.row.id);
    app.writer
        .write(move |tx| {
            Box::pin(async move {
                hold(tx, &lease).await?;
                rollouts::lock(tx, tenant, id).await?;
                let due = if watches { update_sessions::next_due(&mut *tx, tenant, id).await? } else { None };
                let next = [planned, due].into_iter().flatten().min();
                rollouts::set_next_tick(tx, tenant, id, claim, next).await?;
                Ok::<_, Error>(())
            })
        })
        .await
}

async fn set_next_tick(
    app: &App,
    lease: &Lease,
    tenant: TenantId,
    id: RolloutId,
    before: Timestamp,
    after: Timestamp,
) -> Result<bool> {
    let lease = lease.clone();
    app.writer
        .write(move |tx| {
            Box::pin(async move {
                hold(tx, &lease).await?;
                Ok::<_, Error>(rollouts::set_next_tick(tx, tenant, id, before, Some(after)).await?)
            })
        })
        .await
}

/// One step: a batch of an opening stage, or one plan. Says whether anything changed. A target or stage that asks for a
/// group that is not there, or cannot be read any more, takes nobody: the rollout pauses until a person has looked.
async fn step(app: &App, lease: &Lease, view: &View) -> Result<bool> {
    let fills = matches!(view.row.state, RolloutState::Active | RolloutState::Paused);
    if let Some(stage) = view.stages.iter().find(|stage| fills && stage.state == StageState::Opening) {
        match stage_opening::fill(app, lease, view, stage).await {
            Err(error) if is_unusable(&error) => {
                if view.row.state == RolloutState::Active {
                    return carry_out(app, lease, view, vec![Decision::Pause { reason: error.detail }]).await;
                }
            }
            done => return done.map(|()| true),
        }
    }
    let mut decisions = plan(&view.policy, &view.snapshot, view.now);
    if decisions.is_empty() {
        return Ok(false);
    }
    // A gate that trips does so in a short transaction of its own. What goes with it for many sessions is planned again.
    let is_bulk = |decision: &Decision| matches!(decision, Decision::TimeOutSessions { .. } | Decision::CallOffWaiting);
    if !decisions.iter().all(is_bulk) {
        decisions.retain(|decision| !is_bulk(decision));
    }
    match carry_out(app, lease, view, decisions).await {
        Err(error) if is_unusable(&error) => {
            carry_out(app, lease, view, vec![Decision::Pause { reason: error.detail }]).await
        }
        done => done,
    }
}

async fn carry_out(app: &App, lease: &Lease, view: &View, decisions: Vec<Decision>) -> Result<bool> {
    let mut remaining = None;
    for decision in &decisions {
        remaining = match decision {
            Decision::OpenStage { stage } => Some(stage_opening::devices_to_choose(app, view, *stage).await?),
            Decision::FinishRollback => Some(targets::count_left(&app.db, view.tenant, view.row.id).await?),
            _ => remaining,
        };
    }
    let plan = Plan {
        lease: lease.clone(),
        tenant: view.tenant,
        rollout: view.row.clone(),
        policy: view.policy.clone(),
        stages: view.stages.iter().map(|stage| stage.state).collect(),
        counters: view.counters.clone(),
        due: view.due.clone(),
        remaining,
        child_id: new_id!(app, RolloutId),
        now: view.now,
        decisions,
    };
    let mut audit = app.audit_system(view.tenant);
    let done = app.writer.write(move |tx| Box::pin(async move { plan.apply(tx, &mut audit).await })).await?;
    for state in done.ended {
        app.metrics.update_ended(state);
    }
    Ok(done.changed)
}

/// One plan, applied in one transaction.
struct Plan {
    lease: Lease,
    tenant: TenantId,
    rollout: RolloutRow,
    policy: Policy,
    stages: Vec<StageState>,
    counters: Vec<CounterRow>,
    due: Vec<SessionRef>,
    /// Devices to choose for the stage that opens, or left behind by the way back that ends.
    remaining: Option<i64>,
    child_id: RolloutId,
    now: Timestamp,
    decisions: Vec<Decision>,
}

/// What a plan did.
#[derive(Default)]
struct Done {
    changed: bool,
    ended: Vec<SessionState>,
}

impl Plan {
    async fn apply(&self, tx: &mut Tx, audit: &mut Audit) -> Result<Done> {
        hold(tx, &self.lease).await?;
        if rollouts::lock(tx, self.tenant, self.rollout.id).await? != Some(self.rollout.epoch) {
            // A person was faster: plan again.
            return Ok(Done { changed: true, ended: Vec::new() });
        }
        if !self.still_holds(tx).await? {
            return Ok(Done { changed: true, ended: Vec::new() });
        }
        let mut done = Done::default();
        for decision in &self.decisions {
            done.changed |= self.apply_one(tx, decision, &mut done.ended, audit).await?;
        }
        Ok(done)
    }

    /// Whether what the end of a rollout rests on is still so: a device may have reported since it was read. Asked under
    /// the rollout's lock, which every report takes.
    async fn still_holds(&self, tx: &mut Tx) -> Result<bool> {
        if !self.decisions.iter().any(|one| matches!(one, Decision::Complete | Decision::FinishRollback)) {
            return Ok(true);
        }
        Ok(counters::of_rollout(tx, self.tenant, self.rollout.id).await? == self.counters)
    }

    async fn apply_one(
        &self,
        tx: &mut Tx,
        decision: &Decision,
        ended: &mut Vec<SessionState>,
        audit: &mut Audit,
    ) -> Result<bool> {
        let (tenant, rollout, now) = (self.tenant, self.rollout.id, self.now);
        match decision {
            Decision::Activate => self.become_state(tx, RolloutState::Active, None).await,
            Decision::Complete => self.become_state(tx, RolloutState::Completed, self.rollout.reason.clone()).await,
            Decision::FinishRollback => self.become_state(tx, RolloutState::RolledBack, self.left_behind()).await,
            Decision::Pause { reason } => self.intervene(tx, audit, "pause", RolloutState::Paused, reason).await,
            Decision::Cancel { reason } => self.intervene(tx, audit, "cancel", RolloutState::Cancelled, reason).await,
            Decision::BeginRollback { reason } => {
                self.intervene(tx, audit, "rollback", RolloutState::RollingBack, reason).await
            }
            Decision::OpenStage { stage } => {
                Ok(stages::open(tx, tenant, rollout, position(*stage), self.remaining.unwrap_or(0), now).await?)
            }
            Decision::SoakStage { stage, until } => {
                self.stage_becomes(tx, *stage, StageState::Soaking, Some(*until)).await
            }
            Decision::PassStage { stage } => self.stage_becomes(tx, *stage, StageState::Passed, None).await,
            Decision::FailStage { stage, .. } => self.stage_becomes(tx, *stage, StageState::Failed, None).await,
            Decision::TimeOutSessions { sessions } => {
                let silent: Vec<_> = self.due.iter().filter(|due| sessions.contains(&due.id)).copied().collect();
                let failure = (
                    FailureClass::Timeout,
                    "silent".to_owned(),
                    format!("no report for {} s", self.policy.session_timeout_ms / 1_000),
                );
                self.end_sessions(tx, &silent, SessionState::TimedOut, Some(failure), ended).await
            }
            Decision::CallOffWaiting => {
                let max = i64::try_from(MAX_DUE_SESSIONS).unwrap_or(i64::MAX);
                let mut waiting = Vec::new();
                // Those first that are told of it whenever they ask.
                for state in [SessionState::Offered, SessionState::Pending] {
                    let missing = max - i64::try_from(waiting.len()).unwrap_or(i64::MAX);
                    waiting.extend(update_sessions::in_state(&mut *tx, tenant, rollout, state, missing).await?);
                }
                self.end_sessions(tx, &waiting, SessionState::Cancelled, None, ended).await
            }
            Decision::CreateRollback => self.create_rollback(tx, audit).await,
        }
    }

    /// Why it was taken back, and for how many devices that did not work.
    fn left_behind(&self) -> Option<String> {
        let reason = self.rollout.reason.clone();
        match self.remaining {
            None | Some(0) => reason,
            Some(left) => {
                let why = reason.unwrap_or_default();
                Some(format!("{why}; {left} updated devices did not go back: see the failures of the way back"))
            }
        }
    }

    /// A gate stops or takes back what people had started: they find that in the audit log.
    async fn intervene(
        &self,
        tx: &mut Tx,
        audit: &mut Audit,
        verb: &'static str,
        to: RolloutState,
        reason: &str,
    ) -> Result<bool> {
        let id = self.rollout.id;
        let before = shown(&mut *tx, self.tenant, id).await?;
        if !self.become_state(tx, to, Some(reason.to_owned())).await? {
            return Ok(false);
        }
        let after = shown(&mut *tx, self.tenant, id).await?;
        let entry = Entry::changed("rollout", verb, id, &before, &after)?;
        audit.record(tx, entry.with("name", after.name).with("reason", reason)).await?;
        Ok(true)
    }

    async fn become_state(&self, tx: &mut Tx, to: RolloutState, reason: Option<String>) -> Result<bool> {
        let change = StateChange { from: self.rollout.state, to, reason };
        transitions::set_rollout_state(tx, self.tenant, &self.rollout, &change, self.now).await
    }

    async fn stage_becomes(
        &self,
        tx: &mut Tx,
        stage: usize,
        to: StageState,
        soak_until: Option<Timestamp>,
    ) -> Result<bool> {
        let Some(from) = self.stages.get(stage).copied() else { return Ok(false) };
        let change = stages::StateChange { from, to, soak_until };
        Ok(stages::set_state(tx, self.tenant, self.rollout.id, position(stage), change, self.now).await?)
    }

    async fn end_sessions(
        &self,
        tx: &mut Tx,
        sessions: &[SessionRef],
        to: SessionState,
        failure: Option<Failure>,
        ended: &mut Vec<SessionState>,
    ) -> Result<bool> {
        let count = transitions::end_many(tx, self.tenant, self.rollout.id, sessions, to, failure, self.now).await?;
        ended.extend(std::iter::repeat_n(to, count));
        Ok(count > 0)
    }

    /// The way back is a rollout of its own; the unique parent makes sure that there is one.
    async fn create_rollback(&self, tx: &mut Tx, audit: &mut Audit) -> Result<bool> {
        if rollouts::child(&mut *tx, self.tenant, self.rollout.id).await?.is_some() {
            return Ok(false);
        }
        let policy = Policy::for_rollback(self.policy.max_in_flight, self.policy.session_timeout_ms);
        let child = NewRollout {
            id: self.child_id,
            name: format!("{} (way back)", self.rollout.name),
            kind: RolloutKind::Rollback,
            state: RolloutState::Active,
            firmware_id: self.rollout.firmware_id,
            device_type: self.rollout.device_type.clone(),
            component: self.rollout.component.clone(),
            parent_id: Some(self.rollout.id),
            policy: rollout_policy::to_json(&policy)?,
            target_condition: None,
            shift: 0,
        };
        rollouts::insert(tx, self.tenant, &child, self.now).await?;
        crate::rollouts::set_stages(tx, self.tenant, child.id, &policy).await?;
        let made = shown(&mut *tx, self.tenant, child.id).await?;
        let entry = Entry::created("rollout", child.id, &made)?.with("name", made.name);
        audit.record(tx, entry.with("parent_id", self.rollout.id.to_string())).await?;
        Ok(true)
    }
}

fn position(stage: usize) -> i64 {
    i64::try_from(stage).unwrap_or(i64::MAX)
}

/// Verifies the driver's lease in a transaction.
pub(super) async fn hold(tx: &mut Tx, lease: &Lease) -> Result<()> {
    lease.verify(tx).await.map_err(|error| {
        Error::new(ErrorKind::Unavailable, "lease_lost", "another node drives the rollouts now").with_source(error)
    })
}
