//! Uploads in parts, in the folder: `PATH/uploads/<tenant>/<upload>/<number>`.
//!
//! A part is written and synced in `tmp/` and renamed to its number, so a number always has a whole part. Publishing
//! first renames the folder, so that no part that is still coming gets in. Then it moves part after part into one file,
//! `whole`, and removes each behind itself: the disk needs room for one part more than the object has. A part that is
//! not there any more has been moved, so a publication that was killed goes on.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use drover_types::{Sha256Digest, TenantId, Timestamp, UploadId};

use super::put::link_durably;
use super::{FileStore, blocking, private_folder, sync_folder};
use crate::intake::{Intake, digest};
use crate::{
    ByteStream, ClearError, ExpectedContent, ObjectKey, PresignError, PresignedUrl, PutError, StagedPart, StagedUpload,
    StagingStore, StoredBlob,
};

const COPY_BYTES: usize = 256 * 1024;
/// Folders of tenants and uploads that one sweep looks at.
const SWEEP_MAX: usize = 100_000;

impl FileStore {
    fn staging_folder(&self, tenant: TenantId, id: UploadId) -> PathBuf {
        self.root.join("uploads").join(tenant.to_string()).join(id.to_string())
    }

    fn sealed_folder(&self, tenant: TenantId, id: UploadId) -> PathBuf {
        self.root.join("uploads").join(tenant.to_string()).join(format!("{id}.sealed"))
    }

    /// Keeps further parts out.
    async fn seal(&self, upload: &StagedUpload) -> Result<PathBuf, PutError> {
        let open = self.staging_folder(upload.tenant, upload.id);
        let sealed = self.sealed_folder(upload.tenant, upload.id);
        let to = sealed.clone();
        let renamed = blocking(move || match std::fs::rename(&open, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.is_dir() => Ok(()),
            renamed => renamed.and_then(|()| to.parent().map_or(Ok(()), sync_folder)),
        });
        renamed.await.map_err(|source| PutError::disk("close the upload", source))?;
        Ok(sealed)
    }

    /// Moves all parts into one file. Gives it and the digest of what it holds.
    async fn assemble(&self, folder: &Path, parts: &[StagedPart]) -> Result<(PathBuf, Sha256Digest), PutError> {
        let (place, path) = (folder.to_owned(), folder.join("whole"));
        let opening = path.clone();
        let opened = blocking(move || {
            let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(opening)?;
            sync_folder(&place)?;
            Ok(file)
        });
        let failed = |source| PutError::disk("put the parts together", source);
        let mut whole = Whole { file: opened.await.map_err(failed)?, size_bytes: 0, hash: Context::new(&SHA256) };
        for part in parts {
            let (folder, wanted) = (folder.to_owned(), part.clone());
            let moved = blocking(move || whole.take(&folder, &wanted)).await.map_err(failed)?;
            whole = moved.ok_or(PutError::PartChanged { number: part.number })?;
        }
        let finished = blocking(move || {
            whole.file.set_len(whole.size_bytes)?;
            whole.file.sync_all()?;
            Ok(digest(whole.hash))
        });
        Ok((path, finished.await.map_err(failed)?))
    }
}

/// The file that parts are moved into, as far as it has come.
struct Whole {
    file: File,
    size_bytes: u64,
    hash: Context,
}

impl Whole {
    /// Moves the next part in, or reads it again if it was moved before. None when it is not what was noted.
    fn take(mut self, folder: &Path, part: &StagedPart) -> io::Result<Option<Self>> {
        let path = folder.join(part.number.to_string());
        let is_right = match File::open(&path) {
            Ok(mut file) => {
                let is_right = self.copy(part, |buffer, _| file.read(buffer), true)?;
                if is_right {
                    self.file.sync_data()?;
                    std::fs::remove_file(&path)?;
                }
                is_right
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = self.file.try_clone()?;
                self.copy(part, |buffer, offset| file.read_at(buffer, offset), false)?
            }
            Err(error) => return Err(error),
        };
        self.size_bytes += part.size_bytes;
        Ok(is_right.then_some(self))
    }

