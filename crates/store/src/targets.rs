//! Which devices a rollout may take: counted and chosen in SQL.
//!
//! Two statements of the same rules stand side by side: `eligible!` says who may be taken, and is what a stage chooses
//! by; `reason!` says why the others are left out. `tests/targets.rs` holds them to one answer.

use std::collections::BTreeMap;

use drover_db::{Conn, run};
use drover_rules::SqlValue;
use drover_types::{ComponentName, DeviceId, Exclusion, FirmwareId, GroupId, RolloutId, TenantId, Timestamp, Version};

use crate::conditions::{Added, OUTSIDE, Selection, TARGET, bind_added};
use crate::statements::with_list;
use crate::{Reach, Result, statements};

/// What the component of the target runs.
macro_rules! component {
    () => {
        " LEFT JOIN device_components c ON c.tenant_id = d.tenant_id AND c.device_id = d.id AND c.component = $3 "
    };
}

/// A dependency of the firmware that the device does not meet.
macro_rules! unmet {
    ($rest:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM firmware_dependencies f WHERE f.tenant_id = $1 AND f.firmware_id = $6 ",
            $rest,
            " AND NOT EXISTS (SELECT 1 FROM device_components x WHERE x.tenant_id = $1 AND x.device_id = d.id \
             AND x.component = f.component AND x.version_key >= f.min_key \
             AND (f.below_key IS NULL OR x.version_key < f.below_key)))"
        )
    };
}

/// The rollout `$7` did not take the device yet. Asked of each device: as a join, `PostgreSQL` compares each of them with all
/// sessions of a rollout that is too new for its statistics.
macro_rules! not_taken {
    () => {
        "AND $7 NOT IN (SELECT s.rollout_id FROM update_sessions s WHERE s.tenant_id = $1 AND s.device_id = d.id) "
    };
}

/// Devices of the type, below the firmware, with what it depends on, and within the target; for `next`, only those that
/// the rollout did not take yet. A device whose release counter is unknown is judged by its version.
macro_rules! eligible {
    (next $head:literal, $tail:literal) => {
        concat!(eligible!($head, ""), not_taken!(), $tail)
    };
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM devices d",
            component!(),
            "WHERE d.tenant_id = $1 AND d.device_type = $2 AND (c.release_counter < $4 \
             OR (c.release_counter IS NULL AND (c.version_key IS NULL OR c.version_key < $5))) AND NOT ",
            unmet!(""),
            " /*target*/ ",
            $tail
        )
    };
}

/// The word for why a device is not eligible; NULL when it is.
macro_rules! reason {
    () => {
        concat!(
            "CASE WHEN d.device_type <> $2 THEN 'wrong_type' /*outside*/ \
             WHEN c.release_counter = $4 OR (c.release_counter IS NULL AND c.version_key = $5) THEN 'same_version' \
             WHEN c.release_counter > $4 OR (c.release_counter IS NULL AND c.version_key > $5) THEN 'newer_version' \
             WHEN ",
            unmet!("AND f.component = $3"),
            " THEN 'from_version' WHEN ",
            unmet!(""),
            " THEN 'dependency' END"
        )
    };
}

/// Devices that may still run what the rollout `$2` brought and have something to return to. One that was given up on
/// may have installed it all the same.
macro_rules! returning {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM update_sessions s JOIN device_components c ON c.tenant_id = s.tenant_id \
             AND c.device_id = s.device_id AND c.component = s.component AND c.firmware_id = s.firmware_id \
             WHERE s.tenant_id = $1 AND s.rollout_id = $2 AND s.state IN ('succeeded', 'timed_out') ",
            $tail
        )
    };
}

/// The values of a column with the most devices that may be taken.
macro_rules! shares {
    ($aspect:literal, $column:literal, $which:literal) => {
        concat!(
            "SELECT '",
            $aspect,
            "' AS aspect, ",
            $column,
            " AS name, CAST(SUM(devices) AS BIGINT) AS devices, \
             CAST(SUM(CASE WHEN reason IS NULL THEN devices ELSE 0 END) AS BIGINT) AS taken FROM r ",
            $which,
            " GROUP BY ",
            $column,
            " ORDER BY 4 DESC, 3 DESC LIMIT $7"
        )
    };
}

