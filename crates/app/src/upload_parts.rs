//! The parts of uploads.

use std::time::Duration;

use drover_api::{PartDone, PartUrl, PartUrls, PartUrlsRequest, UploadPart};
use drover_blob::{ByteStream, StagedPart};
use drover_store::uploads::{self, PartRow, UploadRow};
use drover_types::{TenantId, UploadId, UploadState};

use crate::artifacts::refused_upload;
use crate::uploads::{may_write, part_bytes, part_view, parts_total, staged};
use crate::{App, Caller, Error, Result};

/// How long the address of a part works.
const PART_URL_TTL: Duration = Duration::from_hours(1);
/// Addresses per request.
const PART_URLS_MAX: usize = 100;

impl App {
    /// Takes a part, again if need be: until the upload is completed, the last one of a number counts.
    pub async fn upload_part_put(
        &self,
        caller: &Caller,
        id: UploadId,
        number: u32,
        content_length: Option<u64>,
        body: ByteStream,
    ) -> Result<UploadPart> {
        let (tenant, row) = self.open_upload(caller, id).await?;
        let size_bytes = wanted_bytes(&row, number)?;
        if let Some(announced) = content_length.filter(|announced| *announced != size_bytes) {
            let detail = format!("part {number} has {size_bytes} bytes, the request announces {announced}");
            return Err(Error::unprocessable("size_mismatch", detail));
        }
        let part = self.blobs.put_part(&staged(tenant, &row), number, size_bytes, body).await;
        match part {
            Ok(part) => self.note_part(tenant, id, part).await,
            // Whoever completed or gave up the upload took the part's place away.
            Err(error) => {
                self.open_upload(caller, id).await?;
                Err(refused_upload(error))
            }
        }
    }

    /// Addresses to which parts can be sent directly.
    pub async fn upload_part_urls(&self, caller: &Caller, id: UploadId, body: &PartUrlsRequest) -> Result<PartUrls> {
        let (tenant, row) = self.open_upload(caller, id).await?;
        if !(1..=PART_URLS_MAX).contains(&body.numbers.len()) {
            return Err(Error::field("numbers", format!("must be 1 to {PART_URLS_MAX} numbers")));
        }
        let upload = staged(tenant, &row);
        let mut items = Vec::with_capacity(body.numbers.len());
        for number in body.numbers.iter().copied() {
            let size_bytes = wanted_bytes(&row, number)?;
            let signed = self.blobs.part_url(&upload, number, PART_URL_TTL, self.now()).await;
            let signed = signed.map_err(|error| Error::internal("sign an address", error))?.ok_or_else(not_direct)?;
            items.push(PartUrl { number, url: signed.url, size_bytes, expires_at: signed.expires_at });
        }
        Ok(PartUrls { items })
    }

    /// Notes a part that went to the object store directly.
    pub async fn upload_part_done(
        &self,
        caller: &Caller,
        id: UploadId,
        number: u32,
        body: PartDone,
    ) -> Result<UploadPart> {
        let (tenant, row) = self.open_upload(caller, id).await?;
        let size_bytes = wanted_bytes(&row, number)?;
        if !self.blobs.has_part_urls() {
            return Err(not_direct());
        }
        if !body.is_usable() {
            return Err(Error::field("etag", "must be the ETag of the object store's answer, unchanged"));
        }
        self.note_part(tenant, id, StagedPart { number, size_bytes, sha256: None, tag: body.etag }).await
    }

    /// The upload, if the caller may send parts of it now.
    async fn open_upload(&self, caller: &Caller, id: UploadId) -> Result<(TenantId, UploadRow)> {
        let (tenant, mut row) = self.upload_for(caller, id, may_write).await?;
        if row.token.is_none() {
            // Whoever began it was stopped before the object store was told of it.
            self.stage_upload(tenant, id).await?;
            row = self.upload_row(tenant, id).await?;
        }
        if row.state == UploadState::Open { Ok((tenant, row)) } else { Err(closed(row.state)) }
    }

    async fn note_part(&self, tenant: TenantId, id: UploadId, part: StagedPart) -> Result<UploadPart> {
        let size_bytes = i64::try_from(part.size_bytes).map_err(|error| Error::internal("note a part", error))?;
        let StagedPart { number, sha256, tag, .. } = part;
        let row = PartRow { number: number.into(), size_bytes, sha256, tag, uploaded_at: self.now() };
        let noted = row.clone();
        let is_open = self
            .writer
            .write(move |tx| Box::pin(async move { Ok::<_, Error>(uploads::put_part(tx, tenant, id, &noted).await?) }))
            .await?;
        if is_open { Ok(part_view(&row)) } else { Err(closed(self.upload_row(tenant, id).await?.state)) }
    }
}

fn wanted_bytes(row: &UploadRow, number: u32) -> Result<u64> {
    part_bytes(row, number)
        .ok_or_else(|| Error::field("number", format!("must be 1 to {}: part {number} is not", parts_total(row))))
}

pub(crate) fn closed(state: UploadState) -> Error {
    Error::conflict("upload_closed", format!("the upload is {state}: it takes no parts any more"))
}

fn not_direct() -> Error {
    Error::conflict("upload_not_direct", "the objects are on this server: send parts to it")
}
