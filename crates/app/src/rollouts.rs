//! Rollouts, as operators make and steer them.

use std::collections::{BTreeMap, HashMap};

use drover_api::{
    Page, PageQuery, Rollout, RolloutCounts, RolloutCreate, RolloutFilter, RolloutMetrics, RolloutRollback,
    RolloutUpdate, Stage, StageMetrics, UpdateSession, UpdateSessionFilter,
};
use drover_db::{Conn, Tx};
use drover_rollout::{Policy, StageCounts, StageSnapshot};
use drover_store::condition_groups::{self, Part};
use drover_store::counters::{self, CounterRow};
use drover_store::groups::NamedRow;
use drover_store::rollouts::{self, NewRollout, RolloutRow, StateChange};
use drover_store::stages::{self, StageRow};
use drover_store::update_sessions;
use drover_types::{
    DEVICE_BUCKETS, FirmwareId, GroupId, Permission, RolloutId, RolloutKind, RolloutState, SessionState, TenantId,
    Timestamp,
};

use crate::audit::{Audit, Entry};
use crate::context::new_id;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::rollout_plan::{Asked, CheckedPlan, changed_condition, needs_group};
use crate::{
    Access, Actor, App, Caller, Error, IdempotencyKey, Reach, Result, rollout_policy, transitions,
    update_sessions as sessions, validate,
};

/// In the place of a condition that its reader has no right to. It is no condition: sent back, it is refused.
const HIDDEN: &str = "(not shown: it asks for a group that you have no right to see)";

/// Somebody else, the driver mostly, changed its state between the look and the change.
const ROLLOUT_CHANGED: &str = "rollout_changed";
const STEER_TRIES: usize = 3;

/// What a person does to a rollout.
#[derive(Clone)]
struct Steering {
    /// What the audit log calls it.
    verb: &'static str,
    /// The state that it gets.
    to: RolloutState,
    /// The reason that the rollout shows.
    why: Option<String>,
}

impl App {
    /// The tenant's rollouts, newest first.
    pub async fn rollout_list(&self, caller: &Caller, query: &RolloutFilter) -> Result<Page<Rollout>> {
        let access = caller.authorize(Permission::RolloutsRead)?;
        let tenant = access.tenant;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let filter = rollouts::Filter { after: paging.after, state: query.status, parent: query.parent_id };
        let mut rows = rollouts::page(&self.db, tenant, &access.reach, &filter, paging.rows()).await?;
        let next_cursor = paging.cut(&mut rows, |row| row.id);
        let items = self.told(&access, shown_rows(&self.db, tenant, rows).await?).await?;
        Ok(Page { items, next_cursor })
    }

    /// One rollout.
    pub async fn rollout_view(&self, caller: &Caller, id: RolloutId) -> Result<Rollout> {
        let access = caller.authorize(Permission::RolloutsRead)?;
        access.check_rollout(&self.db, id).await?;
        self.rollout(&access, id).await
    }

    async fn rollout(&self, access: &Access, id: RolloutId) -> Result<Rollout> {
        self.told_one(access, shown(&self.db, access.tenant, id).await?).await
    }

    async fn told_one(&self, access: &Access, rollout: Rollout) -> Result<Rollout> {
        let id = rollout.id;
        self.told(access, vec![rollout]).await?.pop().ok_or_else(|| Error::not_found("rollout", id))
    }

    /// The rollouts as somebody of this reach may see them: conditions that ask for groups out of it are not told. Nor is
    /// one that asks for more groups than are known: a rollout that ended forgets those that are gone.
    async fn told(&self, access: &Access, mut rollouts: Vec<Rollout>) -> Result<Vec<Rollout>> {
        if access.reach == Reach::Tenant {
            return Ok(rollouts);
        }
        let ids: Vec<RolloutId> = rollouts.iter().map(|rollout| rollout.id).collect();
        let seen: HashMap<(RolloutId, Part), usize> =
            condition_groups::in_reach(&self.db, access.tenant, &access.reach, &ids).await?;
        for rollout in &mut rollouts {
            let seen = |part| seen.get(&(rollout.id, part)).copied().unwrap_or(0);
            let (of_target, of_stages) = (seen(Part::Target), seen(Part::Stages));
            if self.asks_for_more(rollout.target_condition.as_slice(), of_target).await? {
                rollout.target_condition = Some(HIDDEN.to_owned());
            }
            let conditions: Vec<String> = rollout.stages.iter().filter_map(|stage| stage.condition.clone()).collect();
            if self.asks_for_more(&conditions, of_stages).await? {
                for stage in rollout.stages.iter_mut().filter(|stage| stage.condition.is_some()) {
                    stage.condition = Some(HIDDEN.to_owned());
                }
            }
        }
        Ok(rollouts)
    }

