//! Facts about an installation, for whoever judges what is wrong with it. Nothing is changed but a probe in the object
//! store, which is removed again.

use std::time::Duration;

use drover_blob::{CheckError, ExpectedContent, ObjectKey, PresignMethod};
use drover_store::{checkup, moves};
use drover_types::{Clock, TenantId, Timestamp};

pub use drover_store::checkup::{DeviceCounts, OverdueRollout};

use crate::compose::{Backends, ComposeError, open_blobs, open_database};

/// Rollouts that are named at most.
const OVERDUE_MAX: i64 = 20;
/// How long the address of a probe works.
const PROBE_TTL: Duration = Duration::from_mins(1);

/// The facts cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CheckupError {
    /// The back-end does not open.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The database does not answer.
    #[error("failed to read the database")]
    Database(#[from] sqlx::Error),
    /// The object store does not work.
    #[error(transparent)]
    Objects(#[from] CheckError),
    /// An object cannot be stored.
    #[error("failed to store an object")]
    Put(#[from] drover_blob::PutError),
    /// An address cannot be signed.
    #[error("failed to sign an address")]
    Presign(#[from] drover_blob::PresignError),
    /// An object cannot be removed.
    #[error(transparent)]
    Delete(#[from] drover_blob::DeleteError),
}

impl CheckupError {
    /// Whether the schema was made by another program than this one.
    pub fn is_foreign_schema(&self) -> bool {
        use drover_db::MigrateError;
        matches!(
            self,
            Self::Compose(ComposeError::Schema(
                MigrateError::NewerSchema { .. } | MigrateError::Changed { .. } | MigrateError::Gap { .. }
            ))
        )
    }

    /// Whether there is no database yet: a first start would make it.
    pub fn is_missing(&self) -> bool {
        use drover_db::OpenError;
        match self {
            Self::Compose(ComposeError::Database(OpenError::MissingFolder { .. })) => true,
            Self::Compose(ComposeError::Database(OpenError::File { source, .. })) => {
                source.kind() == std::io::ErrorKind::NotFound
            }
            _ => false,
        }
    }
}

/// A duty of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseFact {
    /// The duty.
    pub name: String,
    /// The process.
    pub holder: String,
    /// Until when it is the process's alone; 1970 when it was given back.
    pub expires_at: Timestamp,
}

/// What the database says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseFacts {
    /// Steps of the schema that are not applied; what follows is empty then.
    pub pending_steps: usize,
    /// The database's own clock.
    pub clock: Timestamp,
    /// This machine's clock when the database had told its own.
    pub asked_at: Timestamp,
    /// How long that took.
    pub took: Duration,
    /// Why it takes no changes; none when it does.
    pub refuses_writes: Option<&'static str>,
    /// Where the installation went, and when; none when it is here.
    pub moved: Option<(String, Timestamp)>,
    /// Who does which duty.
    pub leases: Vec<LeaseFact>,
    /// Rollouts that nobody looked at in time.
    pub overdue: Vec<OverdueRollout>,
    /// How many devices there are, and how many are silent.
    pub devices: DeviceCounts,
}

/// Asks the database. Rollouts are overdue when they were due so long ago, devices silent when they were last seen so
/// long ago.
pub async fn database(
    backends: &Backends,
    overdue_after: Duration,
    silent_after: Duration,
    clock: &dyn Clock,
) -> Result<DatabaseFacts, CheckupError> {
    let db = open_database(&backends.database, true).await?;
    let facts = async {
        let pending_steps = drover_db::pending(&db, drover_db::MIGRATIONS).await.map_err(ComposeError::from)?.len();
        let before = clock.now();
        let theirs = Timestamp::from_micros(db.clock_us().await?);
        let now = clock.now();
        let mut facts = DatabaseFacts {
            pending_steps,
            clock: theirs,
            asked_at: now,
            took: now.since(before),
            refuses_writes: db.refuses_writes().await?,
            moved: None,
            leases: Vec::new(),
            overdue: Vec::new(),
            devices: DeviceCounts::default(),
        };
        if drover_db::MIGRATIONS.len() - pending_steps >= moves::SINCE_STEP {
            facts.moved = moves::current(&db).await?.map(|row| (row.target, row.moved_at));
        }
        if pending_steps == 0 {
            facts.leases = db.leases().await?.into_iter().map(lease).collect();
            facts.overdue = checkup::overdue(&db, now.minus(overdue_after), OVERDUE_MAX).await?;
            facts.devices = checkup::device_counts(&db, now.minus(silent_after)).await?;
        }
        Ok(facts)
    };
    let facts = facts.await;
    db.close().await;
    facts
}

fn lease(state: drover_db::LeaseState) -> LeaseFact {
    let drover_db::LeaseState { name, holder, expires_at_us } = state;
    LeaseFact { name, holder, expires_at: Timestamp::from_micros(expires_at_us) }
}

/// An object that was stored to be fetched by its address.
pub struct Probe {
    /// Its address.
    pub url: String,
    /// What it must yield.
    pub content: String,
    key: ObjectKey,
}

/// Asks the object store whether it can be written to.
pub async fn objects(backends: &Backends) -> Result<(), CheckupError> {
    Ok(open_blobs(backends)?.check().await?)
}

/// Stores a probe. Whoever calls this fetches it and calls [`remove_probe`].
pub async fn put_probe(backends: &Backends, now: Timestamp) -> Result<Probe, CheckupError> {
    let blobs = open_blobs(backends)?;
    let content = format!("drover doctor was here at {now}\n");
    let tenant = TenantId(uuid::Uuid::nil());
    let sha256 = drover_trust::sha256(content.as_bytes());
    let expected = ExpectedContent { size_bytes: content.len() as u64, sha256 };
    let bytes = bytes::Bytes::from(content.clone());
    let body = Box::pin(futures::stream::once(async move { Ok(bytes) }));
    let stored = blobs.put(tenant, Some(&expected), expected.size_bytes, body).await?;
    let url = blobs.presign(PresignMethod::Get, &stored.key, PROBE_TTL, now, None).await?.url;
    Ok(Probe { url, content, key: stored.key })
}

/// Removes a probe.
pub async fn remove_probe(backends: &Backends, probe: &Probe) -> Result<(), CheckupError> {
    Ok(open_blobs(backends)?.delete(&probe.key).await?)
}
