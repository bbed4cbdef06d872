//! Registered devices by the hundred thousand, written straight into the database.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_db::{Db, Tx, run};
use drover_trust::sha256;
use drover_types::{
    Clock as _, ComponentName, DEVICE_BUCKETS, DeviceId, EnrolmentTokenId, GroupId, Sha256Digest, SystemClock,
    TenantId, Timestamp, Version,
};
use uuid::Uuid;

use crate::DEVICE_TYPE;

/// Rows per statement: ten parameters each stay below the limits of both databases.
const ROWS: u32 = 3_000;
/// The attribute `region` of each device.
const REGIONS: [&str; 3] = ["eu", "us", "asia"];
/// Devices per transaction.
const BATCH: u32 = 30_000;

/// Devices that are as if they had registered an hour ago and called since. Everything about one follows from its
/// number, so nothing has to be kept.
#[derive(Debug, Clone, Copy)]
pub struct Fleet {
    tenant: TenantId,
    now: Timestamp,
    /// How many.
    pub devices: u32,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

impl Fleet {
    /// Registers `devices` devices that run version 1.0.0 with the installation's first tenant.
    pub async fn register(db: &Db, devices: u32) -> Self {
        let tenants = drover_store::tenants::all(db, 1).await.expect("the tenants can be read");
        let fleet = Self { tenant: tenants[0].tenant_id, now: SystemClock.now(), devices };
        for from in (0..devices).step_by(BATCH as usize) {
            let to = (from + BATCH).min(devices);
            let written: Result<()> =
                db.write(move |tx| Box::pin(async move { fleet.write(tx, from, to).await })).await;
            written.expect("devices are written");
        }
        drover_db::testing::count_rows(db).await.expect("the database counts its rows");
        fleet
    }

    fn device(&self, number: u32) -> DeviceId {
        DeviceId::generate(self.registered_at(), u128::from(number) << 8 | 1)
    }

    fn token_id(&self, number: u32) -> Uuid {
        // Its end is as spread as that of a random one.
        let spread = u128::from_be_bytes(sha256(&number.to_be_bytes()).as_bytes()[..16].try_into().expect("16 bytes"));
        DeviceId::generate(self.registered_at(), spread).0
    }

    fn registered_at(&self) -> Timestamp {
        self.now.minus(Duration::from_hours(1))
    }

    fn secret(&self, number: u32) -> Sha256Digest {
        sha256(format!("{} {number}", self.tenant).as_bytes())
    }

    /// The token of a device, as it is sent.
    pub fn token(&self, number: u32) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret(number).as_bytes());
        format!("dd1.{}.{}.{secret}", self.tenant.0.simple(), self.token_id(number).simple())
    }

    async fn write(&self, tx: &mut Tx, from: u32, to: u32) -> Result<()> {
        let (main, version) = (ComponentName::main(), Version::new(1, 0, 0));
        let (made, seen) = (self.registered_at(), self.now.minus(Duration::from_mins(30)));
        for first in (from..to).step_by(ROWS as usize) {
            let numbers = first..(first + ROWS).min(to);
            let enrolment = EnrolmentTokenId(self.tenant.0);
            run!(&mut *tx, |c| {
                let mut query = sqlx::QueryBuilder::new(
                    "INSERT INTO devices (tenant_id, id, hardware_id, device_type, status, bucket, metadata, \
                     enrolment_token_id, last_seen_at, created_at, updated_at) ",
                );
                query.push_values(numbers.clone(), |mut row, number| {
                    let bucket = i64::from(number.wrapping_mul(2_654_435_761) % DEVICE_BUCKETS);
                    row.push_bind(self.tenant).push_bind(self.device(number)).push_bind(format!("BENCH-{number}"));
                    row.push_bind(DEVICE_TYPE).push("'idle'").push_bind(bucket).push("'{}'");
                    row.push_bind(enrolment).push_bind(seen).push_bind(made).push_bind(made);
                });
                query.build().persistent(false).execute(c).await.map(drop)
            })?;
            run!(&mut *tx, |c| {
                let mut query = sqlx::QueryBuilder::new(
                    "INSERT INTO device_tokens (tenant_id, id, device_id, secret_sha256, created_at) ",
                );
                query.push_values(numbers.clone(), |mut row, number| {
                    row.push_bind(self.tenant).push_bind(self.token_id(number)).push_bind(self.device(number));
                    row.push_bind(sha256(self.secret(number).as_bytes())).push_bind(made);
                });
                query.build().persistent(false).execute(c).await.map(drop)
            })?;
            run!(&mut *tx, |c| {
                let mut query = sqlx::QueryBuilder::new(
                    "INSERT INTO device_components (tenant_id, device_id, component, version, version_key, reported_at) ",
                );
                query.push_values(numbers, |mut row, number| {
                    row.push_bind(self.tenant).push_bind(self.device(number)).push_bind(&main);
                    row.push_bind(&version).push_bind(version.sort_key()).push_bind(made);
                });
                query.build().persistent(false).execute(c).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// Gives every device a region, and every `nth` the tag `canary`: something to ask for.
    pub async fn describe(&self, db: &Db, nth: u32) {
        let fleet = *self;
        for from in (0..self.devices).step_by(BATCH as usize) {
            let to = (from + BATCH).min(self.devices);
            let written: Result<()> =
                db.write(move |tx| Box::pin(async move { fleet.write_regions(tx, from, to).await })).await;
            written.expect("attributes are written");
        }
        let written: Result<()> = db
            .write(move |tx| {
                Box::pin(async move {
                    for number in (0..fleet.devices).step_by(nth as usize) {
                        drover_store::device_tags::add(tx, fleet.tenant, fleet.device(number), "canary").await?;
                    }
                    Ok(())
                })
            })
            .await;
        written.expect("tags are written");
    }

    async fn write_regions(&self, tx: &mut Tx, from: u32, to: u32) -> Result<()> {
        for first in (from..to).step_by(ROWS as usize) {
            run!(&mut *tx, |c| {
                let mut query = sqlx::QueryBuilder::new(
                    "INSERT INTO device_attributes (tenant_id, device_id, name, kind, text_value, updated_at) ",
                );
                query.push_values(first..(first + ROWS).min(to), |mut row, number| {
                    row.push_bind(self.tenant).push_bind(self.device(number)).push("'region', 'string'");
                    row.push_bind(REGIONS[number as usize % REGIONS.len()]).push_bind(self.now);
                });
                query.build().persistent(false).execute(c).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// Puts every `nth` device into a group.
    pub async fn group(&self, db: &Db, group: GroupId, nth: u32) {
        let fleet = *self;
        let written: Result<()> = db
            .write(move |tx| {
                Box::pin(async move {
                    for number in (0..fleet.devices).step_by(nth as usize) {
                        drover_store::groups::add(tx, fleet.tenant, group, fleet.device(number)).await?;
                    }
                    Ok(())
                })
            })
            .await;
        written.expect("members are written");
    }
}
