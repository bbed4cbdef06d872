//! Uploads in parts: begun, looked at, given up. `upload_parts` takes the parts, `upload_end` makes the whole of them.

use std::time::Duration;

use drover_api::{Page, Upload, UploadCreate, UploadFilter, UploadPart};
use drover_blob::{PART_MIN_BYTES, PARTS_MAX, PutError, StagedUpload};
use drover_store::uploads::{self, Filter, NewUpload, PartRow, StateChange, UploadRow};
use drover_store::{artifacts, objects};
use drover_types::{FirmwareId, Permission, TenantId, Timestamp, UploadId, UploadKind, UploadState};

use crate::artifacts::refused_upload;
use crate::audit::Entry;
use crate::context::new_id;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::{App, Caller, Error, IdempotencyKey, Result};

/// How long an upload may stay open.
pub(crate) const UPLOAD_TTL: Duration = Duration::from_hours(7 * 24);

/// What uploads leave in the object store when nobody knows them is older than any that is still known.
pub(crate) const UPLOAD_LEFT_AFTER: Duration = UPLOAD_TTL.saturating_add(Duration::from_hours(24));

/// Uploads of one tenant that have not ended. Two that begin at the same moment may go beyond it by one.
const UNFINISHED_MAX: i64 = 100;

/// The size of parts unless the caller or the size of the whole wants another.
const PART_DEFAULT_BYTES: u64 = 16 * 1024 * 1024;
const PART_MAX_BYTES: u64 = 1024 * 1024 * 1024;