/// Below all ids. "Behind this one" lets SQLite walk devices in the order of their ids, in which the rows of other tables
/// lie, too; in that of buckets each would be somewhere else.
pub const FIRST: DeviceId = DeviceId(uuid::Uuid::nil());

statements! {
    COUNT = eligible!("SELECT COUNT(*)", "AND d.id > $7");
    COUNT_NEXT = eligible!(next "SELECT COUNT(*)", "AND d.id > $8");
    PICK = eligible!(next "SELECT d.id AS device_id, d.bucket",
        "AND d.bucket >= $8 AND d.bucket < $9 AND (d.bucket > $10 OR (d.bucket = $10 AND d.id > $11)) \
         AND (d.bucket < $12 OR (d.bucket = $12 AND d.id <= $13)) ORDER BY d.bucket, d.id LIMIT $14");
    // Index entries are stepped over, whatever is asked of devices.
    LOOK = "SELECT d.id AS device_id, d.bucket FROM devices d WHERE d.tenant_id = $1 AND d.device_type = $2 \
            AND d.bucket >= $3 AND d.bucket < $4 AND (d.bucket > $5 OR (d.bucket = $5 AND d.id > $6)) \
            ORDER BY d.bucket, d.id LIMIT 1 OFFSET $7";
    // The same in the order of the ids, in which the rows of other tables lie, too.
    PICK_BY_ID = eligible!(next "SELECT d.id", "AND d.id > $8 AND d.id <= $9 ORDER BY d.id LIMIT $10");
    LOOK_BY_ID = "SELECT d.id FROM devices d WHERE d.tenant_id = $1 AND d.id > $2 ORDER BY d.id LIMIT 1 OFFSET $3";
    // The device in the order of the ring that $7 turns, behind $8 others.
    NTH = eligible!("SELECT d.id AS device_id, d.bucket",
        "ORDER BY ((d.bucket - $7 + 65536) % 65536), d.id LIMIT 1 OFFSET $8");
    BUSY = eligible!("SELECT COUNT(*)", "AND d.id IN (SELECT s.device_id FROM update_sessions s WHERE s.tenant_id = $1 \
        AND s.component = $3 \
        AND s.state IN ('offered', 'downloading', 'downloaded', 'installing', 'rebooting', 'validating'))");
    // The devices ask at this moment, so that is when they were last seen.
    WHY_NOT = concat!("SELECT d.id, ", reason!(), " FROM (SELECT o.tenant_id, o.id, o.hardware_id, o.device_type, o.status, \
        o.agent_version, o.created_at, CAST($7 AS BIGINT) AS last_seen_at FROM devices o \
        WHERE o.tenant_id = $1 AND o.id IN ($8/*more*/)) d", component!(), "WHERE d.tenant_id = $1 ORDER BY d.id");
    // Each device is asked once, whatever is counted.
    SUMMARY = concat!("WITH r AS MATERIALIZED (SELECT d.device_type, c.version, ", reason!(), " AS reason, \
        COUNT(*) AS devices FROM devices d", component!(), "WHERE d.tenant_id = $1 AND d.id > $8 \
        /*reach device d.id*/ GROUP BY 1, 2, 3) \
        SELECT 'reason' AS aspect, reason AS name, CAST(SUM(devices) AS BIGINT) AS devices, CAST(0 AS BIGINT) AS taken \
        FROM r GROUP BY reason UNION ALL SELECT * FROM (",
        shares!("type", "device_type", ""), ") t UNION ALL SELECT * FROM (",
        shares!("version", "version", "WHERE device_type = $2"), ") v");
    EXCLUDED = concat!("SELECT d.id, d.hardware_id, d.device_type, c.version, ", reason!(), " AS reason \
        FROM devices d", component!(), "WHERE d.tenant_id = $1 AND (CAST($7 AS UUID) IS NULL OR d.id > $7) AND ",
        reason!(), " IS NOT NULL AND (CAST($8 AS TEXT) IS NULL OR ", reason!(), " = $8) /*reach device d.id*/ \
        ORDER BY d.id LIMIT $9");
    // Those that have one; asked for in the condition, SQLite would begin at its index.
    COUNT_BACK = returning!("SELECT COUNT(s.from_firmware_id)", "");
    // A device that came back late may be among those of the way back already.
    COUNT_LEFT = returning!("SELECT COUNT(*)", "");
    PICK_BACK = returning!("SELECT s.device_id, s.from_firmware_id AS firmware_id",
        "AND s.from_firmware_id IS NOT NULL AND s.device_id > $3 \
         AND $5 NOT IN (SELECT b.rollout_id FROM update_sessions b WHERE b.tenant_id = $1 \
             AND b.device_id = s.device_id) ORDER BY s.device_id LIMIT $4");
}