    async fn rollout_row(&self, tenant: TenantId, id: RolloutId) -> Result<RolloutRow> {
        rollouts::get(&self.db, tenant, id).await?.ok_or_else(|| Error::not_found("rollout", id))
    }

    /// Creates a draft.
    pub async fn rollout_create(
        &self,
        caller: &Caller,
        body: RolloutCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Rollout> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let tenant = access.tenant;
        let CheckedPlan { firmware, asked, .. } = self.check_plan(&access, &body).await?;
        let policy = rollout_policy::from_request(&body)?;
        let now = self.now();
        let id = new_id!(self, RolloutId);
        let new = NewRollout {
            id,
            name: body.name,
            kind: RolloutKind::Update,
            state: RolloutState::Draft,
            firmware_id: firmware.id,
            device_type: firmware.device_type,
            component: firmware.component,
            parent_id: None,
            policy: rollout_policy::to_json(&policy)?,
            target_condition: body.target_condition,
            shift: shift(firmware.id),
        };
        let (mut audit, caller, groups) = (self.audit(caller, tenant), caller.clone(), body.target_groups);
        let seen = access.clone();
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok(Created::Before(before));
                    }
                    rollouts::insert(tx, tenant, &new, now).await?;
                    set_stages(tx, tenant, id, &policy).await?;
                    // Before a foreign key read-locks target groups: one order for all who lock groups.
                    asked.set(tx, tenant, id).await?;
                    set_groups(tx, &access, id, &groups).await?;
                    let made = shown(&mut *tx, tenant, id).await?;
                    audit.record(tx, Entry::created("rollout", id, &made)?.with("name", made.name)).await?;
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => self.rollout(&seen, id).await,
            Created::Before(before) => self.rollout(&seen, RolloutId(before)).await,
        }
    }

    /// Renames a rollout, or changes anything of a draft.
    pub async fn rollout_update(&self, caller: &Caller, id: RolloutId, body: RolloutUpdate) -> Result<Rollout> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let change = self.check_change(&access, &body).await?;
        self.check_changed_size(tenant, id, &body, &change).await?;
        let (seen, mut audit) = (access.clone(), self.audit(caller, tenant));
        let after = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    // What it covers may have changed since it was looked at.
                    access.check_rollout(&mut *tx, id).await?;
                    change_plan(tx, tenant, id, &body, &change.asked).await?;
                    if let Some(groups) = body.target_groups {
                        rollouts::clear_groups(tx, tenant, id).await?;
                        set_groups(tx, &access, id, &groups).await?;
                    }
                    if let Some(name) = body.name {
                        rollouts::rename(tx, tenant, id, &name).await?;
                    }
                    let after = shown(&mut *tx, tenant, id).await?;
                    let entry = Entry::changed("rollout", "update", id, &before, &after)?;
                    audit.record(tx, entry.with("name", after.name.clone())).await?;
                    Ok::<_, Error>(after)
                })
            })
            .await?;
        self.told_one(&seen, after).await
    }

    /// Starts a draft: at once, or when its first stage's time comes.
    pub async fn rollout_start(&self, caller: &Caller, id: RolloutId) -> Result<Rollout> {
        let steering = Steering { verb: "start", to: RolloutState::Scheduled, why: None };
        self.steer(caller, id, steering, &[RolloutState::Draft]).await
    }

    /// Offers nothing new until it is resumed; devices that began finish.
    pub async fn rollout_pause(&self, caller: &Caller, id: RolloutId) -> Result<Rollout> {
        let why = Some(format!("paused by {}", somebody(caller)));
        let steering = Steering { verb: "pause", to: RolloutState::Paused, why };
        self.steer(caller, id, steering, &[RolloutState::Scheduled, RolloutState::Active]).await
    }

    /// Goes on. A failure gate that had tripped is overridden for its stage.
    pub async fn rollout_resume(&self, caller: &Caller, id: RolloutId) -> Result<Rollout> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let opened = stages::of_rollout(&self.db, tenant, id).await?.iter().any(|stage| stage.opened_at.is_some());
        let to = if opened { RolloutState::Active } else { RolloutState::Scheduled };
        self.steer(caller, id, Steering { verb: "resume", to, why: None }, &[RolloutState::Paused]).await
    }

    /// Stops for good. Devices that have not begun to install are called off.
    pub async fn rollout_cancel(&self, caller: &Caller, id: RolloutId) -> Result<Rollout> {
        let why = Some(format!("cancelled by {}", somebody(caller)));
        let from = [RolloutState::Draft, RolloutState::Scheduled, RolloutState::Active, RolloutState::Paused];
        self.steer(caller, id, Steering { verb: "cancel", to: RolloutState::Cancelled, why }, &from).await
    }

    /// Stops, and takes updated devices back to what they ran before.
    pub async fn rollout_rollback(&self, caller: &Caller, id: RolloutId, body: RolloutRollback) -> Result<Rollout> {
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        if let Some(reason) = &body.reason {
            validate::text("reason", reason, 500)?;
        }
        if self.rollout_row(tenant, id).await?.kind == RolloutKind::Rollback {
            return Err(Error::unprocessable(
                "is_a_rollback",
                "a way back is not taken back; roll the firmware out again instead",
            ));
        }
        let why = body.reason.unwrap_or_else(|| format!("rolled back by {}", somebody(caller)));
        let from = [RolloutState::Active, RolloutState::Paused, RolloutState::Completed, RolloutState::Cancelled];
        let steering = Steering { verb: "rollback", to: RolloutState::RollingBack, why: Some(why) };
        self.steer(caller, id, steering, &from).await
    }

    /// Moves a rollout from where it stands, if it stands in one of `from`. Whoever stops one is not sent away because it
    /// began in this moment.
    async fn steer(
        &self,
        caller: &Caller,
        id: RolloutId,
        steering: Steering,
        from: &[RolloutState],
    ) -> Result<Rollout> {
        // Where one goes on follows from what was looked at before.
        let goes_on = matches!(steering.to, RolloutState::Scheduled | RolloutState::Active);
        for _ in 1..if goes_on { 1 } else { STEER_TRIES } {
            match self.steer_once(caller, id, steering.clone(), from).await {
                Err(error) if error.code == ROLLOUT_CHANGED => {}
                done => return done,
            }
        }
        self.steer_once(caller, id, steering, from).await
    }

    async fn steer_once(
        &self,
        caller: &Caller,
        id: RolloutId,
        steering: Steering,
        from: &[RolloutState],
    ) -> Result<Rollout> {
        let Steering { verb, to, why: reason } = steering;
        let access = caller.authorize(Permission::RolloutsWrite)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let row = self.rollout_row(tenant, id).await?;
        if row.archived_at.is_some() {
            return Err(Error::conflict(
                "rollout_archived",
                "the rollout ended long ago and its sessions are archived: roll the wanted firmware out instead",
            ));
        }
        if !from.contains(&row.state) || !row.state.may_become(to) {
            let detail = format!("the rollout is {}; from there it cannot become {to}", row.state);
            return Err(Error::conflict("wrong_state", detail));
        }
        let goes_on = matches!(to, RolloutState::Scheduled | RolloutState::Active);
        let groups = if goes_on { Some(self.check_goes_on(tenant, &row).await?) } else { None };
        let change = StateChange { from: row.state, to, reason };
        let now = self.now();
        let (seen, mut audit) = (access.clone(), self.audit(caller, tenant));
        let _news = (to == RolloutState::Active).then(|| self.feed.announce());
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, tenant, id).await?;
                    access.check_rollout(&mut *tx, id).await?;
                    // Held: from here on the conditions of dynamic ones stay as they are.
                    if let Some(groups) = groups
                        && rollouts::lock_target_groups(tx, tenant, id).await? != groups
                    {
                        let detail = "a target group changed at this moment; look at it and try again";
                        return Err(Error::conflict("group_changed", detail));
                    }
                    if !transitions::set_rollout_state(tx, tenant, &row, &change, now).await? {
                        let detail = "the rollout changed at this moment; look at it and try again";
                        return Err(Error::conflict(ROLLOUT_CHANGED, detail));
                    }
                    let after = shown(&mut *tx, tenant, id).await?;
                    let entry = Entry::changed("rollout", verb, id, &before, &after)?;
                    audit.record(tx, entry.with("name", after.name)).await
                })
            })
            .await?;
        self.poke.notify_one();
        self.rollout(&seen, id).await
    }

    /// Whether a rollout may begin or go on: its target groups, if so. Dynamic ones may have got longer conditions while it
    /// was a draft.
    async fn check_goes_on(&self, tenant: TenantId, row: &RolloutRow) -> Result<Vec<NamedRow>> {
        let groups = rollouts::target_groups(&self.db, tenant, row.id).await?;
        if row.kind == RolloutKind::Update {
            let firmware = self.firmware_row(tenant, row.firmware_id).await?;
            self.check_signing_key(tenant, firmware.signed_by).await?;
            let policy = rollout_policy::parse(&row.policy)?;
            self.check_plan_size(row.target_condition.as_deref(), &groups, &policy).await?;
        }
        Ok(groups)
    }

    /// How it is doing, in numbers.
    pub async fn rollout_metrics(&self, caller: &Caller, id: RolloutId) -> Result<RolloutMetrics> {
        let access = caller.authorize(Permission::RolloutsRead)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let rollout = self.rollout(&access, id).await?;
        let counters = counters::of_rollout(&self.db, tenant, id).await?;
        let mut failures_by_class: BTreeMap<String, u64> = BTreeMap::new();
        for counter in counters.iter().filter(|counter| counter.state.is_failure() && counter.sessions > 0) {
            let sessions = u64::try_from(counter.sessions).unwrap_or(0);
            *failures_by_class.entry(counter.failure_class.clone()).or_default() += sessions;
        }
        let stages = rollout.stages.into_iter();
        let stages = stages.map(|stage| StageMetrics { name: stage.name, status: stage.status, counts: stage.counts });
        let all = tally(&counters, None);
        Ok(RolloutMetrics {
            rollout_id: id,
            status: rollout.status,
            success_rate: (all.ended() > 0).then(|| all.success_share()),
            counts: rollout.counts,
            failures_by_class,
            stages: stages.collect(),
        })
    }

    /// The devices on which it failed, and why.
    pub async fn rollout_failures(
        &self,
        caller: &Caller,
        id: RolloutId,
        query: &PageQuery,
    ) -> Result<Page<UpdateSession>> {
        let access = caller.authorize(Permission::RolloutsRead)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        self.rollout_row(tenant, id).await?;
        let rows = update_sessions::failures(&self.db, tenant, &access.reach, id, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, sessions::view))
    }

    /// The devices that it took, and how they are doing.
    pub async fn rollout_sessions(
        &self,
        caller: &Caller,
        id: RolloutId,
        query: &UpdateSessionFilter,
    ) -> Result<Page<UpdateSession>> {
        let access = caller.authorize(Permission::RolloutsRead)?;
        let tenant = access.tenant;
        access.check_rollout(&self.db, id).await?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        self.rollout_row(tenant, id).await?;
        let rows =
            update_sessions::of_rollout(&self.db, tenant, &access.reach, id, query.state, paging.after, paging.rows())
                .await?;
        Ok(paging.page(rows, |row| row.id, sessions::view))
    }
}