impl App {
    /// The tenant's uploads that the caller may see, newest first.
    pub async fn upload_list(&self, caller: &Caller, query: &UploadFilter) -> Result<Page<Upload>> {
        let visible: Vec<UploadKind> =
            UploadKind::ALL.iter().copied().filter(|kind| caller.authorize_tenant(may_read(*kind)).is_ok()).collect();
        let kind = match (query.kind, visible.as_slice()) {
            (Some(wanted), _) => Some(wanted),
            (None, [only]) => Some(*only),
            (None, _) => None,
        };
        let tenant = caller.authorize_tenant(may_read(kind.unwrap_or(UploadKind::Artifact)))?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let filter = Filter { after: paging.after, state: query.state, kind, sha256: query.sha256 };
        let rows = uploads::page(&self.db, tenant, &filter, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, |row| self.upload_view_of(row, Vec::new())))
    }

    /// One upload with the parts that are there.
    pub async fn upload_view(&self, caller: &Caller, id: UploadId) -> Result<Upload> {
        let (tenant, _) = self.upload_for(caller, id, may_read).await?;
        self.upload(tenant, id).await
    }

    /// Begins an upload. What it must turn out to be is said now; of an artifact, the signed manifest has said it.
    pub async fn upload_create(
        &self,
        caller: &Caller,
        body: UploadCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Upload> {
        let tenant = caller.authorize_tenant(may_write(body.kind))?;
        let max_bytes = self.settings.upload_max_bytes;
        if body.size_bytes > max_bytes {
            return Err(refused_upload(PutError::TooLarge { max_bytes }));
        }
        let new = new_upload(new_id!(self, UploadId), &body, self.now().plus(UPLOAD_TTL))?;
        match body.firmware_id {
            Some(firmware) => self.check_artifact(tenant, firmware, &body).await?,
            None => self.check_object(tenant, &body).await?,
        }
        let (mut audit, caller, now, id) = (self.audit(caller, tenant), caller.clone(), self.now(), new.id);
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok(Created::Before(before));
                    }
                    if uploads::unfinished(&mut *tx, tenant).await? >= UNFINISHED_MAX {
                        let detail = format!("{UNFINISHED_MAX} uploads are under way: complete or abort some first");
                        return Err(Error::conflict("too_many_uploads", detail));
                    }
                    uploads::insert(tx, tenant, &new, now).await?;
                    let entry = Entry::new("upload", "create", id).with("name", body.name);
                    audit.record(tx, entry.with("sha256", body.sha256.to_string())).await?;
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        let id = match created {
            Created::Now => id,
            Created::Before(before) => UploadId(before),
        };
        if let Err(error) = self.stage_upload(tenant, id).await {
            let change =
                StateChange { from: UploadState::Open, to: UploadState::Failed, reason: Some(error.to_string()) };
            self.change_upload(tenant, id, change).await?;
            return Err(error);
        }
        self.upload(tenant, id).await
    }

    /// Gives an upload up and removes its parts. One that was given up or has failed is left as it is.
    pub async fn upload_abort(&self, caller: &Caller, id: UploadId) -> Result<()> {
        let (tenant, _) = self.upload_for(caller, id, may_write).await?;
        for from in [UploadState::Open, UploadState::Verifying] {
            let change = StateChange { from, to: UploadState::Aborted, reason: Some("given up on request".to_owned()) };
            let (mut audit, now) = (self.audit(caller, tenant), self.now());
            let changed = self.writer.write(move |tx| {
                Box::pin(async move {
                    if !uploads::set_state(tx, tenant, id, &change, now).await? {
                        return Ok(false);
                    }
                    audit.record(tx, Entry::new("upload", "abort", id)).await?;
                    Ok::<_, Error>(true)
                })
            });
            if changed.await? {
                self.clear_upload_soon(tenant, id).await;
                return Ok(());
            }
        }
        match self.upload_row(tenant, id).await?.state {
            UploadState::Complete => {
                Err(Error::conflict("upload_complete", "it is complete already: delete what it was for instead"))
            }
            _ => Ok(()),
        }
    }

    /// The upload, for a caller who has the permission that its kind `needs`.
    pub(crate) async fn upload_for(
        &self,
        caller: &Caller,
        id: UploadId,
        needs: fn(UploadKind) -> Permission,
    ) -> Result<(TenantId, UploadRow)> {
        // Who may do it for no kind learns nothing about any upload, and who sees nothing of its kind nothing about this.
        let some = caller.authorize_tenant(needs(UploadKind::Artifact));
        let tenant = some.or_else(|error| caller.authorize_tenant(needs(UploadKind::Object)).map_err(|_| error))?;
        let row = self.upload_row(tenant, id).await?;
        match caller.authorize_tenant(needs(row.kind)) {
            Ok(_) => Ok((tenant, row)),
            Err(refused) if caller.authorize_tenant(may_read(row.kind)).is_ok() => Err(refused),
            Err(_) => Err(Error::not_found("upload", id)),
        }
    }

    pub(crate) async fn upload_row(&self, tenant: TenantId, id: UploadId) -> Result<UploadRow> {
        uploads::get(&self.db, tenant, id).await?.ok_or_else(|| Error::not_found("upload", id))
    }

    pub(crate) async fn upload(&self, tenant: TenantId, id: UploadId) -> Result<Upload> {
        let row = self.upload_row(tenant, id).await?;
        // Who waits for the end asks often, and has no use for them.
        let parts = match row.state {
            UploadState::Verifying => Vec::new(),
            _ => uploads::parts(&self.db, tenant, id).await?,
        };
        Ok(self.upload_view_of(row, parts.iter().map(part_view).collect()))
    }

    /// Changes the state in a transaction of its own; false when it is another one meanwhile.
    pub(crate) async fn change_upload(&self, tenant: TenantId, id: UploadId, change: StateChange) -> Result<bool> {
        let now = self.now();
        self.writer
            .write(move |tx| {
                Box::pin(async move { Ok::<_, Error>(uploads::set_state(tx, tenant, id, &change, now).await?) })
            })
            .await
    }

    /// Tells the object store of an upload, unless that was done before. It may be done twice: the first token counts,
    /// and clearing finds what belongs to the other.
    pub(crate) async fn stage_upload(&self, tenant: TenantId, id: UploadId) -> Result<()> {
        let row = self.upload_row(tenant, id).await?;
        if row.token.is_some() || row.state != UploadState::Open {
            return Ok(());
        }
        let token = self.blobs.stage(tenant, id, as_bytes(row.size_bytes)).await.map_err(refused_upload)?;
        self.writer
            .write(move |tx| {
                Box::pin(async move { Ok::<_, Error>(uploads::set_token(tx, tenant, id, &token).await.map(drop)?) })
            })
            .await
    }

    /// The artifact is one of a draft, and is announced as it was signed.
    async fn check_artifact(&self, tenant: TenantId, firmware: FirmwareId, body: &UploadCreate) -> Result<()> {
        self.firmware_row(tenant, firmware).await?;
        let rows = artifacts::of_firmware(&self.db, tenant, firmware).await?;
        let row = rows.into_iter().find(|row| row.name == body.name);
        let row = row.ok_or_else(|| Error::not_found("artifact", &body.name))?;
        if row.size_bytes != i64::try_from(body.size_bytes).unwrap_or(-1) {
            let detail =
                format!("the manifest says {} bytes, the upload announces {}", row.size_bytes, body.size_bytes);
            return Err(Error::unprocessable("size_mismatch", detail));
        }
        if row.sha256 != body.sha256 {
            let detail = format!("the manifest says SHA-256 {}, the upload announces {}", row.sha256, body.sha256);
            return Err(Error::unprocessable("digest_mismatch", detail));
        }
        if row.uploaded_at.is_some() && self.has_content(tenant, row.sha256).await {
            return Err(Error::conflict("artifact_uploaded", "the bytes of this artifact are there already"));
        }
        Ok(())
    }

    async fn check_object(&self, tenant: TenantId, body: &UploadCreate) -> Result<()> {
        let name = crate::objects::object_name(&body.name)?;
        match objects::get(&self.db, tenant, name.as_str()).await? {
            None => Ok(()),
            Some(there) if there.sha256 == body.sha256 => {
                Err(Error::conflict("object_uploaded", "this name stands for exactly these bytes already"))
            }
            Some(_) => Err(crate::objects::name_taken(&body.name)),
        }
    }

    fn upload_view_of(&self, row: UploadRow, parts: Vec<UploadPart>) -> Upload {
        let parts_total = parts_total(&row);
        Upload {
            id: row.id,
            kind: row.kind,
            firmware_id: row.firmware_id,
            name: row.name,
            size_bytes: as_bytes(row.size_bytes),
            sha256: row.sha256,
            part_size_bytes: as_bytes(row.part_size_bytes),
            parts_total,
            parts_received: u32::try_from(row.parts_received).unwrap_or(0),
            bytes_received: as_bytes(row.bytes_received),
            direct: self.blobs.has_part_urls(),
            state: row.state,
            reason: row.reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
            expires_at: (row.state == UploadState::Open).then_some(row.created_at.plus(UPLOAD_TTL)),
            ended_at: row.ended_at,
            parts,
        }
    }
}

