//! From a backup to an installation, which may be on other back-ends.

use std::path::Path;

use drover_blob::{ExpectedContent, GetError, ObjectKey};
use drover_db::{MIGRATIONS, Migration, Table, Tx, copy};
use drover_types::Timestamp;
use futures::StreamExt as _;

use super::manifest::{FILES, Fault, ObjectEntry, StepEntry, object_name, part_name};
use super::{Backup, OnProgress, Progress, RestoreError, files};
use crate::compose::{Backends, Parts};
use crate::settling::{Moment, Settled, brought_back};
use crate::{Random, filling};

/// What a restore may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Go on when objects that the backup only names are not in the object store any more.
    pub without_lost_objects: bool,
    /// Revoke all API keys: among them are those that were revoked after the backup.
    pub revoke_api_keys: bool,
}

/// What was restored, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What was made void.
    pub settled: Settled,
    /// Objects that were lost: when the backup was taken, or since.
    pub faults: Vec<Fault>,
}

/// Makes an installation of a backup, in an empty place. The rows come last, in one transaction: what breaks off before
/// has no rows. Afterwards offers, leases and logins from before are void, and rollouts that were going on are paused.
pub async fn restore(
    backup: &Backup,
    target: &Backends,
    options: RestoreOptions,
    now: Timestamp,
    random: &dyn Random,
    on_progress: OnProgress<'_>,
) -> Result<Restored, RestoreError> {
    let steps = steps_of(backup)?;
    require_empty_folder(&target.data_dir)?;
    let parts = Parts::create(target).await?;
    let restored = fill(backup, &parts, steps, options, Moment { now, random }, on_progress).await;
    parts.close().await;
    restored
}

async fn fill(
    backup: &Backup,
    parts: &Parts,
    steps: &[Migration],
    options: RestoreOptions,
    moment: Moment<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Restored, RestoreError> {
    filling::require_empty(&parts.db, steps).await?;
    let missing = missing_objects(backup, parts).await?;
    if let (Some(first), false) = (missing.first(), options.without_lost_objects) {
        let first = ObjectKey::content(first.tenant_id, first.sha256);
        let all = backup.manifest().objects.len();
        return Err(RestoreError::ObjectsMissing { missing: missing.len(), all, first });
    }
    for entry in backup.manifest().entries.iter().filter(|entry| entry.name.starts_with(FILES)) {
        put_file(backup, &parts.data_dir, &entry.name).await?;
    }
    let all = &backup.manifest().objects;
    for (index, object) in all.iter().enumerate() {
        put_object(backup, parts, object).await?;
        on_progress(Progress::Objects { done: index + 1, of: all.len() });
    }
    let (mut tx, tables) = filling::begin(&parts.db, steps).await?;
    load_tables(backup, &mut tx, &tables, on_progress).await?;
    filling::modernise(&mut tx).await?;
    let why = format!("restored from the backup of {}", backup.manifest().created_at);
    let settled = brought_back(&mut tx, "restore", &why, options.revoke_api_keys, moment).await?;
    tx.commit().await?;
    let faults = backup.manifest().faults.iter().cloned().chain(missing).collect();
    Ok(Restored { settled, faults })
}

/// The schema's steps that the backup was made with, which must be the first ones of ours.
fn steps_of(backup: &Backup) -> Result<&'static [Migration], RestoreError> {
    let manifest = backup.manifest();
    let ours: Vec<StepEntry> = MIGRATIONS.iter().map(StepEntry::of).collect();
    if ours.starts_with(&manifest.schema) {
        return Ok(&MIGRATIONS[..manifest.schema.len()]);
    }
    let backup = manifest.schema.last().map(StepEntry::to_string).unwrap_or_default();
    Err(RestoreError::Schema { backup, drover: manifest.drover.clone() })
}

fn require_empty_folder(folder: &Path) -> Result<(), RestoreError> {
    let unreadable = |source| RestoreError::File { path: folder.to_owned(), source };
    let mut entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(unreadable)?,
    };
    let Some(first) = entries.next() else { return Ok(()) };
    let found = format!("{} lies there", first.map_err(unreadable)?.file_name().display());
    Err(RestoreError::NotEmpty { place: folder.display().to_string(), found })
}

/// Objects that the backup only names and that the store does not have.
async fn missing_objects(backup: &Backup, parts: &Parts) -> Result<Vec<Fault>, RestoreError> {
    let manifest = backup.manifest();
    let mut missing = Vec::new();
    for object in manifest.objects.iter().filter(|object| !manifest.is_lost(object)) {
        if backup.has(&object_name(object.tenant_id, object.sha256)) {
            continue;
        }
        let key = ObjectKey::content(object.tenant_id, object.sha256);
        let what = match parts.blobs.head(&key).await {
            Ok(info) if info.size_bytes == object.size_bytes => continue,
            Ok(_) => "it has another length in the object store",
            Err(GetError::NotFound { .. }) => "it is not in the object store",
            Err(source) => return Err(RestoreError::Head { key, source }),
        };
        missing.push(Fault { tenant_id: object.tenant_id, sha256: object.sha256, what: what.to_owned() });
    }
    Ok(missing)
}

async fn put_file(backup: &Backup, data_dir: &Path, name: &str) -> Result<(), RestoreError> {
    let path = files::place(data_dir, name).ok_or_else(|| RestoreError::File {
        path: data_dir.to_owned(),
        source: std::io::Error::other(format!("{name} of the backup does not belong there")),
    })?;
    let failed = |source| RestoreError::File { path: path.clone(), source };
    let (mut bytes, mut stream) = (Vec::new(), backup.read([name.to_owned()]));
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(failed)?);
    }
    files::put_back(&path, &bytes).map_err(failed)
}

/// Stores an object that the backup has. The store checks it against its name once more; one that was damaged when the
/// backup was taken is left out.
async fn put_object(backup: &Backup, parts: &Parts, object: &ObjectEntry) -> Result<(), RestoreError> {
    let (tenant, sha256) = (object.tenant_id, object.sha256);
    let name = object_name(tenant, sha256);
    if backup.manifest().is_lost(object) || !backup.has(&name) {
        return Ok(());
    }
    let expected = ExpectedContent { size_bytes: object.size_bytes, sha256 };
    let stored = parts.blobs.put(tenant, Some(&expected), object.size_bytes, backup.read([name])).await;
    stored.map(drop).map_err(|source| RestoreError::Put { key: ObjectKey::content(tenant, sha256), source })
}

/// Writes all rows, and reads them back: what is committed is what the backup has.
async fn load_tables(
    backup: &Backup,
    tx: &mut Tx,
    tables: &[Table],
    on_progress: OnProgress<'_>,
) -> Result<(), RestoreError> {
    for table in tables {
        let different = || RestoreError::Different { table: table.name.clone() };
        let entries = &backup.manifest().tables;
        let entry = entries.iter().find(|entry| entry.fits(table)).ok_or_else(different)?;
        let names = (1..=entry.parts).map(|part| part_name(&table.name, part));
        copy::load(tx, table, backup.read(names)).await?;
        let sum = copy::sum(tx, table).await?;
        if (sum.rows, sum.sha256) != (entry.rows, entry.sha256) {
            return Err(different());
        }
        on_progress(Progress::Table { name: &table.name, rows: sum.rows });
    }
    Ok(())
}
