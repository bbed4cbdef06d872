//! The same installation on other back-ends: from one machine to several, or back.

use std::time::Duration;

use drover_blob::{ExpectedContent, GetError, ObjectKey, PutError};
use drover_db::{CopyError, MIGRATIONS, Table, Tx, copy, tables};
use drover_store::content::{self, ContentRow};
use drover_store::{restored, tenants};
use drover_types::{Sha256Digest, TenantId, Timestamp};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::backup::{Fault, OnProgress, Progress};
use crate::compose::{ComposeError, Parts};

/// Objects on their way at once.
const OBJECTS_AT_ONCE: usize = 4;

/// Nothing was moved; the target has no rows.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The back-ends do not open.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Somebody works there.
    #[error(
        "{holder} works on the source (duty {duty}): stop every server there first; one that was killed is forgotten \
         after {left_s} s"
    )]
    Running {
        /// Who.
        holder: String,
        /// At what.
        duty: String,
        /// For how long it has that duty.
        left_s: u64,
    },
    /// The target is in use.
    #[error("the target has the tenant {tenant} already: name an empty database")]
    NotEmpty {
        /// What is there.
        tenant: String,
    },
    /// The source is empty.
    #[error("the source has no tenant: name the database of your installation")]
    Empty,
    /// Rows cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// What was written is not what was read.
    #[error("table {table} came out different, and nothing was kept: this is a bug, go on with the source")]
    Different {
        /// The table.
        table: String,
    },
    /// An object cannot be read.
    #[error("failed to read the object {key}")]
    Get {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: GetError,
    },
    /// An object cannot be stored.
    #[error("failed to store the object {key}: what is there stays, run this again")]
    Put {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: PutError,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Rows of all tables.
    pub rows: u64,
    /// Objects that the rows name.
    pub objects: usize,
    /// Those of them that were lost or damaged at the source.
    pub faults: Vec<Fault>,
}

/// Copies the objects only, while the source works; what is there already is passed over. A later [`copy_installation`]
/// has less to do then.
pub async fn copy_objects(from: &Parts, to: &Parts, on_progress: OnProgress<'_>) -> Result<Moved, MoveError> {
    let named = content::named(&from.db).await?;
    let faults = objects(from, to, &named, on_progress).await?;
    Ok(Moved { rows: 0, objects: named.len(), faults })
}