pub(crate) const fn may_write(kind: UploadKind) -> Permission {
    match kind {
        UploadKind::Artifact => Permission::FirmwareWrite,
        UploadKind::Object => Permission::ObjectsWrite,
    }
}

const fn may_read(kind: UploadKind) -> Permission {
    match kind {
        UploadKind::Artifact => Permission::FirmwareRead,
        UploadKind::Object => Permission::ObjectsRead,
    }
}

fn new_upload(id: UploadId, body: &UploadCreate, expires_at: Timestamp) -> Result<NewUpload> {
    match (body.kind, body.firmware_id) {
        (UploadKind::Artifact, None) => return Err(Error::field("firmware_id", "must name the artifact's firmware")),
        (UploadKind::Object, Some(_)) => return Err(Error::field("firmware_id", "is only for artifacts")),
        _ => {}
    }
    if body.size_bytes == 0 {
        return Err(Error::field("size_bytes", "must be at least 1: send what is empty in one request"));
    }
    let too_large = |_| Error::field("size_bytes", "is too large");
    let part_size_bytes = part_size(body.size_bytes, body.part_size_bytes)?;
    Ok(NewUpload {
        id,
        kind: body.kind,
        firmware_id: body.firmware_id,
        name: body.name.clone(),
        size_bytes: i64::try_from(body.size_bytes).map_err(too_large)?,
        sha256: body.sha256,
        part_size_bytes: i64::try_from(part_size_bytes).map_err(too_large)?,
        expires_at,
    })
}

/// The size of the parts: as wished, or as it fits.
fn part_size(size_bytes: u64, wished: Option<u64>) -> Result<u64> {
    let least = size_bytes.div_ceil(PARTS_MAX).max(PART_MIN_BYTES);
    let bytes = wished.unwrap_or_else(|| least.max(PART_DEFAULT_BYTES));
    if (least..=PART_MAX_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    Err(Error::field("part_size_bytes", format!("must be {least} to {PART_MAX_BYTES} for {size_bytes} bytes")))
}

/// How many parts there are to be.
pub(crate) fn parts_total(row: &UploadRow) -> u32 {
    let parts = as_bytes(row.size_bytes).div_ceil(as_bytes(row.part_size_bytes).max(1));
    u32::try_from(parts).unwrap_or(u32::MAX)
}

/// How long part `number` must be; none when there is no such part.
pub(crate) fn part_bytes(row: &UploadRow, number: u32) -> Option<u64> {
    let (whole, part) = (as_bytes(row.size_bytes), as_bytes(row.part_size_bytes));
    let start = u64::from(number.checked_sub(1)?).checked_mul(part)?;
    let rest = whole.checked_sub(start).filter(|rest| *rest > 0)?;
    Some(rest.min(part))
}

/// How the object store knows it.
pub(crate) fn staged(tenant: TenantId, row: &UploadRow) -> StagedUpload {
    StagedUpload { tenant, id: row.id, token: row.token.clone().unwrap_or_default() }
}

pub(crate) fn part_view(row: &PartRow) -> UploadPart {
    UploadPart {
        number: u32::try_from(row.number).unwrap_or(0),
        size_bytes: as_bytes(row.size_bytes),
        sha256: row.sha256,
        uploaded_at: row.uploaded_at,
    }
}

/// Sizes are never negative in the database.
pub(crate) fn as_bytes(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_fit_the_whole() {
        assert_eq!(part_size(1, None).unwrap(), 16 * MIB);
        assert_eq!(part_size(10_000 * 16 * MIB, None).unwrap(), 16 * MIB);
        assert_eq!(part_size(10_000 * 16 * MIB + 1, None).unwrap(), 16 * MIB + 1);
        assert_eq!(part_size(100 * MIB, Some(5 * MIB)).unwrap(), 5 * MIB);
        for wrong in [0, 5 * MIB - 1, 1024 * MIB + 1, u64::MAX] {
            assert!(part_size(100 * MIB, Some(wrong)).is_err(), "{wrong}");
        }
        assert!(part_size(10_000 * 5 * MIB + 1, Some(5 * MIB)).is_err());
    }
}
