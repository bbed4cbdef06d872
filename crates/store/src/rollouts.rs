//! Rollouts and their target groups.

use drover_db::{Conn, Tx, run};
use drover_types::{
    ComponentName, FirmwareId, GroupId, RolloutId, RolloutKind, RolloutState, Sha256Digest, TenantId, Timestamp,
    Version,
};

use crate::groups::NamedRow;
use crate::statements::with_list;
use crate::{Reach, Result, statements};

/// The columns of [`RolloutRow`], with the firmware as `f`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.name, r.kind, r.state, r.reason, r.epoch, r.firmware_id, f.version, r.device_type, \
             r.component, r.parent_id, r.policy, r.target_condition, r.shift, r.next_tick_at, r.created_at, r.started_at, r.completed_at, \
             r.archived_at \
             FROM rollouts r JOIN firmware f ON f.tenant_id = r.tenant_id AND f.id = r.firmware_id ",
            $rest
        )
    };
}

statements! {
    INSERT = "INSERT INTO rollouts (tenant_id, id, name, kind, state, epoch, firmware_id, device_type, component, \
              parent_id, policy, target_condition, shift, next_tick_at, created_at, started_at) \
              VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    GET = select!("WHERE r.tenant_id = $1 AND r.id = $2");
    // Locked in this order: two transactions that take several do not wait for each other.
    ALL = select!("WHERE r.tenant_id = $1 AND r.id IN ($2/*more*/) ORDER BY r.id");
    CHILD = select!("WHERE r.tenant_id = $1 AND r.parent_id = $2");
    PAGE = select!("WHERE r.tenant_id = $1 AND (CAST($2 AS UUID) IS NULL OR r.id < $2) \
                    AND (CAST($3 AS TEXT) IS NULL OR r.state = $3) \
                    AND (CAST($4 AS UUID) IS NULL OR r.parent_id = $4) /*reach rollout r*/ ORDER BY r.id DESC LIMIT $5");
    // Of all tenants: the driver serves the installation.
    DUE = "SELECT tenant_id, id, next_tick_at FROM rollouts WHERE next_tick_at <= $1 ORDER BY next_tick_at LIMIT $2";
    // What is being archived is history.
    SET_STATE = "UPDATE rollouts SET state = $4, reason = $5, epoch = epoch + 1, next_tick_at = $6, \
                 started_at = COALESCE(started_at, $7), completed_at = $8 \
                 WHERE tenant_id = $1 AND id = $2 AND state = $3 AND archived_at IS NULL";
    // Only when nobody wished for another time meanwhile.
    SET_NEXT_TICK = "UPDATE rollouts SET next_tick_at = $4 WHERE tenant_id = $1 AND id = $2 AND next_tick_at = $3";
    LOCK = "SELECT epoch FROM rollouts WHERE tenant_id = $1 AND id = $2";
    // Never later than planned: an earlier wish stands. The row is written all the same: the driver's claim then
    // waits for whoever brings news, and looks after that.
    WAKE = "UPDATE rollouts SET next_tick_at = CASE WHEN next_tick_at IS NULL OR next_tick_at > $3 THEN $3 \
            ELSE next_tick_at END WHERE tenant_id = $1 AND id = $2 \
            AND state IN ('scheduled', 'active', 'paused', 'rolling_back', 'cancelled')";
    UPDATE_DRAFT = "UPDATE rollouts SET policy = $3, target_condition = $4 \
                    WHERE tenant_id = $1 AND id = $2 AND state = 'draft'";
    RENAME = "UPDATE rollouts SET name = $3 WHERE tenant_id = $1 AND id = $2";
    // Of all tenants: a number of the installation.
    ACTIVE = "SELECT COUNT(tenant_id) FROM rollouts WHERE state IN ('active', 'rolling_back')";
    SIGNED_BY = "SELECT r.id, r.state FROM rollouts r JOIN firmware f ON f.tenant_id = r.tenant_id \
                 AND f.id = r.firmware_id WHERE r.tenant_id = $1 AND f.signed_by = $2 AND r.kind = 'update' \
                 AND r.state IN ('scheduled', 'active') ORDER BY r.id";
    // Rollouts that ended keep their numbers, not their groups.
    LEAVE_ENDED = "DELETE FROM rollout_groups WHERE tenant_id = $1 AND group_id = $2 AND rollout_id IN \
                   (SELECT r.id FROM rollouts r WHERE r.tenant_id = $1 \
                    AND r.state IN ('completed', 'cancelled', 'rolled_back'))";
    LOSE_GROUP = "UPDATE rollouts SET lost_groups = lost_groups + 1 WHERE tenant_id = $1 \
                  AND state IN ('completed', 'cancelled', 'rolled_back') AND id IN \
                  (SELECT x.rollout_id FROM rollout_groups x WHERE x.tenant_id = $1 AND x.group_id = $2)";
    ADD_GROUP = "INSERT INTO rollout_groups (tenant_id, rollout_id, group_id) \
                 SELECT g.tenant_id, $2, g.id FROM device_groups g WHERE g.tenant_id = $1 AND g.id = $3";
    CLEAR_GROUPS = "DELETE FROM rollout_groups WHERE tenant_id = $1 AND rollout_id = $2";
    TARGET_GROUPS = "SELECT g.id, g.condition FROM rollout_groups t JOIN device_groups g \
                     ON g.tenant_id = t.tenant_id AND g.id = t.group_id \
                     WHERE t.tenant_id = $1 AND t.rollout_id = $2 ORDER BY g.id";
    TARGETING = "SELECT r.id, r.name FROM rollout_groups t JOIN rollouts r \
                 ON r.tenant_id = t.tenant_id AND r.id = t.rollout_id WHERE t.tenant_id = $1 AND t.group_id = $2 \
                 AND r.state IN ('scheduled', 'active', 'paused') ORDER BY r.id";
}

