//! Uploads of artifacts.

use drover_api::ArtifactView;
use drover_blob::{ByteStream, ExpectedContent, ObjectKey, PutError};
use drover_store::objects::{self, ObjectRow};
use drover_store::{artifacts, unused_content};
use drover_types::{FirmwareId, Permission, Sha256Digest, TenantId};

use crate::firmware::{artifact_view, storage_path};
use crate::{App, Caller, Error, Result};

impl App {
    /// Takes the bytes of an artifact. They are hashed while they stream and kept only when they are the signed ones.
    pub async fn artifact_upload(
        &self,
        caller: &Caller,
        id: FirmwareId,
        name: &str,
        content_length: Option<u64>,
        body: ByteStream,
    ) -> Result<ArtifactView> {
        let tenant = caller.authorize_tenant(Permission::FirmwareWrite)?;
        let firmware = self.firmware_row(tenant, id).await?;
        let rows = artifacts::of_firmware(&self.db, tenant, id).await?;
        let row = rows.into_iter().find(|row| row.name == name).ok_or_else(|| Error::not_found("artifact", name))?;
        let key = ObjectKey::content(tenant, row.sha256);
        if row.uploaded_at.is_some() && self.blobs.head(&key).await.is_ok() {
            return Ok(artifact_view(row));
        }
        let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
        if let Some(announced) = content_length.filter(|announced| *announced != size_bytes) {
            let detail = format!("the manifest says {size_bytes} bytes, the upload announces {announced}");
            return Err(Error::unprocessable("size_mismatch", detail));
        }
        let expected = ExpectedContent { size_bytes, sha256: row.sha256 };
        let stored = self.blobs.put(tenant, Some(&expected), self.settings.upload_max_bytes, body).await;
        stored.map_err(refused_upload)?;

        let now = self.now();
        let object = ObjectRow {
            name: format!("{}/{}", storage_path(&firmware), row.name),
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            created_at: now,
        };
        let artifact = row.name.clone();
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    artifacts::set_uploaded(tx, tenant, id, &artifact, now).await?;
                    unused_content::forget(tx, tenant, object.sha256).await?;
                    if !objects::insert(tx, tenant, &object, Some(id)).await? {
                        let there = objects::get(&mut *tx, tenant, &object.name).await?;
                        if there.is_none_or(|there| there.sha256 != object.sha256) {
                            return Err(crate::objects::name_taken(&object.name));
                        }
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(artifact_view(artifacts::ArtifactRow { uploaded_at: Some(now), ..row }))
    }

    /// Removes content that no artifact and no name stands for any more. Only for content that lost its last name long
    /// ago: an upload that is under way may be about to give it a new one.
    pub(crate) async fn remove_unused_content(&self, tenant: TenantId, sha256: Sha256Digest) -> Result<()> {
        let uses = artifacts::uses_of_content(&self.db, tenant, sha256).await?
            + objects::uses_of_content(&self.db, tenant, sha256).await?;
        if uses > 0 {
            return Ok(());
        }
        let key = ObjectKey::content(tenant, sha256);
        self.blobs.delete(&key).await.map_err(|error| Error::internal("remove the artifact's bytes", error))
    }
}

/// What the sender of a refused upload is told.
pub(crate) fn refused_upload(error: PutError) -> Error {
    let code = match &error {
        PutError::TooLarge { .. } => "too_large",
        PutError::SizeMismatch { .. } => "size_mismatch",
        PutError::DigestMismatch { .. } => "digest_mismatch",
        PutError::Truncated { .. } => "truncated",
        PutError::NoSpace { .. } | PutError::DiskFull { .. } => "no_space",
        _ => "store_unavailable",
    };
    Error::new(error.kind(), code, error.to_string()).with_source(error)
}
