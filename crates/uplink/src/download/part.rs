//! What is on disk of a download.

use std::io;
use std::path::{Path, PathBuf};

use drover_trust::Hasher;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use super::{Download, DownloadError};
use crate::durable::{self, with_suffix};

const READ_BYTES: usize = 256 * 1024;
/// An entity tag longer than this is not kept, in bytes.
const MAX_ETAG_BYTES: usize = 256;

/// The `.part` file, the digest of what is in it and the entity tag of where it came from.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    length: u64,
    expected_bytes: u64,
    etag: Option<String>,
}

/// Whether the file has its name already, and is right. A wrong one is removed.
pub(super) async fn already_there(request: &Download<'_>) -> Result<bool, DownloadError> {
    let failed = |source| DownloadError::io(request.dest, 0, request.size_bytes, source);
    let mut file = match File::open(request.dest).await {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
    };
    let mut hasher = Hasher::new();
    let length = hash_up_to(&mut file, &mut hasher, request.size_bytes.saturating_add(1)).await.map_err(failed)?;
    if length == request.size_bytes && hasher.finish() == request.sha256 {
        return Ok(true);
    }
    durable::remove_file(request.dest).map_err(failed)?;
    Ok(false)
}

impl Part {
    /// Opens or makes the `.part` file and hashes what is in it.
    pub(super) async fn open(dest: &Path, expected_bytes: u64) -> Result<Self, DownloadError> {
        let path = with_suffix(dest, ".part");
        let failed = |source| DownloadError::io(&path, 0, expected_bytes, source);
        let mut options = OpenOptions::new();
        // A link in its place would send the bytes elsewhere.
        options.read(true).write(true).create(true).truncate(false);
        options.custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()).mode(0o600);
        let mut file = options.open(&path).await.map_err(failed)?;
        let mut hasher = Hasher::new();
        let length = hash_up_to(&mut file, &mut hasher, expected_bytes.saturating_add(1)).await.map_err(failed)?;
        let etag = tokio::fs::read_to_string(with_suffix(&path, ".etag")).await.ok();
        let mut part = Self { path: path.clone(), file, hasher, length, expected_bytes, etag };
        if part.length > expected_bytes {
            part.clear().await?;
        }
        Ok(part)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    pub(super) fn failed(&self, source: io::Error) -> DownloadError {
        DownloadError::io(&self.path, self.length, self.expected_bytes, source)
    }

    /// Remembers where the bytes come from. A weak tag says nothing about bytes and is not kept.
    pub(super) fn remember_etag(&mut self, etag: Option<&str>) -> Result<(), DownloadError> {
        let strong = etag.filter(|tag| tag.starts_with('"') && tag.len() <= MAX_ETAG_BYTES);
        if strong == self.etag() {
            return Ok(());
        }
        let path = with_suffix(&self.path, ".etag");
        let written = match strong {
            Some(tag) => durable::replace_file(&path, tag.as_bytes(), 0o600),
            None => durable::remove_file(&path),
        };
        written.map_err(|source| self.failed(source))?;
        self.etag = strong.map(str::to_owned);
        Ok(())
    }

    pub(super) async fn append(&mut self, bytes: &[u8]) -> Result<(), DownloadError> {
        if let Err(source) = self.file.write_all(bytes).await {
            return Err(self.failed(source));
        }
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Waits until what was appended is in the file. The file counts what arrived, not what was promised to it.
    pub(super) async fn flush(&mut self) -> Result<(), DownloadError> {
        self.file.flush().await.map_err(|source| self.failed(source))
    }

    /// Throws away what is there.
    pub(super) async fn clear(&mut self) -> Result<(), DownloadError> {
        self.remember_etag(None)?;
        let emptied = async {
            self.file.flush().await?;
            self.file.set_len(0).await?;
            self.file.rewind().await
        };
        if let Err(source) = emptied.await {
            return Err(self.failed(source));
        }
        self.hasher = Hasher::new();
        self.length = 0;
        Ok(())
    }

    /// Removes the `.part` file: what is in it is known to be wrong.
    pub(super) fn remove(&self) -> Result<(), DownloadError> {
        let removed =
            durable::remove_file(&with_suffix(&self.path, ".etag")).and_then(|()| durable::remove_file(&self.path));
        removed.map_err(|source| self.failed(source))
    }

    /// Makes the bytes durable, checks their digest and gives the file its name.
    pub(super) async fn finish(mut self, request: &Download<'_>, resumed: bool) -> Result<(), DownloadError> {
        self.flush().await?;
        self.file.sync_data().await.map_err(|source| self.failed(source))?;
        let found = std::mem::replace(&mut self.hasher, Hasher::new()).finish();
        if found != request.sha256 {
            self.remove()?;
            return Err(DownloadError::DigestMismatch { expected: request.sha256, found, resumed });
        }
        let named = std::fs::rename(&self.path, request.dest)
            .and_then(|()| durable::remove_file(&with_suffix(&self.path, ".etag")))
            .and_then(|()| durable::sync_parent(request.dest));
        named.map_err(|source| self.failed(source))
    }
}

/// Hashes from the start, at most `limit_bytes`; returns how many there were. The file stands behind them then.
async fn hash_up_to(file: &mut File, hasher: &mut Hasher, limit_bytes: u64) -> io::Result<u64> {
    let mut buffer = vec![0_u8; READ_BYTES];
    let mut length = 0_u64;
    while length < limit_bytes {
        let count = file.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        length += count as u64;
    }
    Ok(length)
}
