//! Files and folders that are made below one folder, never through a link.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use drover_trust::Hasher;
use drover_types::Sha256Digest;
use rustix::fs::{CWD, Mode, OFlags, fchmod, mkdirat, openat, syncfs};
use serde::{Deserialize, Serialize};

use super::{UnpackError, path};

/// A file that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    /// Its path below the slot's content.
    pub(crate) path: String,
    /// Its size, in bytes.
    pub(crate) size_bytes: u64,
    /// The digest of its bytes as they were written.
    pub(crate) sha256: Sha256Digest,
}

/// The folder that grows, and what may still be added to it.
pub(super) struct Tree {
    top: OwnedFd,
    folders: BTreeSet<String>,
    named: BTreeSet<String>,
    files: Vec<FileEntry>,
    limit_bytes: u64,
    left_bytes: u64,
    limit_entries: u64,
    left_entries: u64,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Tree {
    pub(super) fn open(target: &Path) -> Result<Self, UnpackError> {
        let top = openat(CWD, target, FOLDER, Mode::empty())
            .map_err(|error| UnpackError::write(&target.display().to_string(), error.into()))?;
        Ok(Self {
            top,
            folders: BTreeSet::new(),
            named: BTreeSet::new(),
            files: Vec::new(),
            limit_bytes: 0,
            left_bytes: 0,
            limit_entries: 0,
            left_entries: 0,
        })
    }

    /// Sets the limits for what comes now.
    pub(super) fn begin(&mut self, limit_bytes: u64, limit_entries: u64) {
        (self.limit_bytes, self.left_bytes) = (limit_bytes, limit_bytes);
        (self.limit_entries, self.left_entries) = (limit_entries, limit_entries);
    }

    /// Makes a folder that the archive names.
    pub(super) fn make_folder(&mut self, name: &str) -> Result<(), UnpackError> {
        let names = path::split(name)?;
        if names.is_empty() {
            return Ok(());
        }
        self.claim(&names)?;
        self.enter(&names).map(drop)
    }

    /// Writes a file that the archive names.
    pub(super) fn write_file(&mut self, name: &str, mode: u32, content: &mut impl Read) -> Result<(), UnpackError> {
        let names = path::split(name)?;
        let Some((last, parents)) = names.split_last() else {
            return Err(UnpackError::Path { path: name.to_owned(), reason: "it names no file" });
        };
        let path = self.claim(&names)?;
        if self.folders.contains(&path) {
            return Err(UnpackError::Duplicate { path });
        }
        self.count_entry()?;
        let parent = self.enter(parents)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = match &parent {
            Some(parent) => openat(parent, *last, flags, Mode::RUSR | Mode::WUSR),
            None => openat(&self.top, *last, flags, Mode::RUSR | Mode::WUSR),
        };
        let failed = |source: io::Error| UnpackError::write(&path, source);
        let mut file = File::from(opened.map_err(|error| failed(error.into()))?);
        let (sha256, size_bytes) = self.copy(content, &mut file, &path)?;
        // Neither setuid nor writable for others, whatever the archive says.
        let bits = Mode::from_bits_truncate((mode & 0o755) | 0o600);
        fchmod(&file, bits).map_err(|error| failed(error.into()))?;
        self.files.push(FileEntry { path, size_bytes, sha256 });
        Ok(())
    }

    fn copy(
        &mut self,
        content: &mut impl Read,
        file: &mut File,
        path: &str,
    ) -> Result<(Sha256Digest, u64), UnpackError> {
        let mut hasher = Hasher::new();
        let mut buffer = vec![0_u8; 64 * 1024];
        let mut size_bytes = 0_u64;
        loop {
            let count = content.read(&mut buffer).map_err(UnpackError::read)?;
            if count == 0 {
                return Ok((hasher.finish(), size_bytes));
            }
            let limit_bytes = self.limit_bytes;
            self.left_bytes =
                self.left_bytes.checked_sub(count as u64).ok_or(UnpackError::TooManyBytes { limit_bytes })?;
            file.write_all(&buffer[..count]).map_err(|source| UnpackError::write(path, source))?;
            hasher.update(&buffer[..count]);
            size_bytes += count as u64;
        }
    }

    /// Marks a path as named by the archive; once is enough.
    fn claim(&mut self, names: &[&str]) -> Result<String, UnpackError> {
        let path = names.join("/");
        if self.named.insert(path.clone()) { Ok(path) } else { Err(UnpackError::Duplicate { path }) }
    }

    fn count_entry(&mut self) -> Result<(), UnpackError> {
        let limit = self.limit_entries;
        self.left_entries = self.left_entries.checked_sub(1).ok_or(UnpackError::TooManyEntries { limit })?;
        Ok(())
    }

    /// Opens the folder of these names, making what is not there. None is the top.
    fn enter(&mut self, names: &[&str]) -> Result<Option<OwnedFd>, UnpackError> {
        let mut folder: Option<OwnedFd> = None;
        let mut path = String::new();
        for name in names {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
            let is_new = !self.folders.contains(&path);
            if is_new {
                self.count_entry()?;
            }
            let parent = folder.as_ref().map_or_else(|| self.top.as_fd(), AsFd::as_fd);
            let failed = |error: rustix::io::Errno| UnpackError::write(&path, error.into());
            if is_new {
                match mkdirat(parent, *name, Mode::from_bits_truncate(0o755)) {
                    // A file has this name: an entry cannot lie below it.
                    Err(rustix::io::Errno::EXIST) => return Err(UnpackError::Duplicate { path }),
                    made => made.map_err(failed)?,
                }
            }
            let opened = openat(parent, *name, FOLDER, Mode::empty()).map_err(failed)?;
            if is_new {
                fchmod(&opened, Mode::from_bits_truncate(0o755)).map_err(failed)?;
                self.folders.insert(path.clone());
            }
            folder = Some(opened);
        }
        Ok(folder)
    }

    /// Makes everything durable at once: far cheaper than file by file.
    pub(super) fn sync(&self) -> Result<(), UnpackError> {
        syncfs(&self.top).map_err(|error| UnpackError::write(".", error.into()))
    }

    pub(super) fn into_files(self) -> Vec<FileEntry> {
        self.files
    }
}