/// A rollout.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RolloutRow {
    /// Its id.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// Update or rollback.
    pub kind: RolloutKind,
    /// Where it stands.
    pub state: RolloutState,
    /// Why it stands there.
    pub reason: Option<String>,
    /// Rises with every change of state.
    pub epoch: i64,
    /// The firmware it brings; of a rollback, the one it takes back.
    pub firmware_id: FirmwareId,
    /// That firmware's version.
    pub version: Version,
    /// The device type.
    pub device_type: String,
    /// The component.
    pub component: ComponentName,
    /// The rollout that it takes back.
    pub parent_id: Option<RolloutId>,
    /// The policy, as JSON.
    pub policy: String,
    /// Only devices for which this holds.
    pub target_condition: Option<String>,
    /// Turns the order of buckets.
    pub shift: i64,
    /// When the driver has to look at it.
    pub next_tick_at: Option<Timestamp>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// When its sessions began to move to the archive; from then on it stays as it is.
    pub archived_at: Option<Timestamp>,
}

/// A new rollout.
#[derive(Debug, Clone)]
pub struct NewRollout {
    /// Its id.
    pub id: RolloutId,
    /// Its name.
    pub name: String,
    /// Update or rollback.
    pub kind: RolloutKind,
    /// `draft` or, of a rollback, `active`.
    pub state: RolloutState,
    /// The firmware.
    pub firmware_id: FirmwareId,
    /// The device type.
    pub device_type: String,
    /// The component.
    pub component: ComponentName,
    /// The rollout that it takes back.
    pub parent_id: Option<RolloutId>,
    /// The policy, as JSON.
    pub policy: String,
    /// Only devices for which this holds.
    pub target_condition: Option<String>,
    /// 0 to 65 535.
    pub shift: i64,
}

/// A rollout of some tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct DueRow {
    /// The tenant.
    pub tenant_id: TenantId,
    /// The rollout.
    pub id: RolloutId,
    /// Since when.
    pub next_tick_at: Timestamp,
}

/// Which rollouts.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// From behind this one.
    pub after: Option<RolloutId>,
    /// Only in this state.
    pub state: Option<RolloutState>,
    /// Only the ways back from this one.
    pub parent: Option<RolloutId>,
}

/// A change of state.
#[derive(Debug, Clone)]
pub struct StateChange {
    /// From.
    pub from: RolloutState,
    /// To.
    pub to: RolloutState,
    /// Why.
    pub reason: Option<String>,
}