/// Who it was, as everybody may read it for ever: the audit log has the name, where it can be erased.
const fn somebody(caller: &Caller) -> &'static str {
    match caller.actor {
        Actor::ApiKey { .. } => "an API key",
        _ => "a user",
    }
}

/// The rollout as the API shows it.
pub(crate) async fn shown(conn: impl Into<Conn<'_>>, tenant: TenantId, id: RolloutId) -> Result<Rollout> {
    let mut conn = conn.into();
    let row = rollouts::get(conn.reborrow(), tenant, id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    let mut shown = shown_rows(conn, tenant, vec![row]).await?;
    shown.pop().ok_or_else(|| Error::not_found("rollout", id))
}

async fn shown_rows(conn: impl Into<Conn<'_>>, tenant: TenantId, rows: Vec<RolloutRow>) -> Result<Vec<Rollout>> {
    let mut conn = conn.into();
    let ids: Vec<RolloutId> = rows.iter().map(|row| row.id).collect();
    let (mut groups, mut stages, mut counters) = (HashMap::new(), HashMap::new(), HashMap::new());
    for row in rollouts::groups_of_rollouts(conn.reborrow(), tenant, &ids).await? {
        groups.entry(row.rollout_id).or_insert_with(Vec::new).push(row.group_id);
    }
    for row in stages::of_rollouts(conn.reborrow(), tenant, &ids).await? {
        stages.entry(row.rollout_id).or_insert_with(Vec::new).push(row);
    }
    for row in counters::of_rollouts(conn, tenant, &ids).await? {
        counters.entry(row.rollout_id).or_insert_with(Vec::new).push(row);
    }
    let shown = |row: RolloutRow| {
        let id = row.id;
        let stages = stages.remove(&id).unwrap_or_default();
        let counters = counters.remove(&id).unwrap_or_default();
        view(row, groups.remove(&id).unwrap_or_default(), &stages, &counters)
    };
    rows.into_iter().map(shown).collect()
}

/// The same, held still until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, tenant: TenantId, id: RolloutId) -> Result<Rollout> {
    rollouts::lock(tx, tenant, id).await?;
    shown(tx, tenant, id).await
}

