//! Storing an upload in the bucket.
//!
//! - A body of up to one part goes in a single request with `If-None-Match: *`, after it was checked: S3 itself
//!   refuses when the name exists.
//! - A longer one of known digest goes in parts to its name, completed only after it was checked. Whether the name
//!   exists is asked before the first part; two uploads of the same content at once both complete, with the same bytes.
//! - A longer one of unknown digest goes in parts to `tmp/`, and is copied to its name within S3 after it was checked.

use bytes::Bytes;
use drover_types::TenantId;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutPayload};

use super::multipart::{MAX_OBJECT_BYTES, PartBuffer, PartUpload, part_bytes};
use super::{S3Store, unwritable};
use crate::intake::Intake;
use crate::{ByteStream, ExpectedContent, ObjectKey, PutError, StoredBlob};

/// How a body ended.
enum Received {
    /// In less than a part: all of it.
    Short(Bytes),
    /// In parts, sent but not completed.
    Long(PartUpload),
}

impl Received {
    async fn discard(self) {
        if let Self::Long(upload) = self {
            upload.abort().await;
        }
    }
}

impl S3Store {
    pub(super) async fn store(
        &self,
        tenant: TenantId,
        expected: Option<&ExpectedContent>,
        max_bytes: u64,
        body: ByteStream,
    ) -> Result<StoredBlob, PutError> {
        let mut intake = Intake::new(body, expected, max_bytes.min(MAX_OBJECT_BYTES))?;
        let name = expected.map(|content| self.path(&ObjectKey::content(tenant, content.sha256)));
        if let (Some(content), Some(name)) = (expected, &name)
            && self.has(name, content.size_bytes).await?
        {
            let content = intake.drain().await?;
            return Ok(stored(tenant, content, true));
        }
        let first_path = match name {
            Some(name) => name,
            None => self.temporary_path().map_err(|source| PutError::disk("choose a temporary name", source))?,
        };
        let received = self.receive(&mut intake, &first_path).await?;
        let content = match intake.finish() {
            Ok(content) => content,
            Err(error) => {
                received.discard().await;
                return Err(error);
            }
        };
        let final_path = self.path(&ObjectKey::content(tenant, content.sha256));
        let already_there = match received {
            Received::Short(body) => self.create(&final_path, body).await?,
            Received::Long(upload) if first_path == final_path => upload.complete().await.map(|()| false)?,
            Received::Long(upload) => {
                self.complete_and_move(upload, &first_path, &final_path, content.size_bytes).await?
            }
        };
        Ok(stored(tenant, content, already_there))
    }

    /// Whether the object is there with the right size.
    pub(super) async fn has(&self, path: &Path, size_bytes: u64) -> Result<bool, PutError> {
        let found = self.size_bytes(path).await.map_err(unwritable("look up the object"))?;
        Ok(found == Some(size_bytes))
    }

    /// Reads the body to its end; what does not fit one part is on its way to `path`.
    async fn receive(&self, intake: &mut Intake, path: &Path) -> Result<Received, PutError> {
        let mut buffer = PartBuffer::new(part_bytes(intake.size_bound()));
        let mut upload = None;
        let received = self.receive_parts(intake, path, &mut buffer, &mut upload).await;
        match (received, upload) {
            (Ok(()), None) => Ok(Received::Short(buffer.rest())),
            (Ok(()), Some(upload)) => Ok(Received::Long(upload)),
            (Err(error), None) => Err(error),
            (Err(error), Some(upload)) => {
                upload.abort().await;
                Err(error)
            }
        }
    }

    async fn receive_parts(
        &self,
        intake: &mut Intake,
        path: &Path,
        buffer: &mut PartBuffer,
        upload: &mut Option<PartUpload>,
    ) -> Result<(), PutError> {
        while let Some(mut chunk) = intake.next().await? {
            while !chunk.is_empty() {
                let Some(part) = buffer.take(&mut chunk) else { continue };
                match upload {
                    Some(upload) => upload.send(part).await?,
                    None => upload.insert(PartUpload::start(&self.client, path).await?).send(part).await?,
                }
            }
        }
        match upload {
            Some(upload) => send_rest(upload, buffer.rest()).await,
            None => Ok(()),
        }
    }

    /// Stores a short body. True when the object was there already.
    async fn create(&self, path: &Path, body: Bytes) -> Result<bool, PutError> {
        let size_bytes = body.len() as u64;
        let payload = PutPayload::from(body);
        match self.client.put_opts(path, payload.clone(), PutMode::Create.into()).await {
            Ok(_) => return Ok(false),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(unwritable("store the object")(error)),
        }
        if self.has(path, size_bytes).await? {
            return Ok(true);
        }
        // Another size under the name of this content: damaged, so it is replaced.
        self.client.put(path, payload).await.map_err(unwritable("replace the damaged object"))?;
        Ok(false)
    }
}

async fn send_rest(upload: &mut PartUpload, rest: Bytes) -> Result<(), PutError> {
    if rest.is_empty() { Ok(()) } else { upload.send(rest).await }
}

fn stored(tenant: TenantId, content: ExpectedContent, already_there: bool) -> StoredBlob {
    let ExpectedContent { size_bytes, sha256 } = content;
    StoredBlob { key: ObjectKey::content(tenant, sha256), sha256, size_bytes, already_there }
}