/// Adds a rollout. One that is not a draft is due at once.
pub async fn insert(tx: &mut Tx, tenant: TenantId, rollout: &NewRollout, now: Timestamp) -> Result<()> {
    let started_at = (rollout.state != RolloutState::Draft).then_some(now);
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(rollout.id)
        .bind(&rollout.name)
        .bind(rollout.kind)
        .bind(rollout.state)
        .bind(rollout.firmware_id)
        .bind(&rollout.device_type)
        .bind(&rollout.component)
        .bind(rollout.parent_id)
        .bind(&rollout.policy)
        .bind(&rollout.target_condition)
        .bind(rollout.shift)
        .bind(started_at)
        .bind(now)
        .bind(started_at)
        .execute(c)
        .await
        .map(drop))
}

/// The rollout with that id.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, id: RolloutId) -> Result<Option<RolloutRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(id).fetch_optional(c).await)
}

/// The way back from that rollout.
pub async fn child(conn: impl Into<Conn<'_>>, tenant: TenantId, parent: RolloutId) -> Result<Option<RolloutRow>> {
    run!(conn, |c| sqlx::query_as(CHILD).bind(tenant).bind(parent).fetch_optional(c).await)
}

/// Up to `limit` rollouts in reach, newest first.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    reach: &Reach,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<RolloutRow>> {
    let sql = reach.limit(PAGE);
    run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(tenant)
            .bind(filter.after)
            .bind(filter.state)
            .bind(filter.parent)
            .bind(limit);
        reach.ids().into_iter().fold(query, sqlx::query::QueryAs::bind).fetch_all(c).await
    })
}

/// Up to `limit` rollouts that the driver has to look at, the longest waiting first.
pub async fn due(conn: impl Into<Conn<'_>>, now: Timestamp, limit: i64) -> Result<Vec<DueRow>> {
    run!(conn, |c| sqlx::query_as(DUE).bind(now).bind(limit).fetch_all(c).await)
}

