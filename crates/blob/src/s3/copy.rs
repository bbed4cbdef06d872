//! From a temporary name to the name of the content.

use futures::StreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::multipart::{PartBuffer, PartUpload, part_bytes};
use super::{S3Store, unwritable};
use crate::PutError;

/// The longest object that S3 copies in one request.
pub(super) const COPY_LIMIT_BYTES: u64 = 5 * 1024 * 1024 * 1024;

impl S3Store {
    /// Completes an upload under its temporary name `from` and copies it to `to`. True when `to` was there already. The
    /// temporary object goes in any case, also when the future is dropped.
    pub(super) async fn complete_and_move(
        &self,
        upload: PartUpload,
        from: &Path,
        to: &Path,
        size_bytes: u64,
    ) -> Result<bool, PutError> {
        let guard = TemporaryObject { client: Some(self.client.clone()), path: from.clone() };
        let copied = match upload.complete().await {
            Ok(()) => self.copy_unless_there(from, to, size_bytes).await,
            Err(error) => Err(error),
        };
        let removed = guard.remove().await;
        let already_there = copied?;
        removed.map_err(unwritable("remove the temporary object"))?;
        Ok(already_there)
    }

    pub(super) async fn copy_unless_there(&self, from: &Path, to: &Path, size_bytes: u64) -> Result<bool, PutError> {
        if self.has(to, size_bytes).await? {
            return Ok(true);
        }
        if size_bytes <= self.copy_limit_bytes {
            self.client.copy(from, to).await.map_err(unwritable("copy the object to its name"))?;
        } else {
            self.copy_through(from, to, size_bytes).await?;
        }
        Ok(false)
    }

    /// S3 does not copy an object so long in one request: it passes through here, in parts.
    async fn copy_through(&self, from: &Path, to: &Path, size_bytes: u64) -> Result<(), PutError> {
        let mut upload = PartUpload::start(&self.client, to).await?;
        let copied = self.send_all(from, &mut upload, size_bytes).await;
        match copied {
            Ok(()) => upload.complete().await,
            Err(error) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn send_all(&self, from: &Path, upload: &mut PartUpload, size_bytes: u64) -> Result<(), PutError> {
        let failed = || unwritable("read the temporary object");
        let mut buffer = PartBuffer::new(part_bytes(size_bytes));
        let mut chunks = self.client.get(from).await.map_err(failed())?.into_stream();
        let mut copied_bytes = 0_u64;
        while let Some(chunk) = chunks.next().await {
            let mut chunk = chunk.map_err(failed())?;
            copied_bytes += chunk.len() as u64;
            while !chunk.is_empty() {
                if let Some(part) = buffer.take(&mut chunk) {
                    upload.send(part).await?;
                }
            }
        }
        if copied_bytes != size_bytes {
            let source = format!("{copied_bytes} of {size_bytes} bytes came back").into();
            return Err(PutError::Unavailable { action: "read the temporary object", source });
        }
        let rest = buffer.rest();
        if rest.is_empty() { Ok(()) } else { upload.send(rest).await }
    }
}

/// An object under `tmp/` that goes when this goes.
struct TemporaryObject {
    client: Option<object_store::aws::AmazonS3>,
    path: Path,
}

impl TemporaryObject {
    async fn remove(mut self) -> object_store::Result<()> {
        match self.client.take() {
            Some(client) => client.delete(&self.path).await,
            None => Ok(()),
        }
    }
}

impl Drop for TemporaryObject {
    fn drop(&mut self) {
        let (Some(client), Ok(runtime)) = (self.client.take(), tokio::runtime::Handle::try_current()) else { return };
        let path = self.path.clone();
        runtime.spawn(async move { client.delete(&path).await });
    }
}