/// Copies everything into an empty target. No server may run on the source, and none can start there until this ends.
/// The target's rows are written in one transaction and compared with the source's before it commits.
pub async fn copy_installation(
    from: &Parts,
    to: &Parts,
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<Moved, MoveError> {
    let steps = from.steps().await?;
    if steps.is_empty() || tenants::all(&from.db, 1).await?.is_empty() {
        return Err(MoveError::Empty);
    }
    require_nobody(from).await?;
    require_empty(to).await?;
    // Most of the objects, before anything holds still: a transaction must not wait for them.
    copy_objects(from, to, on_progress).await?;
    to.prepare(steps).await?;
    let mut source = from.db.standstill().await?;
    require_nobody(from).await?;
    let named = content::named(&mut source).await?;
    let faults = objects(from, to, &named, on_progress).await?;
    let rows = all_tables(&mut source, to, now, on_progress).await?;
    source.rollback().await?;
    to.prepare(MIGRATIONS).await?;
    Ok(Moved { rows, objects: named.len(), faults })
}

/// A server renews its duties every few seconds.
async fn require_nobody(from: &Parts) -> Result<(), MoveError> {
    let now_us = from.db.clock_us().await?;
    let held = from.db.leases().await?.into_iter().find(|lease| lease.expires_at_us > now_us);
    match held {
        None => Ok(()),
        Some(lease) => {
            let left = Timestamp::from_micros(lease.expires_at_us).since(Timestamp::from_micros(now_us));
            let left_s = left.saturating_add(Duration::from_secs(1)).as_secs();
            Err(MoveError::Running { holder: lease.holder, duty: lease.name, left_s })
        }
    }
}

async fn require_empty(to: &Parts) -> Result<(), MoveError> {
    if to.steps().await?.is_empty() {
        return Ok(());
    }
    match tenants::all(&to.db, 1).await?.into_iter().next() {
        None => Ok(()),
        Some(tenant) => Err(MoveError::NotEmpty { tenant: tenant.name }),
    }
}

async fn all_tables(
    source: &mut Tx,
    to: &Parts,
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<u64, MoveError> {
    let all = tables(source).await?;
    let mut target = to.db.begin().await?;
    copy::clear(&mut target, &all).await?;
    let mut rows = 0;
    for table in &all {
        let written = one_table(source, &mut target, table).await?;
        on_progress(Progress::Table { name: &table.name, rows: written });
        rows += written;
    }
    restored::detach(&mut target, "moved to another object store: send it again", now).await?;
    target.commit().await?;
    Ok(rows)
}

/// Copies a table and reads it back.
async fn one_table(source: &mut Tx, target: &mut Tx, table: &Table) -> Result<u64, MoveError> {
    let mut summer = copy::TableSummer::default();
    let rows = copy::dump(source, table).await?.map(|bytes| {
        let bytes = bytes.map_err(std::io::Error::other)?;
        summer.add(&bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    });
    copy::load(target, table, rows).await?;
    let malformed = |source| CopyError::Malformed { table: table.name.clone(), source };
    let wanted = summer.finish().map_err(malformed)?;
    if copy::sum(target, table).await? == wanted {
        Ok(wanted.rows)
    } else {
        Err(MoveError::Different { table: table.name.clone() })
    }
}

async fn objects(
    from: &Parts,
    to: &Parts,
    named: &[ContentRow],
    on_progress: OnProgress<'_>,
) -> Result<Vec<Fault>, MoveError> {
    let copies = stream::iter(named.iter().copied()).map(|row| one_object(from, to, row));
    let mut copies = std::pin::pin!(copies.buffer_unordered(OBJECTS_AT_ONCE));
    let (mut done, mut faults) = (0, Vec::new());
    while let Some(fault) = copies.try_next().await? {
        faults.extend(fault);
        done += 1;
        on_progress(Progress::Objects { done, of: named.len() });
    }
    Ok(faults)
}

/// Copies an object that is not there yet. The target's store checks it against its name.
async fn one_object(from: &Parts, to: &Parts, row: ContentRow) -> Result<Option<Fault>, MoveError> {
    let ContentRow { tenant_id, sha256, size_bytes } = row;
    let key = ObjectKey::content(tenant_id, sha256);
    let size_bytes = u64::try_from(size_bytes).unwrap_or(0);
    match to.blobs.head(&key).await {
        Ok(info) if info.size_bytes == size_bytes => return Ok(None),
        Ok(_) | Err(GetError::NotFound { .. }) => {}
        Err(source) => return Err(MoveError::Get { key, source }),
    }
    let bytes = match from.blobs.get(&key, None).await {
        Ok(bytes) => bytes,
        Err(GetError::NotFound { .. }) => return Ok(Some(fault(tenant_id, sha256, "it is not in the object store"))),
        Err(source) => return Err(MoveError::Get { key, source }),
    };
    let expected = ExpectedContent { size_bytes, sha256 };
    match to.blobs.put(tenant_id, Some(&expected), size_bytes, bytes).await {
        Ok(_) => Ok(None),
        Err(PutError::SizeMismatch { .. } | PutError::DigestMismatch { .. } | PutError::TooLarge { .. }) => {
            Ok(Some(fault(tenant_id, sha256, "its bytes are not what its name says")))
        }
        Err(source) => Err(MoveError::Put { key, source }),
    }
}

fn fault(tenant_id: TenantId, sha256: Sha256Digest, what: &str) -> Fault {
    Fault { tenant_id, sha256, what: what.to_owned() }
}