/// Changes the state and raises the epoch; false when it was not in `change.from` any more. The driver
/// looks at it at once.
pub async fn set_state(
    tx: &mut Tx,
    tenant: TenantId,
    id: RolloutId,
    change: &StateChange,
    now: Timestamp,
) -> Result<bool> {
    let started_at = matches!(change.to, RolloutState::Scheduled | RolloutState::Active).then_some(now);
    let completed_at = change.to.is_final().then_some(now);
    run!(tx, |c| sqlx::query(SET_STATE)
        .bind(tenant)
        .bind(id)
        .bind(change.from)
        .bind(change.to)
        .bind(&change.reason)
        .bind(now)
        .bind(started_at)
        .bind(completed_at)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Sets when the driver looks again; false when that was changed from `before` meanwhile.
pub async fn set_next_tick(
    tx: &mut Tx,
    tenant: TenantId,
    id: RolloutId,
    before: Timestamp,
    after: Option<Timestamp>,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(SET_NEXT_TICK)
        .bind(tenant)
        .bind(id)
        .bind(before)
        .bind(after)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Holds a rollout still until the transaction ends and returns its epoch.
pub async fn lock(tx: &mut Tx, tenant: TenantId, id: RolloutId) -> Result<Option<i64>> {
    let sql = format!("{LOCK} {}", tx.dialect().for_update());
    run!(tx, |c| sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_optional(c).await)
}

/// Rollouts, at least one and at most some hundred, held still until the transaction ends, and their sessions with them.
pub async fn locked(tx: &mut Tx, tenant: TenantId, ids: &[RolloutId]) -> Result<Vec<RolloutRow>> {
    let sql = format!("{} {}", with_list(ALL, 2, ids.len()), tx.dialect().for_update_of_r());
    run!(tx, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(ids.len() == 1).bind(tenant);
        ids.iter().fold(query, |query, id| query.bind(*id)).fetch_all(c).await
    })
}

/// Makes the driver look no later than `at`.
pub async fn wake(tx: &mut Tx, tenant: TenantId, id: RolloutId, at: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(WAKE).bind(tenant).bind(id).bind(at).execute(c).await.map(drop))
}

/// Replaces the policy and the target condition of a draft; false when it is none.
pub async fn update_draft(
    tx: &mut Tx,
    tenant: TenantId,
    id: RolloutId,
    policy: &str,
    target_condition: Option<&str>,
) -> Result<bool> {
    run!(tx, |c| sqlx::query(UPDATE_DRAFT)
        .bind(tenant)
        .bind(id)
        .bind(policy)
        .bind(target_condition)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Renames a rollout.
pub async fn rename(tx: &mut Tx, tenant: TenantId, id: RolloutId, name: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(RENAME).bind(tenant).bind(id).bind(name).execute(c).await.map(drop))
}

/// How many rollouts are under way, of all tenants.
pub async fn count_active(conn: impl Into<Conn<'_>>) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(ACTIVE).fetch_one(c).await)
}

/// A rollout and where it stands.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct StandingRow {
    /// Its id.
    pub id: RolloutId,
    /// Where it stands.
    pub state: RolloutState,
}

/// Rollouts under way, or about to be, that bring firmware signed with that key.
pub async fn signed_by(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    fingerprint: Sha256Digest,
) -> Result<Vec<StandingRow>> {
    run!(conn, |c| sqlx::query_as(SIGNED_BY).bind(tenant).bind(fingerprint).fetch_all(c).await)
}

/// Takes a group out of the targets of rollouts that ended. From then on only the whole tenant reaches those.
pub async fn leave_ended(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    for sql in [LOSE_GROUP, LEAVE_ENDED] {
        run!(&mut *tx, |c| sqlx::query(sql).bind(tenant).bind(group).execute(c).await.map(drop))?;
    }
    Ok(())
}

/// Adds a target group; false when the group does not exist.
pub async fn add_group(tx: &mut Tx, tenant: TenantId, id: RolloutId, group: GroupId) -> Result<bool> {
    run!(tx, |c| sqlx::query(ADD_GROUP)
        .bind(tenant)
        .bind(id)
        .bind(group)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// Removes all target groups.
pub async fn clear_groups(tx: &mut Tx, tenant: TenantId, id: RolloutId) -> Result<()> {
    run!(tx, |c| sqlx::query(CLEAR_GROUPS).bind(tenant).bind(id).execute(c).await.map(drop))
}

/// The target groups with what decides who is in them.
pub async fn target_groups(conn: impl Into<Conn<'_>>, tenant: TenantId, id: RolloutId) -> Result<Vec<NamedRow>> {
    run!(conn, |c| sqlx::query_as(TARGET_GROUPS).bind(tenant).bind(id).fetch_all(c).await)
}

/// The same, held still until the transaction ends.
pub async fn lock_target_groups(tx: &mut Tx, tenant: TenantId, id: RolloutId) -> Result<Vec<NamedRow>> {
    let sql = format!("{TARGET_GROUPS} {}", tx.dialect().for_share());
    run!(tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(tenant).bind(id).fetch_all(c).await)
}

/// A rollout targets a group.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct TargetGroupRow {
    /// The rollout.
    pub rollout_id: RolloutId,
    /// The group.
    pub group_id: GroupId,
}

/// The target groups of these rollouts; at most some hundred rollouts.
pub async fn groups_of_rollouts(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    rollouts: &[RolloutId],
) -> Result<Vec<TargetGroupRow>> {
    let head = "SELECT rollout_id, group_id FROM rollout_groups";
    run!(conn, |c| of_ids(head, tenant, rollouts, "group_id").build_query_as().persistent(false).fetch_all(c).await)
}

/// The rows of these rollouts, which may be none, in the order of a column. Prepared for one use: the text depends on how
/// many rollouts there are.
pub(crate) fn of_ids<DB>(head: &str, tenant: TenantId, rollouts: &[RolloutId], order: &str) -> sqlx::QueryBuilder<DB>
where
    DB: sqlx::Database,
    TenantId: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
    RolloutId: for<'q> sqlx::Encode<'q, DB> + sqlx::Type<DB>,
{
    let mut query = sqlx::QueryBuilder::new(head);
    query.push(" WHERE tenant_id = ").push_bind(tenant).push(" AND rollout_id IN (");
    // A list may not be empty; nothing has this id.
    let mut list = query.separated(", ");
    list.push_bind(RolloutId(uuid::Uuid::nil()));
    for rollout in rollouts {
        list.push_bind(*rollout);
    }
    query.push(") ORDER BY rollout_id, ").push(order);
    query
}

/// The rollouts that were started, may still take devices and target a group, with their names.
pub async fn targeting(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    group: GroupId,
) -> Result<Vec<(RolloutId, String)>> {
    run!(conn, |c| sqlx::query_as(TARGETING).bind(tenant).bind(group).fetch_all(c).await)
}