/// Pauses a rollout that stands at `from`: nobody is offered anything until a person has looked. The audit log has it as
/// done by whoever `audit` is about. False when it stands elsewhere by now.
pub(crate) async fn pause(
    tx: &mut Tx,
    tenant: TenantId,
    id: RolloutId,
    from: RolloutState,
    reason: &str,
    audit: &mut Audit,
    now: Timestamp,
) -> Result<bool> {
    let before = locked(tx, tenant, id).await?;
    let change = StateChange { from, to: RolloutState::Paused, reason: Some(reason.to_owned()) };
    if !rollouts::set_state(tx, tenant, id, &change, now).await? {
        return Ok(false);
    }
    let after = shown(&mut *tx, tenant, id).await?;
    let entry = Entry::changed("rollout", "pause", id, &before, &after)?;
    audit.record(tx, entry.with("name", after.name).with("reason", reason)).await?;
    Ok(true)
}

/// Adds the waiting stages of a policy.
pub(crate) async fn set_stages(tx: &mut Tx, tenant: TenantId, id: RolloutId, policy: &Policy) -> Result<()> {
    for (position, _) in (0_i64..).zip(&policy.stages) {
        stages::insert(tx, tenant, id, position).await?;
    }
    Ok(())
}

/// Changes what `body` brings of a draft's plan. The rollout is held still: what others changed a moment before is read
/// here and stays.
async fn change_plan(tx: &mut Tx, tenant: TenantId, id: RolloutId, body: &RolloutUpdate, asked: &Asked) -> Result<()> {
    let row = rollouts::get(&mut *tx, tenant, id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
    let policy = rollout_policy::with_update(rollout_policy::parse(&row.policy)?, body)?;
    let json = rollout_policy::to_json(&policy)?;
    let condition = changed_condition(body, row.target_condition.clone());
    if json == row.policy && condition == row.target_condition && body.target_groups.is_none() {
        return Ok(());
    }
    if !rollouts::update_draft(tx, tenant, id, &json, condition.as_deref()).await? {
        return Err(Error::conflict(
            "rollout_started",
            "only the name of a started rollout can be changed; cancel it and create a new one",
        ));
    }
    stages::clear(tx, tenant, id).await?;
    set_stages(tx, tenant, id, &policy).await?;
    asked.set(tx, tenant, id).await
}

/// Adds the target groups.
async fn set_groups(tx: &mut Tx, access: &Access, id: RolloutId, groups: &[GroupId]) -> Result<()> {
    let Access { tenant, reach } = access;
    let tenant = *tenant;
    if groups.is_empty() && *reach != Reach::Tenant {
        return Err(needs_group());
    }
    for (index, group) in groups.iter().enumerate() {
        if groups[..index].contains(group) {
            continue;
        }
        let there = reach.has_group(&mut *tx, tenant, *group).await?;
        if !there || !rollouts::add_group(tx, tenant, id, *group).await? {
            return Err(Error::field("target_groups", format!("there is no group {group}")));
        }
    }
    Ok(())
}

/// How the sessions of one stage, or of all, stand.
pub(crate) fn tally(counters: &[CounterRow], stage: Option<i64>) -> StageCounts {
    let mut counts = StageCounts::default();
    for counter in counters.iter().filter(|counter| stage.is_none_or(|stage| counter.stage == stage)) {
        let sessions = u64::try_from(counter.sessions).unwrap_or(0);
        let slot = match counter.state {
            SessionState::Pending => &mut counts.pending,
            SessionState::Succeeded => &mut counts.succeeded,
            SessionState::Cancelled => &mut counts.cancelled,
            SessionState::Skipped => &mut counts.skipped,
            state if state.is_failure() => &mut counts.failed,
            _ => &mut counts.in_flight,
        };
        *slot += sessions;
    }
    counts
}

/// Turns the order of buckets, so that not always the same devices come first. The firmware decides, so that a preview
/// knows what a rollout will do; the last bits of its id are random.
pub(crate) fn shift(firmware: FirmwareId) -> i64 {
    i64::try_from(firmware.0.as_u128() % u128::from(DEVICE_BUCKETS)).unwrap_or(0)
}

/// The stages as the planner sees them.
pub(crate) fn stage_snapshots(stages: &[StageRow], counters: &[CounterRow]) -> Vec<StageSnapshot> {
    let snapshot = |stage: &StageRow| StageSnapshot {
        state: stage.state,
        soak_until: stage.soak_until,
        counts: tally(counters, Some(stage.position)),
    };
    stages.iter().map(snapshot).collect()
}

fn counts_view(counts: StageCounts) -> RolloutCounts {
    let StageCounts { pending, in_flight, succeeded, failed, cancelled, skipped } = counts;
    RolloutCounts { pending, in_flight, succeeded, failed, cancelled, skipped }
}

fn view(row: RolloutRow, groups: Vec<GroupId>, stages: &[StageRow], counters: &[CounterRow]) -> Result<Rollout> {
    let policy = rollout_policy::parse(&row.policy)?;
    let stages = stages.iter().zip(policy.stages).map(|(row, policy)| Stage {
        name: policy.name,
        percentage: policy.percentage,
        condition: policy.condition,
        start_time: policy.start_time,
        soak_ms: policy.soak_ms,
        status: row.state,
        opened_at: row.opened_at,
        completion_time: row.completed_at,
        counts: counts_view(tally(counters, Some(row.position))),
    });
    Ok(Rollout {
        id: row.id,
        name: row.name,
        kind: row.kind,
        status: row.state,
        reason: row.reason,
        firmware_id: row.firmware_id,
        version: row.version,
        device_type: row.device_type,
        component: row.component,
        parent_id: row.parent_id,
        target_groups: groups,
        target_condition: row.target_condition,
        stages: stages.collect(),
        success_threshold: policy.success_threshold,
        rollback_threshold: policy.rollback_threshold,
        min_sample: policy.min_sample,
        on_breach: policy.on_breach,
        max_in_flight: policy.max_in_flight,
        session_timeout_ms: policy.session_timeout_ms,
        counts: counts_view(tally(counters, None)),
        created_at: row.created_at,
        started_at: row.started_at,
        completed_at: row.completed_at,
        archived_at: row.archived_at,
    })
}
