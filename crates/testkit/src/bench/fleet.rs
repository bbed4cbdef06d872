//! Registered devices by the hundred thousand, written straight into the database.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use drover_db::{Db, Tx, run};
use drover_testkit::DEVICE_TYPE;
use drover_trust::sha256;
use drover_types::{Clock as _, DEVICE_BUCKETS, DeviceId, SystemClock, TenantId, Timestamp, Version};
use uuid::Uuid;

/// Rows per statement: below the limits on parameters of both databases.
const ROWS: usize = 1_000;

/// Devices per transaction.
const BATCH: usize = 50_000;

/// A fleet whose members are known by their numbers.
pub(crate) struct Fleet {
    tenant: TenantId,
    now: Timestamp,
    version: Version,
    /// How many.
    pub(crate) devices: usize,
}

impl Fleet {
    /// Writes `devices` devices that run version 1.0.0 into the installation's first tenant.
    pub(crate) async fn seed(db: &Db, devices: usize) -> Self {
        let tenants = drover_store::tenants::all(db, 1).await.expect("the tenants can be read");
        let version = "1.0.0".parse().expect("a version");
        let fleet = Self { tenant: tenants[0].tenant_id, now: SystemClock.now(), version, devices };
        for batch in (0..devices).step_by(BATCH) {
            let mut tx = db.begin().await.expect("a transaction begins");
            for first in (batch..devices.min(batch + BATCH)).step_by(ROWS) {
                let numbers: Vec<usize> = (first..devices.min(batch + BATCH).min(first + ROWS)).collect();
                fleet.insert(&mut tx, &numbers).await.expect("the rows are inserted");
            }
            tx.commit().await.expect("the devices are written");
        }
        analyse(db).await.expect("the database counts its rows");
        fleet
    }

    /// The id of device `number`.
    fn id(&self, number: usize) -> DeviceId {
        DeviceId::generate(self.now, number as u128)
    }

    fn secret(number: usize) -> [u8; 32] {
        *sha256(format!("benchmark device {number}").as_bytes()).as_bytes()
    }

    /// The bearer token of device `number`.
    pub(crate) fn token(&self, number: usize) -> String {
        let secret = URL_SAFE_NO_PAD.encode(Self::secret(number));
        format!("dd1.{}.{}.{secret}", self.tenant.0.simple(), self.id(number).0.simple())
    }

    async fn insert(&self, tx: &mut Tx, numbers: &[usize]) -> Result<(), sqlx::Error> {
        run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new(
                "INSERT INTO devices (tenant_id, id, hardware_id, device_type, status, bucket, metadata, \
                 enrolment_token_id, created_at, updated_at) ",
            );
            query.push_values(numbers, |mut row, number| {
                row.push_bind(self.tenant)
                    .push_bind(self.id(*number))
                    .push_bind(format!("BENCH-{number:07}"))
                    .push_bind(DEVICE_TYPE)
                    .push("'idle'")
                    .push_bind(bucket(*number))
                    .push("'{}'")
                    .push_bind(Uuid::nil())
                    .push_bind(self.now)
                    .push_bind(self.now);
            });
            query.build().execute(c).await.map(drop)
        })?;
        run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new(
                "INSERT INTO device_components (tenant_id, device_id, component, version, version_key, reported_at) ",
            );
            query.push_values(numbers, |mut row, number| {
                row.push_bind(self.tenant)
                    .push_bind(self.id(*number))
                    .push("'main'")
                    .push_bind(&self.version)
                    .push_bind(self.version.sort_key())
                    .push_bind(self.now);
            });
            query.build().execute(c).await.map(drop)
        })?;
        run!(&mut *tx, |c| {
            let mut query = sqlx::QueryBuilder::new(
                "INSERT INTO device_tokens (tenant_id, id, device_id, secret_sha256, created_at) ",
            );
            query.push_values(numbers, |mut row, number| {
                row.push_bind(self.tenant)
                    .push_bind(self.id(*number).0)
                    .push_bind(self.id(*number))
                    .push_bind(sha256(&Self::secret(*number)))
                    .push_bind(self.now);
            });
            query.build().execute(c).await.map(drop)
        })
    }
}

/// Spread over all buckets, and not in the order of the numbers.
fn bucket(number: usize) -> i64 {
    let buckets = usize::try_from(DEVICE_BUCKETS).expect("it fits");
    i64::try_from(number.wrapping_mul(40_503) % buckets).expect("it fits")
}

/// What a database that grew by and by knows of itself.
async fn analyse(db: &Db) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    run!(&mut tx, |c| sqlx::query("ANALYZE").execute(c).await.map(drop))?;
    tx.commit().await
}