/// What decides whether a device may be taken.
#[derive(Debug, Clone)]
pub struct Target {
    /// The tenant.
    pub tenant: TenantId,
    /// The rollout: a device is taken once. None before there is one.
    pub rollout: Option<RolloutId>,
    /// The firmware.
    pub firmware: FirmwareId,
    /// Its device type.
    pub device_type: String,
    /// Its component.
    pub component: ComponentName,
    /// Its version.
    pub version: Version,
    /// Its release counter.
    pub release_counter: i64,
    /// Members of these static groups and of those below them.
    pub groups: Vec<GroupId>,
    /// And members of these dynamic ones. No groups at all stand for all devices.
    pub dynamic_groups: Vec<Selection>,
    /// Only devices for which this holds.
    pub condition: Option<Selection>,
}

/// Which of the eligible devices a stage takes.
#[derive(Debug, Clone, Default)]
pub struct StageFilter {
    /// Only those for which this holds.
    pub only: Option<Selection>,
    /// None for which one of these holds: earlier stages took them.
    pub not: Vec<Selection>,
    /// Only those behind this place: earlier stages took the others.
    pub behind: Option<Place>,
}

/// The place of a device in the order in which stages take them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What turns the order of buckets.
    pub shift: i64,
    /// The device's bucket.
    pub bucket: i64,
    /// The device.
    pub device: DeviceId,
}

/// A statement that is prepared for one use. There is no end to what people write, and kept, it would push out those of
/// opening stages and offers, which come again and again.
macro_rules! once {
    ($query:ident, $sql:expr) => {
        sqlx::$query(sqlx::AssertSqlSafe($sql)).persistent(false)
    };
}

/// Binds `$1` to `$6` of [`eligible!`] and [`reason!`].
macro_rules! bind_target {
    ($query:expr, $target:expr) => {
        $query
            .bind($target.tenant)
            .bind(&$target.device_type)
            .bind(&$target.component)
            .bind($target.release_counter)
            .bind($target.version.sort_key())
            .bind($target.firmware)
    };
}

impl Target {
    /// What has to hold besides type and versions, and what is the matter when it does not.
    fn terms(&self, added: &mut Added) -> Vec<(Exclusion, String)> {
        let mut terms = Vec::new();
        if !self.groups.is_empty() || !self.dynamic_groups.is_empty() {
            let mut any = Vec::new();
            if !self.groups.is_empty() {
                let ids: Vec<String> = self.groups.iter().map(|group| added.value(SqlValue::Id(group.0))).collect();
                // Which groups are below does not depend on the device: that is looked up once.
                any.push(format!(
                    "EXISTS (SELECT 1 FROM group_members m WHERE m.tenant_id = $1 AND m.device_id = d.id \
                     AND m.group_id IN (SELECT t.descendant_id FROM group_tree t WHERE t.tenant_id = $1 \
                     AND t.ancestor_id IN ({})))",
                    ids.join(", ")
                ));
            }
            any.extend(self.dynamic_groups.iter().map(|group| added.condition(group)));
            terms.push((Exclusion::NotInGroup, format!("({})", any.join(" OR "))));
        }
        terms.extend(self.condition.iter().map(|condition| (Exclusion::Condition, added.condition(condition))));
        terms
    }

