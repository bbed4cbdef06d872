//! Room on the disk.

use std::io;
use std::path::Path;

use crate::PutError;

/// What is kept free by default: enough for the database and log on the same disk to go on for a while.
const DEFAULT_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// What uploads never take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reserve {
    bytes: Option<u64>,
}

impl Reserve {
    pub(super) const fn new(bytes: Option<u64>) -> Self {
        Self { bytes }
    }

    /// Refuses when `needed_bytes` more would touch the reserve.
    pub(super) fn check(self, folder: &Path, needed_bytes: u64) -> Result<(), PutError> {
        let disk = Disk::of(folder).map_err(|source| PutError::disk("ask the disk for its free space", source))?;
        let reserve_bytes = self.bytes.unwrap_or_else(|| DEFAULT_RESERVE_BYTES.min(disk.size_bytes / 100));
        if disk.free_bytes >= reserve_bytes.saturating_add(needed_bytes) {
            return Ok(());
        }
        Err(PutError::NoSpace { free_bytes: disk.free_bytes, reserve_bytes, needed_bytes })
    }
}

struct Disk {
    size_bytes: u64,
    /// What a user without privileges may still write.
    free_bytes: u64,
}

impl Disk {
    fn of(folder: &Path) -> io::Result<Self> {
        let figures = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
        Ok(Self { size_bytes: bytes(figures.f_blocks), free_bytes: bytes(figures.f_bavail) })
    }
}
