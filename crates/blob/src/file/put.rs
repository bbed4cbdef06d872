//! Storing an upload in the folder.

use std::io;
use std::path::Path;

use drover_types::TenantId;
use tokio::io::{AsyncWriteExt, BufWriter};

use super::temporary::TemporaryFile;
use super::{FileStore, blocking, private_folder, sync_folder};
use crate::intake::Intake;
use crate::{ByteStream, ExpectedContent, ObjectKey, PutError, StoredBlob};

/// Bytes per write.
const WRITE_BYTES: usize = 256 * 1024;

/// How much may be written before the disk is asked again: others fill it too.
const BYTES_BETWEEN_CHECKS: u64 = 16 * 1024 * 1024;

impl FileStore {
    pub(super) async fn store(
        &self,
        tenant: TenantId,
        expected: Option<&ExpectedContent>,
        max_bytes: u64,
        body: ByteStream,
    ) -> Result<StoredBlob, PutError> {
        let mut intake = Intake::new(body, expected, max_bytes)?;
        if let Some(content) = expected
            && self.has(tenant, content).await?
        {
            let content = intake.drain().await?;
            return Ok(stored(tenant, content, true));
        }
        let announced_bytes = expected.map(|content| content.size_bytes);
        let guard = self.receive(&mut intake, announced_bytes).await?;
        let content = intake.finish()?;
        let already_there = self.publish(guard, tenant, content).await?;
        Ok(stored(tenant, content, already_there))
    }

    /// Whether the object is there with the right size.
    async fn has(&self, tenant: TenantId, content: &ExpectedContent) -> Result<bool, PutError> {
        match tokio::fs::metadata(self.path(&ObjectKey::content(tenant, content.sha256))).await {
            Ok(metadata) => Ok(metadata.len() == content.size_bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(PutError::disk("look up the object", source)),
        }
    }

    /// Writes the body to a temporary file and syncs it.
    pub(super) async fn receive(
        &self,
        intake: &mut Intake,
        announced_bytes: Option<u64>,
    ) -> Result<TemporaryFile, PutError> {
        let failed = |source| PutError::disk("write the upload", source);
        self.check_space(announced_bytes.unwrap_or(0)).await?;
        let temporary = self.temporary.clone();
        let (file, guard) = blocking(move || temporary.create()).await.map_err(failed)?;
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, tokio::fs::File::from_std(file));
        let (mut written_bytes, mut unchecked_bytes) = (0_u64, 0_u64);
        while let Some(chunk) = intake.next().await? {
            let chunk_bytes = chunk.len() as u64;
            (written_bytes, unchecked_bytes) = (written_bytes + chunk_bytes, unchecked_bytes + chunk_bytes);
            if unchecked_bytes >= BYTES_BETWEEN_CHECKS {
                unchecked_bytes = 0;
                let still_to_come = announced_bytes.map_or(0, |bytes| bytes.saturating_sub(written_bytes));
                self.check_space(still_to_come.saturating_add(chunk_bytes)).await?;
            }
            writer.write_all(&chunk).await.map_err(failed)?;
        }
        writer.flush().await.map_err(failed)?;
        writer.get_ref().sync_all().await.map_err(failed)?;
        Ok(guard)
    }

    pub(super) async fn check_space(&self, needed_bytes: u64) -> Result<(), PutError> {
        let (reserve, folder) = (self.reserve, self.temporary.path().to_owned());
        let checked = blocking(move || Ok(reserve.check(&folder, needed_bytes))).await;
        checked.map_err(|source| PutError::disk("ask the disk for its free space", source))?
    }

    /// Gives the file its name. True when the name was there already.
    async fn publish(
        &self,
        guard: TemporaryFile,
        tenant: TenantId,
        content: ExpectedContent,
    ) -> Result<bool, PutError> {
        let (root, name) = (self.root.clone(), ObjectKey::content(tenant, content.sha256).to_string());
        let published = blocking(move || link_durably(&root, guard.path(), &name, content.size_bytes)).await;
        published.map_err(|source| PutError::disk("name the object", source))
    }
}

fn stored(tenant: TenantId, content: ExpectedContent, already_there: bool) -> StoredBlob {
    let ExpectedContent { size_bytes, sha256 } = content;
    StoredBlob { key: ObjectKey::content(tenant, sha256), sha256, size_bytes, already_there }
}

/// Links `source` as `root/name`, making its folders. Linking never replaces; an object of another size is
/// damaged, as its name is the digest of its content, and is replaced.
pub(super) fn link_durably(root: &Path, source: &Path, name: &str, size_bytes: u64) -> io::Result<bool> {
    let target = root.join(name);
    let folder = target.parent().unwrap_or(root);
    private_folder().recursive(true).create(folder)?;
    let already_there = match std::fs::hard_link(source, &target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let whole = std::fs::metadata(&target)?.len() == size_bytes;
            if !whole {
                std::fs::rename(source, &target)?;
            }
            whole
        }
        linked => linked.map(|()| false)?,
    };
    // Also when it was there: whoever linked it may not have synced yet, and our answer promises that it stays.
    folder.ancestors().take_while(|ancestor| ancestor.starts_with(root)).try_for_each(sync_folder)?;
    Ok(already_there)
}