    /// A statement of `eligible!` with target and stage in the place of its mark. What they ask is hidden in a CASE: a
    /// planner that tried to use it would leave the order of buckets, in which a stage can stop early.
    pub(crate) fn eligible(&self, sql: &str, stage: &StageFilter, added: &mut Added) -> String {
        let mut terms: Vec<String> = self.terms(added).into_iter().map(|(_, term)| term).collect();
        terms.extend(stage.only.iter().map(|only| added.condition(only)));
        terms.extend(stage.not.iter().map(|not| format!("NOT {}", added.condition(not))));
        if let Some(Place { shift, bucket, device }) = stage.behind {
            let turned = format!("((d.bucket - {} + 65536) % 65536)", added.value(SqlValue::Integer(shift)));
            let place = added.value(SqlValue::Integer((bucket - shift).rem_euclid(65_536)));
            let device = added.value(SqlValue::Id(device.0));
            terms.push(format!("({turned} > {place} OR ({turned} = {place} AND d.id > {device}))"));
        }
        let terms: Vec<String> =
            terms.iter().map(|term| format!("AND CASE WHEN {term} THEN 1 ELSE 0 END = 1 ")).collect();
        sql.replace(TARGET, &terms.concat())
    }

    /// A statement of `reason!` with the target in the place of its marks.
    fn reason(&self, sql: &str, added: &mut Added) -> String {
        let terms = self.terms(added).into_iter();
        let outside: Vec<String> = terms.map(|(reason, term)| format!("WHEN NOT {term} THEN '{reason}' ")).collect();
        sql.replace(OUTSIDE, &outside.concat())
    }

    /// A rollout that is not there has no sessions.
    fn rollout(&self) -> RolloutId {
        self.rollout.unwrap_or(RolloutId(uuid::Uuid::nil()))
    }
}

/// Buckets `from..to`, behind the device `after` in bucket `after_bucket` and up to `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First bucket.
    pub from: i64,
    /// Behind the last bucket.
    pub to: i64,
    /// Bucket of the last device that was looked at.
    pub after_bucket: i64,
    /// That device.
    pub after: DeviceId,
    /// The last device that is looked at; none when all are.
    pub last: Option<CandidateRow>,
}

impl Range {
    /// Where the index is entered: nobody is looked at again to be passed over.
    fn entry(&self) -> i64 {
        self.from.max(self.after_bucket)
    }
}

/// A device that may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct CandidateRow {
    /// The device.
    pub device_id: DeviceId,
    /// Its bucket.
    pub bucket: i64,
}

/// A device that goes back.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct ReturnRow {
    /// The device.
    pub device_id: DeviceId,
    /// Where it returns to.
    pub firmware_id: FirmwareId,
}

/// How many devices may be taken.
pub async fn count(conn: impl Into<Conn<'_>>, target: &Target, stage: &StageFilter) -> Result<i64> {
    let (sql, own) = if target.rollout.is_some() { (COUNT_NEXT, 8) } else { (COUNT, 7) };
    let mut added = Added::behind(own);
    let only = stage.only.as_ref().map_or_else(String::new, |only| format!("AND {} ", added.search(only)));
    let rest = StageFilter { only: None, ..stage.clone() };
    let sql = target.eligible(&sql.replace(TARGET, &format!("{only}{TARGET}")), &rest, &mut added);
    run!(conn, |c| {
        let query = bind_target!(once!(query_scalar, sql), target);
        let query = match target.rollout {
            Some(rollout) => query.bind(rollout),
            None => query,
        };
        bind_added!(query.bind(FIRST), added).fetch_one(c).await
    })
}

/// The last of the next `devices` (at least 1) of the target's type, whether they may be taken or not; none when there
/// are fewer. What asks only about those ends soon, however few of them match.
pub async fn look(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    range: Range,
    devices: i64,
) -> Result<Option<CandidateRow>> {
    run!(conn, |c| sqlx::query_as(LOOK)
        .bind(target.tenant)
        .bind(&target.device_type)
        .bind(range.entry())
        .bind(range.to)
        .bind(range.after_bucket)
        .bind(range.after)
        .bind(devices - 1)
        .fetch_optional(c)
        .await)
}

