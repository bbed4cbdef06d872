//! Uploads of artifacts.

use drover_api::ArtifactView;
use drover_blob::{ByteStream, DeleteError, ExpectedContent, ObjectKey, PutError};
use drover_db::Tx;
use drover_store::artifacts::{self, ArtifactRow};
use drover_store::firmware::FirmwareRow;
use drover_store::objects::{self, ObjectRow};
use drover_store::unused_content;
use drover_types::{ErrorKind, FirmwareId, Permission, Sha256Digest, TenantId, Timestamp};

use crate::audit::{Audit, Entry};
use crate::firmware::{artifact_view, locked, named, shown, storage_path};
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
        if row.uploaded_at.is_some() && self.has_content(tenant, row.sha256).await {
            return Ok(artifact_view(row));
        }
        let size_bytes = u64::try_from(row.size_bytes).unwrap_or(0);
        if let Some(announced) = content_length.filter(|announced| *announced != size_bytes) {
            let detail = format!("the manifest says {size_bytes} bytes, the upload announces {announced}");
            return Err(Error::unprocessable("size_mismatch", detail));
        }
        self.expect_content(tenant, row.sha256).await?;
        let expected = ExpectedContent { size_bytes, sha256: row.sha256 };
        let stored = self.blobs.put(tenant, Some(&expected), self.settings.upload_max_bytes, body).await;
        stored.map_err(refused_upload)?;

        let now = self.now();
        let artifact = row.clone();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move { name_artifact(tx, tenant, &firmware, &artifact, now, &mut audit).await })
            })
            .await?;
        Ok(artifact_view(ArtifactRow { uploaded_at: Some(now), ..row }))
    }

    /// Whether content is there.
    pub(crate) async fn has_content(&self, tenant: TenantId, sha256: Sha256Digest) -> bool {
        self.blobs.head(&ObjectKey::content(tenant, sha256)).await.is_ok()
    }

    /// Notes that content is about to come: when a server is killed before it has its name, it goes again.
    async fn expect_content(&self, tenant: TenantId, sha256: Sha256Digest) -> Result<()> {
        let now = self.now();
        self.writer.write(move |tx| Box::pin(async move { expect(tx, tenant, sha256, now).await })).await
    }

    /// Removes content that was noted before `before` and that no artifact and no name stands for. Not when an upload
    /// that is under way announced it since; one that comes from here on is refused until it is gone.
    pub(crate) async fn remove_unused_content(
        &self,
        tenant: TenantId,
        sha256: Sha256Digest,
        before: Timestamp,
    ) -> Result<()> {
        let now = self.now();
        let claimed = self
            .writer
            .write(move |tx| {
                Box::pin(async move { Ok::<_, Error>(unused_content::claim(tx, tenant, sha256, before, now).await?) })
            })
            .await?;
        let Some(claim) = claimed else { return Ok(()) };
        let key = ObjectKey::content(tenant, sha256);
        let deleted = self.blobs.delete(&key).await;
        let is_refused = deleted.as_ref().is_err_and(DeleteError::is_refused);
        // When it is not known whether that worked, the claim stays until it no longer matters.
        if deleted.is_ok() || is_refused {
            self.writer
                .write(move |tx| {
                    Box::pin(async move {
                        if is_refused {
                            unused_content::give_up(tx, tenant, sha256, claim).await?;
                        } else {
                            unused_content::removed(tx, tenant, sha256, claim).await?;
                        }
                        Ok::<_, Error>(())
                    })
                })
                .await?;
        }
        deleted.map_err(|error| Error::internal("remove the artifact's bytes", error))
    }
}

/// Notes that content is about to exist; if nothing names it in the end, it goes.
pub(crate) async fn expect(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, now: Timestamp) -> Result<()> {
    if unused_content::note(tx, tenant, sha256, now).await? { Ok(()) } else { Err(being_removed()) }
}

/// The content has a name now.
pub(crate) async fn keep(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, now: Timestamp) -> Result<()> {
    if unused_content::forget(tx, tenant, sha256, now).await? { Ok(()) } else { Err(being_removed()) }
}

fn being_removed() -> Error {
    let detail =
        "the same bytes, which nothing used any more, are being removed at this moment; upload again in 15 minutes";
    Error::new(ErrorKind::Unavailable, "content_being_removed", detail)
}

/// Notes and records that the bytes of an artifact are there, and names them for presigned addresses.
pub(crate) async fn name_artifact(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: &FirmwareRow,
    artifact: &ArtifactRow,
    now: Timestamp,
    audit: &mut Audit,
) -> Result<()> {
    let before = locked(tx, tenant, firmware.id).await?;
    artifacts::set_uploaded(tx, tenant, firmware.id, &artifact.name, now).await?;
    keep(tx, tenant, artifact.sha256, now).await?;
    let object = ObjectRow {
        name: format!("{}/{}", storage_path(firmware), artifact.name),
        size_bytes: artifact.size_bytes,
        sha256: artifact.sha256,
        created_at: now,
    };
    if !objects::insert(tx, tenant, &object, Some(firmware.id)).await? {
        let there = objects::get(&mut *tx, tenant, &object.name).await?;
        if there.is_none_or(|there| there.sha256 != object.sha256) {
            return Err(crate::objects::name_taken(&object.name));
        }
    }
    let after = shown(&mut *tx, tenant, firmware.id).await?;
    let entry = Entry::changed("firmware", "upload_artifact", firmware.id, &before, &after)?;
    audit.record(tx, named(entry, &after).with("artifact", artifact.name.as_str())).await
}

/// What the sender of a refused upload is told.
pub(crate) fn refused_upload(error: PutError) -> Error {
    let code = match &error {
        PutError::TooLarge { .. } => "too_large",
        PutError::SizeMismatch { .. } => "size_mismatch",
        PutError::DigestMismatch { .. } => "digest_mismatch",
        PutError::PartChanged { .. } | PutError::PartsRefused { .. } => "parts_refused",
        PutError::Truncated { .. } => "truncated",
        PutError::NoSpace { .. } | PutError::DiskFull { .. } => "no_space",
        _ => "store_unavailable",
    };
    Error::new(error.kind(), code, error.to_string()).with_source(error)
}
