//! Files of the own authority: whole or not there, and readable by this user only.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use tempfile::NamedTempFile;

use super::TlsError;

/// No certificate chain and no key is larger, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Makes the folder, when it is not there, for this user only.
pub(super) fn make_folder(folder: &Path) -> Result<(), TlsError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(TlsError::file("make the folder", folder))
}

/// The whole file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = || TlsError::file("read", path);
    let length = std::fs::metadata(path).map_err(failed())?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed()(std::io::ErrorKind::FileTooLarge.into()));
    }
    std::fs::read(path).map_err(failed())
}

/// The whole file, or none when it is not there.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, TlsError> {
    match read(path) {
        Err(TlsError::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Refuses a secret that others can read.
pub(super) fn require_private(path: &Path) -> Result<(), TlsError> {
    let mode = std::fs::metadata(path).map_err(TlsError::file("look at", path))?.mode();
    #[expect(clippy::verbose_bit_mask, reason = "rights are read in octal")]
    let is_private = mode & 0o077 == 0;
    if is_private { Ok(()) } else { Err(TlsError::Exposed { path: path.to_owned() }) }
}

/// Whether everybody on this machine can read the file. When nobody can tell, not.
pub(super) fn is_for_everybody(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|facts| facts.mode() & 0o004 != 0)
}

/// Writes a file that must not be there yet. When another process was faster, its file stays.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let written = draft(path, bytes).and_then(|file| match file.persist_noclobber(path) {
        Err(failed) if failed.error.kind() != std::io::ErrorKind::AlreadyExists => Err(failed.error),
        _ => sync_folder(path),
    });
    written.map_err(TlsError::file("write", path))
}

/// Writes a file in the place of the one that is there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let written = draft(path, bytes).and_then(|file| file.persist(path).map_err(|failed| failed.error));
    written.and_then(|_| sync_folder(path)).map_err(TlsError::file("write", path))
}

/// A temporary file beside `path`; such files have mode 0600.
fn draft(path: &Path, bytes: &[u8]) -> std::io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    std::fs::File::open(path.parent().unwrap_or(path))?.sync_all()
}
