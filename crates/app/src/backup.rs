//! A whole installation in one file, and back.
//!
//! The file is a tar archive, in this order: the tables' rows, the files of the data folder that hold secrets, the
//! objects, and `backup.json`, which names everything before it with its digest. Rows are in one form for both databases
//! ([`drover_db::copy`]), so a backup of one can be restored into the other.
//!
//! It is taken while the server works. All rows are of one moment. The objects come after them, and those that the rows
//! name are still there: objects never change, and one that loses its last name is kept for another day.

mod archive;
mod error;
mod files;
mod manifest;
mod opened;
mod restore;

use bytes::Bytes;
use drover_blob::{ByteStream, GetError, ObjectKey};
use drover_db::{Table, Tx, copy};
use drover_store::content::{self, ContentRow};
use drover_types::Timestamp;
use futures::StreamExt as _;
use tokio::io::AsyncWrite;

use crate::compose::Parts;
use archive::{ArchiveWriter, EntryWriter};
pub use error::{BackupError, RestoreError, VerifyError};
use manifest::{FORMAT, ObjectEntry, StepEntry, TableEntry};
pub use manifest::{Fault, Manifest};
pub use opened::Backup;
pub use restore::{RestoreOptions, Restored, restore};

pub use crate::settling::Settled;

/// Rows are cut into entries of about this size, so that writing needs little memory.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// How often an object's bytes are asked for, from where they broke off.
pub(crate) const READ_ATTEMPTS: u32 = 3;

/// So many objects that cannot be read, with none between them that can: the object store is what fails.
const UNREADABLE_MAX: u32 = 5;

/// How far a backup or a restore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A table is done.
    Table {
        /// Its name.
        name: &'a str,
        /// Its rows.
        rows: u64,
    },
    /// Another object is done.
    Objects {
        /// So many are.
        done: usize,
        /// Of so many.
        of: usize,
    },
}

