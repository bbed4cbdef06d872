//! Objects in a folder.
//!
//! `PATH/t/<tenant>/sha256/<ab>/<hex>` are the objects, `PATH/tmp/` holds uploads. An upload is written and synced in
//! `tmp/`, then linked under its name, which fails when the name exists; so a name always has its whole content.
//! `PATH/uploads/` holds the parts of uploads that come in parts.

mod put;
mod space;
mod staging;
mod temporary;

use std::io;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_types::{TenantId, Timestamp};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::signed_url::FileUrlSigner;
use crate::{
    BlobInfo, BlobStore, ByteStream, CheckError, DeleteError, ExpectedContent, GetError, ObjectKey, PresignError,
    PresignMethod, PresignedUrl, PutError, StoredBlob, file_name, ttl,
};
use space::Reserve;
use temporary::TemporaryFolder;

/// Bytes per read of an object.
const READ_BYTES: usize = 64 * 1024;

/// A folder of objects.
pub(crate) struct FileStore {
    root: PathBuf,
    temporary: TemporaryFolder,
    reserve: Reserve,
    signer: FileUrlSigner,
}

impl FileStore {
    /// Makes the folder where it is missing, sees that it can be written to, and clears old uploads.
    pub(crate) fn open(root: PathBuf, signer: FileUrlSigner, reserve_bytes: Option<u64>) -> io::Result<Self> {
        private_folder().recursive(true).create(&root)?;
        let temporary = TemporaryFolder::open(root.join("tmp"))?;
        temporary.remove_stale()?;
        Ok(Self { reserve: Reserve::new(reserve_bytes), root, temporary, signer })
    }

    fn path(&self, key: &ObjectKey) -> PathBuf {
        self.root.join(key.to_string())
    }
}

#[async_trait::async_trait]
impl BlobStore for FileStore {
    async fn put(
        &self,
        tenant: TenantId,
        expected: Option<&ExpectedContent>,
        max_bytes: u64,
        body: ByteStream,
    ) -> Result<StoredBlob, PutError> {
        self.store(tenant, expected, max_bytes, body).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<BlobInfo, GetError> {
        let found = tokio::fs::metadata(self.path(key)).await;
        let metadata = found.map_err(|source| read_error(key, "look up the object", source))?;
        Ok(BlobInfo { size_bytes: metadata.len(), etag: key.etag() })
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ByteStream, GetError> {
        let failed = |source| read_error(key, "read the object", source);
        let mut file = tokio::fs::File::open(self.path(key)).await.map_err(failed)?;
        let size_bytes = file.metadata().await.map_err(failed)?.len();
        let wanted = inside(range, size_bytes)?;
        file.seek(io::SeekFrom::Start(wanted.start)).await.map_err(failed)?;
        let part = file.take(wanted.end - wanted.start);
        Ok(Box::pin(ReaderStream::with_capacity(part, READ_BYTES)))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), DeleteError> {
        let path = self.path(key);
        let removed = blocking(move || remove_durably(&path)).await;
        removed.map_err(|source| DeleteError { key: *key, source: source.into() })
    }

    async fn presign(
        &self,
        method: PresignMethod,
        key: &ObjectKey,
        ttl: Duration,
        now: Timestamp,
        file_name: Option<&str>,
    ) -> Result<PresignedUrl, PresignError> {
        file_name.map_or(Ok(()), file_name::check)?;
        let expires_at = ttl::expiry(now, ttl::seconds(ttl)?);
        Ok(PresignedUrl { url: self.signer.sign(method, key, expires_at, file_name), expires_at })
    }

    async fn check(&self) -> Result<(), CheckError> {
        let temporary = self.temporary.clone();
        let probe = blocking(move || temporary.probe().map(drop));
        let limit = Duration::from_secs(10);
        let answer = tokio::time::timeout(limit, probe).await.map_err(|_| CheckError::Timeout { limit })?;
        answer.map_err(|source| CheckError::Unavailable { source: source.into() })
    }
}

/// The asked bytes, or all of them.
pub(crate) fn inside(range: Option<Range<u64>>, size_bytes: u64) -> Result<Range<u64>, GetError> {
    let Some(range) = range else { return Ok(0..size_bytes) };
    if range.start < range.end && range.end <= size_bytes {
        return Ok(range);
    }
    Err(GetError::RangeOutside { start: range.start, end: range.end, size_bytes })
}

fn read_error(key: &ObjectKey, action: &'static str, source: io::Error) -> GetError {
    match source.kind() {
        io::ErrorKind::NotFound => GetError::NotFound { key: *key },
        _ => GetError::Unavailable { action, source: source.into() },
    }
}

fn remove_durably(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the folder's entries durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Folders that nobody else can look into.
fn private_folder() -> std::fs::DirBuilder {
    let mut builder = std::fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// Runs system calls that may wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;