    /// Reads a part with `read`, which is told where in the whole it stands. False when it is not what was noted.
    fn copy(
        &mut self,
        part: &StagedPart,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
        write: bool,
    ) -> io::Result<bool> {
        let mut buffer = vec![0; COPY_BYTES];
        let (mut done_bytes, mut hash) = (0, Context::new(&SHA256));
        while done_bytes < part.size_bytes {
            let left = usize::try_from(part.size_bytes - done_bytes).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let offset = self.size_bytes + done_bytes;
            let count = read(&mut buffer[..left], offset)?;
            if count == 0 {
                return Ok(false);
            }
            if write {
                self.file.write_all_at(&buffer[..count], offset)?;
            }
            self.hash.update(&buffer[..count]);
            hash.update(&buffer[..count]);
            done_bytes += count as u64;
        }
        Ok(part.sha256.is_none_or(|sha256| sha256 == digest(hash)))
    }
}

#[async_trait::async_trait]
impl StagingStore for FileStore {
    async fn stage(&self, tenant: TenantId, id: UploadId, size_bytes: u64) -> Result<String, PutError> {
        self.check_space(size_bytes).await?;
        let (folder, root) = (self.staging_folder(tenant, id), self.root.clone());
        let made = blocking(move || {
            private_folder().recursive(true).create(&folder)?;
            folder.ancestors().take_while(|ancestor| ancestor.starts_with(&root)).try_for_each(sync_folder)
        });
        made.await.map_err(|source| PutError::disk("make room for the upload", source))?;
        Ok(String::new())
    }

    async fn put_part(
        &self,
        upload: &StagedUpload,
        number: u32,
        size_bytes: u64,
        body: ByteStream,
    ) -> Result<StagedPart, PutError> {
        let mut intake = Intake::of_part(body, size_bytes);
        let guard = self.receive(&mut intake, Some(size_bytes)).await?;
        let content = intake.finish()?;
        let folder = self.staging_folder(upload.tenant, upload.id);
        let renamed = blocking(move || {
            std::fs::rename(guard.path(), folder.join(number.to_string()))?;
            sync_folder(&folder)
        });
        renamed.await.map_err(|source| PutError::disk("keep the part", source))?;
        Ok(StagedPart { number, size_bytes, sha256: Some(content.sha256), tag: String::new() })
    }

    fn has_part_urls(&self) -> bool {
        false
    }

    async fn part_url(
        &self,
        _: &StagedUpload,
        _: u32,
        _: Duration,
        _: Timestamp,
    ) -> Result<Option<PresignedUrl>, PresignError> {
        Ok(None)
    }

    async fn publish(
        &self,
        upload: &StagedUpload,
        parts: &[StagedPart],
        expected: &ExpectedContent,
    ) -> Result<StoredBlob, PutError> {
        let size_bytes = parts.iter().map(|part| part.size_bytes).sum();
        if size_bytes != expected.size_bytes {
            return Err(PutError::SizeMismatch { expected_bytes: expected.size_bytes, actual_bytes: size_bytes });
        }
        self.check_space(parts.iter().map(|part| part.size_bytes).max().unwrap_or(0)).await?;
        let folder = self.seal(upload).await?;
        let (whole, sha256) = self.assemble(&folder, parts).await?;
        if sha256 != expected.sha256 {
            return Err(PutError::DigestMismatch { expected: expected.sha256, actual: sha256 });
        }
        let key = ObjectKey::content(upload.tenant, sha256);
        let (root, name) = (self.root.clone(), key.to_string());
        let linked = blocking(move || link_durably(&root, &whole, &name, size_bytes)).await;
        let already_there = linked.map_err(|source| PutError::disk("name the object", source))?;
        Ok(StoredBlob { key, sha256, size_bytes, already_there })
    }

    async fn unstage(&self, tenant: TenantId, id: UploadId) -> Result<(), ClearError> {
        let folders = [self.staging_folder(tenant, id), self.sealed_folder(tenant, id)];
        let removed = blocking(move || folders.iter().try_for_each(|folder| remove_folder(folder))).await;
        removed.map_err(|source| ClearError { source: source.into() })
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, ClearError> {
        let (uploads, temporary) = (self.root.join("uploads"), self.temporary.clone());
        let swept = blocking(move || Ok(temporary.remove_stale()? + sweep_folders(&uploads, before)?)).await;
        swept.map_err(|source| ClearError { source: source.into() })
    }
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Removes the folders of uploads that got no part since `before`.
fn sweep_folders(uploads: &Path, before: Timestamp) -> io::Result<u64> {
    let mut removed = 0;
    for tenant in entries(uploads)? {
        for upload in entries(&tenant)? {
            // Another server may remove it at this moment.
            let Ok(modified) = std::fs::metadata(&upload).and_then(|metadata| metadata.modified()) else { continue };
            let since_1970 = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            if Timestamp::from_micros(0).plus(since_1970) < before {
                remove_folder(&upload)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found?.take(SWEEP_MAX).map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}