/// Told as it goes.
pub type OnProgress<'p> = &'p mut (dyn FnMut(Progress<'_>) + Send);

/// Whether a backup has the objects themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objects {
    /// Every object is in it.
    Included,
    /// It names them; they stay where they are.
    Named,
}

impl Objects {
    /// So many can be named: a restore reads all names at once. An object that is in it is named twice.
    const fn max(self) -> usize {
        match self {
            Self::Included => 500_000,
            Self::Named => 1_000_000,
        }
    }
}

/// Writes a backup and returns what it says of itself. [`Manifest::faults`] are objects that are lost already: the
/// backup is whole but for them.
pub async fn write(
    parts: &Parts,
    out: impl AsyncWrite + Unpin + Send,
    objects: Objects,
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<Manifest, BackupError> {
    let schema = parts.steps().await?.iter().map(StepEntry::of).collect();
    let mut archive = ArchiveWriter::new(out, now);
    let mut tx = parts.db.snapshot().await.map_err(BackupError::Snapshot)?;
    let mut tables = Vec::new();
    for table in drover_db::tables(&mut tx).await? {
        let entry = write_table(&mut archive, &mut tx, &table).await?;
        on_progress(Progress::Table { name: &entry.name, rows: entry.rows });
        tables.push(entry);
    }
    let named = content::named(&mut tx).await.map_err(BackupError::Snapshot)?;
    if named.len() > objects.max() {
        return Err(BackupError::TooMany { objects: named.len(), max: objects.max() });
    }
    // Before the objects, which may take hours: an old snapshot keeps the database from tidying up.
    tx.rollback().await.map_err(BackupError::Snapshot)?;
    for file in files::of_installation(&parts.data_dir)? {
        archive.entry(&file.entry_name, &file.bytes).await?;
    }
    let mut faults = Vec::new();
    if objects == Objects::Included {
        faults = write_objects(&mut archive, parts, &named, on_progress).await?;
    }
    let objects = named.iter().map(ObjectEntry::of).collect();
    let drover = env!("CARGO_PKG_VERSION").to_owned();
    let entries = archive.entries().to_vec();
    let manifest = Manifest { format: FORMAT, drover, created_at: now, schema, tables, objects, faults, entries };
    archive.finish(&manifest).await?;
    Ok(manifest)
}

async fn write_table<W: AsyncWrite + Unpin + Send>(
    archive: &mut ArchiveWriter<W>,
    tx: &mut Tx,
    table: &Table,
) -> Result<TableEntry, BackupError> {
    let (mut summer, mut part, mut parts) = (copy::TableSummer::default(), Vec::with_capacity(PART_BYTES), 0);
    let mut rows = copy::dump(tx, table).await?;
    while let Some(bytes) = rows.next().await {
        let bytes: Bytes = bytes?;
        summer.add(&bytes).map_err(|source| copy_error(table, source))?;
        part.extend_from_slice(&bytes);
        if part.len() >= PART_BYTES {
            parts += 1;
            archive.entry(&manifest::part_name(&table.name, parts), &part).await?;
            part.clear();
        }
    }
    if !part.is_empty() {
        parts += 1;
        archive.entry(&manifest::part_name(&table.name, parts), &part).await?;
    }
    let sum = summer.finish().map_err(|source| copy_error(table, source))?;
    Ok(TableEntry::new(table, parts, sum))
}

fn copy_error(table: &Table, source: copy::Malformed) -> BackupError {
    BackupError::Copy(drover_db::CopyError::Malformed { table: table.name.clone(), source })
}

/// Copies the objects. One that is lost already, or that cannot be read, does not keep the rest from being saved. When it
/// is the store that cannot be read, there is no backup.
async fn write_objects<W: AsyncWrite + Unpin + Send>(
    archive: &mut ArchiveWriter<W>,
    parts: &Parts,
    named: &[ContentRow],
    on_progress: OnProgress<'_>,
) -> Result<Vec<Fault>, BackupError> {
    let (mut faults, mut unreadable) = (Vec::new(), 0);
    for (index, row) in named.iter().enumerate() {
        let key = ObjectKey::content(row.tenant_id, row.sha256);
        match open_object(parts, &key).await {
            Ok(bytes) => {
                unreadable = 0;
                faults.extend(write_object(archive, parts, row, bytes).await?);
            }
            Err(GetError::NotFound { .. }) => faults.push(fault(row, "it is not in the object store")),
            Err(source) => {
                unreadable += 1;
                if unreadable == UNREADABLE_MAX || parts.blobs.check().await.is_err() {
                    return Err(BackupError::Object { key, source });
                }
                faults.push(fault(row, &format!("it cannot be read: {}", told(&source))));
            }
        }
        on_progress(Progress::Objects { done: index + 1, of: named.len() });
    }
    Ok(faults)
}

fn fault(row: &ContentRow, what: &str) -> Fault {
    Fault { tenant_id: row.tenant_id, sha256: row.sha256, what: what.to_owned() }
}

/// The error with its first cause.
fn told(error: &GetError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

async fn open_object(parts: &Parts, key: &ObjectKey) -> Result<ByteStream, GetError> {
    let mut opened = parts.blobs.get(key, None).await;
    for _ in 1..READ_ATTEMPTS {
        if matches!(opened, Ok(_) | Err(GetError::NotFound { .. })) {
            break;
        }
        opened = parts.blobs.get(key, None).await;
    }
    opened
}

/// Copies an object that could be opened, checking it against its name.
async fn write_object<W: AsyncWrite + Unpin + Send>(
    archive: &mut ArchiveWriter<W>,
    parts: &Parts,
    row: &ContentRow,
    bytes: ByteStream,
) -> Result<Option<Fault>, BackupError> {
    let key = ObjectKey::content(row.tenant_id, row.sha256);
    let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
    let mut entry = archive.begin(&manifest::object_name(row.tenant_id, row.sha256), size_bytes).await?;
    let mut broken = pour(&mut entry, bytes).await?;
    for _ in 1..READ_ATTEMPTS {
        // What breaks off behind the last byte has nothing left to ask for.
        if broken.is_none() || entry.is_full() {
            break;
        }
        let rest = entry.written_bytes()..size_bytes;
        broken = match parts.blobs.get(&key, Some(rest)).await {
            Ok(bytes) => pour(&mut entry, bytes).await?,
            Err(error) => Some(told(&error)),
        };
    }
    let is_whole = entry.is_full();
    let sha256 = entry.end().await?;
    Ok(match broken {
        _ if is_whole && sha256 == row.sha256 => None,
        Some(error) => Some(fault(row, &format!("its bytes cannot be read: {error}"))),
        None => Some(fault(row, "its bytes are not what its name says")),
    })
}

/// Writes an object's bytes; why they broke off, when they did.
async fn pour<W: AsyncWrite + Unpin + Send>(
    entry: &mut EntryWriter<'_, W>,
    mut bytes: ByteStream,
) -> Result<Option<String>, BackupError> {
    while let Some(chunk) = bytes.next().await {
        match chunk {
            Ok(chunk) if !entry.write(&chunk).await? => return Ok(None),
            Ok(_) => {}
            Err(error) => return Ok(Some(error.to_string())),
        }
    }
    Ok(None)
}
