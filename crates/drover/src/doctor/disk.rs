//! Room on the disk of the data folder.

use std::io;
use std::path::Path;

use super::finding::Finding;

const NAME: &str = "disk";
const MIB: u64 = 1024 * 1024;
/// Below this, uploads are refused.
const FREE_MIN_BYTES: u64 = 256 * MIB;
/// Below this, somebody should look.
const FREE_LOW_BYTES: u64 = 2048 * MIB;
const FREE_LOW_PERCENT: u64 = 5;
const FILES_LOW: u64 = 1_000;

/// What is left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    size_bytes: u64,
    free_bytes: u64,
    /// Files that can still be made; some file systems have no limit and say 0 of 0.
    free_files: Option<u64>,
}

/// Asks the disk of an existing folder.
pub(crate) fn look(path: &Path) -> io::Result<Facts> {
    let figures = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(figures.f_frsize);
    let free_files = (figures.f_files > 0).then_some(figures.f_favail);
    Ok(Facts { size_bytes: bytes(figures.f_blocks), free_bytes: bytes(figures.f_bavail), free_files })
}

/// Says whether it is enough.
pub(crate) fn judge(facts: &io::Result<Facts>) -> Finding {
    let next = "free space on this disk, or move the data folder to a larger one";
    let facts = match facts {
        Ok(facts) => facts,
        Err(error) => return Finding::warn(NAME, format!("its free space is not known: {error}"), next),
    };
    let Facts { size_bytes, free_bytes, free_files } = *facts;
    let free_percent = free_bytes.saturating_mul(100) / size_bytes.max(1);
    let seen = format!("{} MiB free of {} MiB ({free_percent} %)", free_bytes / MIB, size_bytes / MIB);
    if free_bytes < FREE_MIN_BYTES {
        return Finding::fail(NAME, seen, next);
    }
    if let Some(files) = free_files.filter(|files| *files < FILES_LOW) {
        return Finding::fail(NAME, format!("{files} files can still be made"), next);
    }
    if free_bytes < FREE_LOW_BYTES || free_percent < FREE_LOW_PERCENT {
        return Finding::warn(NAME, seen, next);
    }
    Finding::ok(NAME, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn little_room_is_told_before_there_is_none() {
        let level = |size_mib: u64, free_mib: u64, files: Option<u64>| {
            judge(&Ok(Facts { size_bytes: size_mib * MIB, free_bytes: free_mib * MIB, free_files: files })).level
        };
        assert_eq!(level(100_000, 50_000, Some(1_000_000)), Level::Ok);
        assert_eq!(level(100_000, 50_000, None), Level::Ok);
        assert_eq!(level(100_000, 1_500, None), Level::Warn);
        assert_eq!(level(100_000, 4_000, None), Level::Warn);
        assert_eq!(level(100_000, 200, None), Level::Fail);
        assert_eq!(level(100_000, 50_000, Some(3)), Level::Fail);
        assert_eq!(judge(&Err(io::ErrorKind::NotFound.into())).level, Level::Warn);
        assert!(look(Path::new("/")).is_ok());
    }
}
