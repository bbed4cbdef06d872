//! Uploads in parts, in the bucket: one multipart upload of S3 to `[prefix/]uploads/<tenant>/<upload>`.
//!
//! S3 makes an object of the parts under that name; it is read back, and copied to the name of its content when it is
//! right. Nobody but this server can change it in between: the multipart upload, and with it every URL for a part, is
//! over.

use std::time::Duration;

use drover_types::{TenantId, Timestamp, UploadId};
use futures::TryStreamExt;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{ObjectStore, ObjectStoreExt};

use super::{S3Store, unwritable};
use crate::error::BoxError;
use crate::intake::Intake;
use crate::{
    ByteStream, ClearError, ExpectedContent, ObjectKey, PresignError, PresignedUrl, PutError, StagedPart, StagedUpload,
    StagingStore, StoredBlob, ttl,
};

/// Objects that one sweep looks at.
const SWEEP_MAX: usize = 10_000;

/// What S3 answers when these parts will never make an object.
const FINAL_ANSWERS: [&str; 5] = ["InvalidPart", "InvalidPartOrder", "EntityTooSmall", "NoSuchUpload", "MalformedXML"];

impl S3Store {
    fn staging_path(&self, tenant: TenantId, id: UploadId) -> Path {
        self.below_prefix(&format!("uploads/{tenant}/{id}"))
    }

    /// Makes one object of the parts, unless that was done before.
    async fn assemble(&self, path: &Path, upload: &StagedUpload, parts: &[StagedPart]) -> Result<u64, PutError> {
        let size = async || self.size_bytes(path).await.map_err(unwritable("look up the upload"));
        if let Some(size_bytes) = size().await? {
            return Ok(size_bytes);
        }
        let tags = parts.iter().map(|part| PartId { content_id: part.tag.clone() }).collect();
        let completed = self.client.complete_multipart(path, &upload.token, tags).await;
        match (completed, size().await?) {
            (_, Some(size_bytes)) => Ok(size_bytes),
            (Err(source), None) if is_final(&source) => Err(PutError::PartsRefused { source: source.into() }),
            (Err(source), None) => Err(unwritable("put the parts together")(source)),
            (Ok(_), None) => {
                let source = "the object is not there after it was completed".into();
                Err(PutError::Unavailable { action: "put the parts together", source })
            }
        }
    }

    async fn read_back(&self, path: &Path) -> Result<ByteStream, PutError> {
        let answer = self.client.get(path).await.map_err(unwritable("read the upload back"))?;
        Ok(Box::pin(answer.into_stream().map_err(std::io::Error::other)))
    }

    /// Reads what is under `path` and gives it its name.
    async fn verify_and_name(
        &self,
        path: &Path,
        tenant: TenantId,
        expected: &ExpectedContent,
    ) -> Result<StoredBlob, PutError> {
        let body = self.read_back(path).await?;
        if expected.size_bytes > self.copy_limit_bytes {
            // S3 does not copy an object so long: it is checked while it passes through here.
            return self.store(tenant, Some(expected), u64::MAX, body).await;
        }
        let content = Intake::new(body, Some(expected), u64::MAX)?.drain().await?;
        let key = ObjectKey::content(tenant, content.sha256);
        let already_there = self.copy_unless_there(path, &self.path(&key), content.size_bytes).await?;
        Ok(StoredBlob { key, sha256: content.sha256, size_bytes: content.size_bytes, already_there })
    }

    /// Whether we give objects such a name: others may use the bucket as well.
    pub(super) fn is_ours(&self, key: &str) -> bool {
        let name = if self.prefix.is_empty() { Some(key) } else { key.strip_prefix(&format!("{}/", self.prefix)) };
        let Some(name) = name else { return false };
        match name.split('/').collect::<Vec<_>>().as_slice() {
            ["t", ..] => name.parse::<ObjectKey>().is_ok(),
            ["tmp", token] => token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()),
            ["uploads", tenant, upload] => tenant.parse::<TenantId>().is_ok() && upload.parse::<UploadId>().is_ok(),
            _ => false,
        }
    }

    /// Removes temporary objects and finished uploads that nobody published.
    async fn sweep_objects(&self, before: Timestamp) -> object_store::Result<u64> {
        let mut removed = 0;
        for folder in ["tmp", "uploads"] {
            let folder = self.below_prefix(folder);
            let mut found = ObjectStore::list(&self.client, Some(&folder));
            let mut looked_at = 0;
            while let Some(object) = found.try_next().await? {
                let is_old = object.last_modified.timestamp_micros() < before.as_micros();
                if is_old && self.is_ours(object.location.as_ref()) {
                    self.remove(&object.location).await?;
                    removed += 1;
                }
                looked_at += 1;
                if looked_at >= SWEEP_MAX {
                    break;
                }
            }
        }
        Ok(removed)
    }
}

