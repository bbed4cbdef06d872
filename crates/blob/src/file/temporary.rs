//! The folder of uploads in progress.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::private_folder;
use crate::random;

/// An upload that nobody has written to for so long belongs to a server that was killed.
const STALE_AFTER: Duration = Duration::from_hours(24);

/// `PATH/tmp`.
#[derive(Clone)]
pub(super) struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Makes the folder where it is missing. It must be on the disk of the objects: names are linked across.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        private_folder().recursive(true).create(&path)?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new empty file that only we can read. It is removed with the returned guard.
    pub(super) fn create(&self) -> io::Result<(File, TemporaryFile)> {
        let path = self.path.join(random::token()?);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok((file, TemporaryFile { path }))
    }

    /// Writes and syncs a file, and tells the disk's own time.
    pub(super) fn probe(&self) -> io::Result<SystemTime> {
        let (mut file, _guard) = self.create()?;
        io::Write::write_all(&mut file, b"drover")?;
        file.sync_all()?;
        file.metadata()?.modified()
    }

    /// Removes uploads that were left behind and says how many. Their age is told by the disk's clock, which dated them.
    pub(super) fn remove_stale(&self) -> io::Result<u64> {
        let mut removed = 0;
        let disk_time = self.probe()?;
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            // Another server may finish an upload of its own at this moment.
            let Ok(metadata) = entry.metadata() else { continue };
            let age = disk_time.duration_since(metadata.modified()?).unwrap_or_default();
            if metadata.is_file() && age > STALE_AFTER {
                ignore_missing(std::fs::remove_file(entry.path()))?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// A file under `tmp/` that goes when this goes, also when an upload is dropped half-way.
pub(super) struct TemporaryFile {
    path: PathBuf,
}

impl TemporaryFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // What cannot be removed now is removed as stale at a later start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