/// The next `limit` devices that may be taken, in the order of (bucket, id).
pub async fn pick(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    stage: &StageFilter,
    range: Range,
    limit: i64,
) -> Result<Vec<CandidateRow>> {
    let mut added = Added::behind(14);
    let sql = target.eligible(PICK, stage, &mut added);
    let last = range.last.unwrap_or(CandidateRow { device_id: DeviceId(uuid::Uuid::max()), bucket: range.to });
    run!(conn, |c| {
        let query = bind_target!(sqlx::query_as(sqlx::AssertSqlSafe(sql)), target)
            .bind(target.rollout())
            .bind(range.entry())
            .bind(range.to.min(last.bucket + 1))
            .bind(range.after_bucket)
            .bind(range.after)
            .bind(last.bucket)
            .bind(last.device_id)
            .bind(limit);
        bind_added!(query, added).fetch_all(c).await
    })
}

/// [`look`] in the order of the ids, at devices of any type, behind `after`.
pub async fn look_by_id(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: DeviceId,
    devices: i64,
) -> Result<Option<DeviceId>> {
    run!(conn, |c| sqlx::query_scalar(LOOK_BY_ID).bind(tenant).bind(after).bind(devices - 1).fetch_optional(c).await)
}

/// [`pick`] in the order of the ids, behind `after` and up to `last`, or to the end.
pub async fn pick_by_id(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    stage: &StageFilter,
    (after, last): (DeviceId, Option<DeviceId>),
    limit: i64,
) -> Result<Vec<DeviceId>> {
    let mut added = Added::behind(10);
    let sql = target.eligible(PICK_BY_ID, stage, &mut added);
    let last = last.unwrap_or(DeviceId(uuid::Uuid::max()));
    run!(conn, |c| {
        let query = bind_target!(sqlx::query_scalar(sqlx::AssertSqlSafe(sql)), target)
            .bind(target.rollout())
            .bind(after)
            .bind(last)
            .bind(limit);
        bind_added!(query, added).fetch_all(c).await
    })
}

/// The last of the first `count` devices that a stage takes, at least 1; none when there are fewer.
pub async fn nth(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    stage: &StageFilter,
    shift: i64,
    count: i64,
) -> Result<Option<Place>> {
    let mut added = Added::behind(8);
    let sql = target.eligible(NTH, stage, &mut added);
    let found: Option<CandidateRow> = run!(conn, |c| {
        let query = bind_target!(once!(query_as, sql), target).bind(shift).bind(count - 1);
        bind_added!(query, added).fetch_optional(c).await
    })?;
    Ok(found.map(|row| Place { shift, bucket: row.bucket, device: row.device_id }))
}

/// Which of these devices, at least one and at most some hundred, which ask at `now`, may not have the firmware, and why:
/// between the choice and the offer other rollouts, people and the device itself may have changed that. A device that is
/// not there is of no type.
pub async fn why_not(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    devices: &[DeviceId],
    now: Timestamp,
) -> Result<BTreeMap<DeviceId, Exclusion>> {
    let mut added = Added::behind(7 + devices.len());
    let sql = target.reason(&with_list(WHY_NOT, 8, devices.len()), &mut added);
    let found: Vec<(DeviceId, Option<Exclusion>)> = run!(conn, |c| {
        let query = sqlx::query_as(sqlx::AssertSqlSafe(sql)).persistent(devices.len() == 1);
        let query = bind_target!(query, target).bind(now);
        let query = devices.iter().fold(query, |query, device| query.bind(*device));
        bind_added!(query, added).fetch_all(c).await
    })?;
    let mut reasons: BTreeMap<_, _> = devices.iter().map(|device| (*device, Some(Exclusion::WrongType))).collect();
    reasons.extend(found);
    Ok(reasons.into_iter().filter_map(|(device, reason)| Some((device, reason?))).collect())
}

/// How many devices still run what `parent` brought.
pub async fn count_left(conn: impl Into<Conn<'_>>, tenant: TenantId, parent: RolloutId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT_LEFT).bind(tenant).bind(parent).fetch_one(c).await)
}

/// How many devices have something to return to from `parent`.
pub async fn count_back(conn: impl Into<Conn<'_>>, tenant: TenantId, parent: RolloutId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT_BACK).bind(tenant).bind(parent).fetch_one(c).await)
}