fn is_final(error: &object_store::Error) -> bool {
    // The library keeps S3's own word for it only in the text of its error.
    let text = format!("{error:?}");
    matches!(error, object_store::Error::NotFound { .. }) || FINAL_ANSWERS.iter().any(|answer| text.contains(answer))
}

/// What cannot be read back says nothing about the upload.
fn unreadable(error: PutError) -> PutError {
    match error {
        PutError::Truncated { source, .. } => {
            PutError::Unavailable { action: "read the upload back", source: source.into() }
        }
        other => other,
    }
}

#[async_trait::async_trait]
impl StagingStore for S3Store {
    async fn stage(&self, tenant: TenantId, id: UploadId, _: u64) -> Result<String, PutError> {
        let path = self.staging_path(tenant, id);
        self.client.create_multipart(&path).await.map_err(unwritable("start the upload"))
    }

    async fn put_part(
        &self,
        upload: &StagedUpload,
        number: u32,
        size_bytes: u64,
        body: ByteStream,
    ) -> Result<StagedPart, PutError> {
        let path = self.staging_path(upload.tenant, upload.id);
        let (tag, content) = self.send_part(&path, &upload.token, number, size_bytes, body).await?;
        Ok(StagedPart { number, size_bytes, sha256: Some(content.sha256), tag })
    }

    fn has_part_urls(&self) -> bool {
        true
    }

    async fn part_url(
        &self,
        upload: &StagedUpload,
        number: u32,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<PresignedUrl>, PresignError> {
        let seconds = ttl::seconds(ttl)?;
        let path = self.staging_path(upload.tenant, upload.id);
        let options = part_query(&upload.token, number);
        let lifetime = Duration::from_secs(seconds);
        let signed = self.public_client.signed_url_opts(Method::PUT, &path, lifetime, &options).await;
        let url = signed.map_err(|source| PresignError::Unavailable { source: source.into() })?;
        Ok(Some(PresignedUrl { url: url.into(), expires_at: ttl::expiry(now, seconds) }))
    }

    async fn publish(
        &self,
        upload: &StagedUpload,
        parts: &[StagedPart],
        expected: &ExpectedContent,
    ) -> Result<StoredBlob, PutError> {
        let path = self.staging_path(upload.tenant, upload.id);
        let actual_bytes = self.assemble(&path, upload, parts).await?;
        if actual_bytes != expected.size_bytes {
            return Err(PutError::SizeMismatch { expected_bytes: expected.size_bytes, actual_bytes });
        }
        self.verify_and_name(&path, upload.tenant, expected).await.map_err(unreadable)
    }

    async fn unstage(&self, tenant: TenantId, id: UploadId) -> Result<(), ClearError> {
        let failed = |source: BoxError| ClearError { source };
        let path = self.staging_path(tenant, id);
        for unfinished in self.unfinished(path.as_ref()).await.map_err(failed)? {
            if unfinished.key == path.as_ref() {
                self.abort(&unfinished).await.map_err(|source| failed(source.into()))?;
            }
        }
        self.remove(&path).await.map_err(|source| failed(source.into()))
    }

    async fn sweep(&self, before: Timestamp) -> Result<u64, ClearError> {
        let failed = |source: BoxError| ClearError { source };
        let mut removed = 0;
        for folder in ["t", "tmp", "uploads"] {
            let folder = format!("{}/", self.below_prefix(folder));
            for unfinished in self.unfinished(&folder).await.map_err(failed)? {
                let is_old = unfinished.started_at().is_some_and(|started_at| started_at < before);
                if is_old && self.is_ours(&unfinished.key) {
                    self.abort(&unfinished).await.map_err(|source| failed(source.into()))?;
                    removed += 1;
                }
            }
        }
        Ok(removed + self.sweep_objects(before).await.map_err(|source| failed(source.into()))?)
    }
}

pub(super) fn part_query(token: &str, number: u32) -> SignedUrlOptions {
    SignedUrlOptions::default().with_query([("partNumber", number.to_string()), ("uploadId", token.to_owned())])
}
