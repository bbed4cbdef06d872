//! Which devices a rollout may take: counted and chosen in SQL.

use drover_db::{Conn, Tx, run};
use drover_types::{ComponentName, DeviceId, FirmwareId, RolloutId, TenantId, Version};

use crate::{Result, statements};

/// Devices of the type and groups, below the firmware, with what it depends on.
/// A device whose release counter is unknown is judged by its version.
macro_rules! eligible {
    ($head:literal, $tail:literal) => {
        concat!(
            $head,
            " FROM devices d LEFT JOIN device_components c \
             ON c.tenant_id = d.tenant_id AND c.device_id = d.id AND c.component = $3 \
             WHERE d.tenant_id = $1 AND d.device_type = $2 \
             AND (c.release_counter < $4 \
                 OR (c.release_counter IS NULL AND (c.version_key IS NULL OR c.version_key < $5))) \
             AND ($6 = 0 OR EXISTS (SELECT 1 FROM rollout_groups g JOIN group_members m \
                 ON m.tenant_id = g.tenant_id AND m.group_id = g.group_id \
                 WHERE g.tenant_id = $1 AND g.rollout_id = $7 AND m.device_id = d.id)) \
             AND NOT EXISTS (SELECT 1 FROM firmware_dependencies f WHERE f.tenant_id = $1 AND f.firmware_id = $8 \
                 AND NOT EXISTS (SELECT 1 FROM device_components x WHERE x.tenant_id = $1 AND x.device_id = d.id \
                     AND x.component = f.component AND x.version_key >= f.min_key \
                     AND (f.below_key IS NULL OR x.version_key < f.below_key))) ",
            $tail
        )
    };
}

/// Devices that may still run what the rollout brought and have something to return to. One that was given up on may
/// have installed it all the same.
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

statements! {
    COUNT = eligible!("SELECT COUNT(*)", "AND NOT EXISTS (SELECT 1 FROM update_sessions s \
                 WHERE s.tenant_id = $1 AND s.rollout_id = $7 AND s.device_id = d.id)");
    PICK = eligible!("SELECT d.id AS device_id, d.bucket", "AND NOT EXISTS (SELECT 1 FROM update_sessions s \
                 WHERE s.tenant_id = $1 AND s.rollout_id = $7 AND s.device_id = d.id) \
         AND d.bucket >= $9 AND d.bucket < $10 AND (d.bucket > $11 OR (d.bucket = $11 AND d.id > $12)) \
         ORDER BY d.bucket, d.id LIMIT $13");
    IS_ELIGIBLE = eligible!("SELECT COUNT(*)", "AND d.id = $9");
    COUNT_BACK = returning!("SELECT COUNT(*)", "AND s.from_firmware_id IS NOT NULL");
    COUNT_LEFT = returning!("SELECT COUNT(*)", "");
    PICK_BACK = returning!("SELECT s.device_id, s.from_firmware_id AS firmware_id",
        "AND s.from_firmware_id IS NOT NULL AND (CAST($3 AS UUID) IS NULL OR s.device_id > $3) \
         ORDER BY s.device_id LIMIT $4");
}

/// What decides whether a device may be taken.
#[derive(Debug, Clone)]
pub struct Target {
    /// The tenant.
    pub tenant: TenantId,
    /// The rollout.
    pub rollout: RolloutId,
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
    /// Whether the rollout is limited to groups.
    pub has_groups: bool,
}

/// Buckets `from..to`, behind the device `after` in bucket `after_bucket`.
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
}

/// A device that may be taken.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
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
pub async fn count(conn: impl Into<Conn<'_>>, target: &Target) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT)
        .bind(target.tenant)
        .bind(&target.device_type)
        .bind(&target.component)
        .bind(target.release_counter)
        .bind(target.version.sort_key())
        .bind(i64::from(target.has_groups))
        .bind(target.rollout)
        .bind(target.firmware)
        .fetch_one(c)
        .await)
}

/// The next `limit` devices that may be taken, in the order of (bucket, id).
pub async fn pick(tx: &mut Tx, target: &Target, range: Range, limit: i64) -> Result<Vec<CandidateRow>> {
    run!(tx, |c| sqlx::query_as(PICK)
        .bind(target.tenant)
        .bind(&target.device_type)
        .bind(&target.component)
        .bind(target.release_counter)
        .bind(target.version.sort_key())
        .bind(i64::from(target.has_groups))
        .bind(target.rollout)
        .bind(target.firmware)
        .bind(range.from)
        .bind(range.to)
        .bind(range.after_bucket)
        .bind(range.after)
        .bind(limit)
        .fetch_all(c)
        .await)
}

/// Whether this device may still have the firmware: between the choice and the offer other rollouts, people and the
/// device itself may have changed that.
pub async fn is_eligible(conn: impl Into<Conn<'_>>, target: &Target, device: DeviceId) -> Result<bool> {
    let found: i64 = run!(conn, |c| sqlx::query_scalar(IS_ELIGIBLE)
        .bind(target.tenant)
        .bind(&target.device_type)
        .bind(&target.component)
        .bind(target.release_counter)
        .bind(target.version.sort_key())
        .bind(i64::from(target.has_groups))
        .bind(target.rollout)
        .bind(target.firmware)
        .bind(device)
        .fetch_one(c)
        .await)?;
    Ok(found == 1)
}

/// How many devices still run what `parent` brought.
pub async fn count_left(conn: impl Into<Conn<'_>>, tenant: TenantId, parent: RolloutId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT_LEFT).bind(tenant).bind(parent).fetch_one(c).await)
}

/// How many devices have something to return to from `parent`.
pub async fn count_back(conn: impl Into<Conn<'_>>, tenant: TenantId, parent: RolloutId) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(COUNT_BACK).bind(tenant).bind(parent).fetch_one(c).await)
}

/// The next `limit` devices that go back from what `parent` brought, in the order of their ids.
pub async fn pick_back(
    tx: &mut Tx,
    tenant: TenantId,
    parent: RolloutId,
    after: Option<DeviceId>,
    limit: i64,
) -> Result<Vec<ReturnRow>> {
    run!(tx, |c| sqlx::query_as(PICK_BACK).bind(tenant).bind(parent).bind(after).bind(limit).fetch_all(c).await)
}
