//! From a backup to an installation, which may be on other back-ends.

use std::path::Path;

use drover_blob::{ExpectedContent, GetError, ObjectKey};
use drover_db::{MIGRATIONS, Migration, Tx, copy};
use drover_store::{restored, tenants};
use drover_types::Timestamp;
use futures::StreamExt as _;

use super::manifest::{FILES, ObjectEntry, StepEntry, object_name, part_name};
use super::{Backup, OnProgress, Progress, RestoreError, files};
use crate::compose::{Backends, Parts};

pub use drover_store::restored::Restored;

/// Makes an installation of a backup, in an empty place. The rows come last, in one transaction: what breaks off before
/// has no rows. Afterwards offers, leases and logins from before are void, and rollouts that were going on are paused.
pub async fn restore(
    backup: &Backup,
    target: &Backends,
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<Restored, RestoreError> {
    let steps = steps_of(backup)?;
    require_empty_folder(&target.data_dir)?;
    let parts = Parts::create(target).await?;
    let restored = fill(backup, &parts, steps, now, on_progress).await;
    parts.close().await;
    restored
}

async fn fill(
    backup: &Backup,
    parts: &Parts,
    steps: &[Migration],
    now: Timestamp,
    on_progress: OnProgress<'_>,
) -> Result<Restored, RestoreError> {
    require_empty_database(parts).await?;
    require_objects(backup, parts).await?;
    for entry in backup.manifest().entries.iter().filter(|entry| entry.name.starts_with(FILES)) {
        put_file(backup, &parts.data_dir, &entry.name).await?;
    }
    let all = &backup.manifest().objects;
    for (index, object) in all.iter().enumerate() {
        put_object(backup, parts, object).await?;
        on_progress(Progress::Objects { done: index + 1, of: all.len() });
    }
    parts.prepare(steps).await?;
    let mut tx = parts.db.begin().await?;
    load_tables(backup, &mut tx, on_progress).await?;
    let reason =
        format!("restored from the backup of {}: look at it, then resume or cancel", backup.manifest().created_at);
    let settled = restored::settle(&mut tx, &reason, now).await?;
    tx.commit().await?;
    parts.prepare(MIGRATIONS).await?;
    Ok(settled)
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

/// No tenant, no rows: every other row belongs to one, or to the processes that run on the database.
async fn require_empty_database(parts: &Parts) -> Result<(), RestoreError> {
    if parts.steps().await?.is_empty() {
        return Ok(());
    }
    match tenants::all(&parts.db, 1).await?.first() {
        None => Ok(()),
        Some(tenant) => {
            let (place, found) = ("this database".to_owned(), format!("it has the tenant {}", tenant.name));
            Err(RestoreError::NotEmpty { place, found })
        }
    }
}

/// Objects that the backup only names must be in the store.
async fn require_objects(backup: &Backup, parts: &Parts) -> Result<(), RestoreError> {
    let manifest = backup.manifest();
    let mut missing = Vec::new();
    for object in manifest.objects.iter().filter(|object| !manifest.is_lost(object)) {
        let key = ObjectKey::content(object.tenant_id, object.sha256);
        if backup.has(&object_name(object.tenant_id, object.sha256)) {
            continue;
        }
        match parts.blobs.head(&key).await {
            Ok(info) if info.size_bytes == object.size_bytes => {}
            Ok(_) | Err(GetError::NotFound { .. }) => missing.push(key),
            Err(source) => return Err(RestoreError::Head { key, source }),
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(&first) => {
            Err(RestoreError::ObjectsMissing { missing: missing.len(), all: manifest.objects.len(), first })
        }
    }
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
async fn load_tables(backup: &Backup, tx: &mut Tx, on_progress: OnProgress<'_>) -> Result<(), RestoreError> {
    let tables = drover_db::tables(tx).await?;
    // Rows that the schema's steps brought along, and leases: the backup has its own.
    copy::clear(tx, &tables).await?;
    for table in &tables {
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