/// The next `limit` devices that go back from what `parent` brought and that `child`, the way back, does not have yet,
/// in the order of their ids.
pub async fn pick_back(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    parent: RolloutId,
    child: RolloutId,
    after: Option<DeviceId>,
    limit: i64,
) -> Result<Vec<ReturnRow>> {
    // A bound rather than "or there is none": the index begins there.
    let after = after.unwrap_or(FIRST);
    run!(conn, |c| sqlx::query_as(PICK_BACK)
        .bind(tenant)
        .bind(parent)
        .bind(after)
        .bind(limit)
        .bind(child)
        .fetch_all(c)
        .await)
}

/// Devices by what they have in common.
#[derive(Debug, Default)]
pub struct Summary {
    /// By why they are left out.
    pub reasons: Vec<ReasonRow>,
    /// By their type.
    pub types: Vec<ShareRow>,
    /// By the version of the target's component.
    pub versions: Vec<ShareRow>,
}

#[derive(sqlx::FromRow)]
struct SummaryRow {
    aspect: String,
    name: Option<String>,
    devices: i64,
    taken: i64,
}

/// How many devices there are for a reason; of those that may be taken the reason is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonRow {
    /// Why they are left out.
    pub reason: Option<Exclusion>,
    /// How many.
    pub devices: i64,
}

/// How many devices have something in common, and how many of them may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShareRow {
    /// Their type or version; none for devices without a version.
    pub name: Option<String>,
    /// How many.
    pub devices: i64,
    /// How many of them may be taken.
    pub taken: i64,
}

/// A device that is left out.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ExcludedRow {
    /// The device.
    pub id: DeviceId,
    /// Its hardware id.
    pub hardware_id: String,
    /// Its type.
    pub device_type: String,
    /// What the target's component runs.
    pub version: Option<Version>,
    /// Why it is left out.
    pub reason: Exclusion,
}

/// How many of the devices that may be taken are at work for another rollout: they wait until that ended.
pub async fn count_busy(conn: impl Into<Conn<'_>>, target: &Target) -> Result<i64> {
    let mut added = Added::behind(6);
    let sql = target.eligible(BUSY, &StageFilter::default(), &mut added);
    run!(conn, |c| {
        let query = bind_target!(once!(query_scalar, sql), target);
        bind_added!(query, added).fetch_one(c).await
    })
}

/// All devices in reach: why they are left out, as if the rollout had taken nobody yet, and the `limit` types and
/// versions with the most devices that may be taken; versions among devices of the target's type.
pub async fn summary(conn: impl Into<Conn<'_>>, target: &Target, reach: &Reach, limit: i64) -> Result<Summary> {
    let mut added = Added::behind(8);
    let sql = reach.limit(&target.reason(SUMMARY, &mut added));
    let rows: Vec<SummaryRow> = run!(conn, |c| {
        let query = bind_target!(once!(query_as, sql), target).bind(limit).bind(FIRST);
        reach.ids().into_iter().fold(bind_added!(query, added), sqlx::query::QueryAs::bind).fetch_all(c).await
    })?;
    let mut summary = Summary::default();
    for SummaryRow { aspect, name, devices, taken } in rows {
        match aspect.as_str() {
            "reason" => summary.reasons.push(ReasonRow { reason: exclusion(name)?, devices }),
            "type" => summary.types.push(ShareRow { name, devices, taken }),
            _ => summary.versions.push(ShareRow { name, devices, taken }),
        }
    }
    Ok(summary)
}

fn exclusion(name: Option<String>) -> Result<Option<Exclusion>> {
    name.map(|name| name.parse()).transpose().map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

/// Up to `limit` devices in reach that are left out, for one reason or any, in the order of their ids from behind `after`.
pub async fn excluded(
    conn: impl Into<Conn<'_>>,
    target: &Target,
    reach: &Reach,
    reason: Option<Exclusion>,
    after: Option<DeviceId>,
    limit: i64,
) -> Result<Vec<ExcludedRow>> {
    let mut added = Added::behind(9);
    let sql = reach.limit(&target.reason(EXCLUDED, &mut added));
    run!(conn, |c| {
        let query = bind_target!(once!(query_as, sql), target).bind(after).bind(reason).bind(limit);
        reach.ids().into_iter().fold(bind_added!(query, added), sqlx::query::QueryAs::bind).fetch_all(c).await
    })
}
