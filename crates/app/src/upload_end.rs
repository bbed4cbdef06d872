//! The end of uploads: the parts become a whole, which gets its name when it is what was announced.
//!
//! Completing an upload only changes its state: then the parts are fixed. Whoever claims it next (the request itself
//! when it is short, otherwise a node in the background) has the object store read the whole back, and names it by
//! compare-and-set. All of this may be done twice, so a node that is killed is replaced by the next one that looks.

use std::time::Duration;

use drover_api::Upload;
use drover_blob::{ExpectedContent, StagedPart};
use drover_db::Tx;
use drover_store::objects::{self, ObjectRow};
use drover_store::uploads::{self, DueRow, PartRow, StateChange, UploadRow};
use drover_store::{artifacts, firmware};
use drover_types::{TenantId, Timestamp, UploadId, UploadKind, UploadState};

use crate::artifacts::{expect, keep, name_artifact};
use crate::audit::{Audit, Entry};
use crate::objects::name_object;
use crate::uploads::{UPLOAD_LEFT_AFTER, UPLOAD_TTL, as_bytes, may_write, parts_total, staged};
use crate::{App, Caller, Error, Result};

/// A whole of at most this length is read back before the request is answered.
const INLINE_MAX_BYTES: i64 = 16 * 1024 * 1024;
/// A node that died is replaced after this long.
const CLAIM: Duration = Duration::from_secs(30);
/// How soon something that failed for the moment is tried again, at first and at last: each try may read everything.
const RETRY_MIN: Duration = Duration::from_secs(30);
const RETRY_MAX: Duration = Duration::from_hours(1);
/// How the reason of one that failed for the moment ends.
const TRYING_AGAIN: &str = "; trying again";
/// How long an upload that ended can be looked up.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);
/// Missing parts that an error names.
const NAMED_MAX: usize = 10;

impl App {
    /// Ends an upload: its parts are fixed, put together and read back. It is `verifying` until that is done.
    pub async fn upload_complete(&self, caller: &Caller, id: UploadId) -> Result<Upload> {
        let (tenant, row) = self.upload_for(caller, id, may_write).await?;
        if row.state == UploadState::Open {
            self.close_upload(caller, tenant, &row).await?;
            if row.size_bytes <= INLINE_MAX_BYTES {
                let next_action_at = self.upload_row(tenant, id).await?.next_action_at;
                let looked = self.look_at_upload(DueRow { tenant_id: tenant, id, next_action_at }).await;
                if let Err(error) = looked {
                    tracing::warn!(error = &error as &dyn std::error::Error, upload = %id, "failed to end an upload");
                }
            } else {
                self.poke_uploads.notify_one();
            }
        }
        let upload = self.upload(tenant, id).await?;
        match upload.state {
            UploadState::Failed => {
                let detail = upload.reason.unwrap_or_else(|| "it failed: upload again".to_owned());
                Err(Error::unprocessable("upload_failed", detail))
            }
            UploadState::Aborted => Err(crate::upload_parts::closed(upload.state)),
            UploadState::Open | UploadState::Verifying | UploadState::Complete => Ok(upload),
        }
    }

    /// Fixes the parts, which must all be there.
    async fn close_upload(&self, caller: &Caller, tenant: TenantId, row: &UploadRow) -> Result<()> {
        let mut audit = self.audit(caller, tenant);
        let (id, sha256, total, now) = (row.id, row.sha256, parts_total(row), self.now());
        let change = StateChange { from: UploadState::Open, to: UploadState::Verifying, reason: None };
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !uploads::set_state(tx, tenant, id, &change, now).await? {
                        // Somebody else was faster; what he did is told to both.
                        return Ok(());
                    }
                    let parts = uploads::parts(&mut *tx, tenant, id).await?;
                    require_all(&parts, total)?;
                    expect(tx, tenant, sha256, now).await?;
                    uploads::set_completer(tx, tenant, id, &audit.completer()).await?;
                    let entry = Entry::new("upload", "complete", id).with("sha256", sha256.to_string());
                    audit.record(tx, entry).await
                })
            })
            .await
    }

    /// Does what is to be done about an upload now, unless somebody else has taken it.
    pub(crate) async fn look_at_upload(&self, due: DueRow) -> Result<()> {
        let until = self.now().plus(CLAIM);
        let claimed =
            self.writer.write(move |tx| Box::pin(async move { Ok::<_, Error>(uploads::claim(tx, due, until).await?) }));
        if !claimed.await? {
            return Ok(());
        }
        let Some(row) = uploads::get(&self.db, due.tenant_id, due.id).await? else { return Ok(()) };
        match row.state {
            UploadState::Open => self.expire_upload(due.tenant_id, &row).await,
            // However late it was completed: as long as its parts are there, it is tried again.
            UploadState::Verifying if row.created_at.plus(UPLOAD_LEFT_AFTER) <= self.now() => {
                let why = row.reason.as_deref().unwrap_or("it was never read to its end");
                self.fail_upload(due.tenant_id, &row, given_up(why.trim_end_matches(TRYING_AGAIN))).await?;
                self.clear_upload_soon(due.tenant_id, due.id).await;
                Ok(())
            }
            UploadState::Verifying => {
                tokio::select! {
                    done = self.finish_upload(due.tenant_id, &row) => done,
                    stopped = self.keep_claim(due.tenant_id, due.id) => stopped,
                }
            }
            UploadState::Complete | UploadState::Failed | UploadState::Aborted => {
                self.clear_upload(due.tenant_id, &row).await
            }
        }
    }

    /// Keeps others away while there is work, however long that takes; returns when the upload was given up.
    async fn keep_claim(&self, tenant: TenantId, id: UploadId) -> Result<()> {
        loop {
            tokio::time::sleep(CLAIM / 3).await;
            if !self.look_again(tenant, id, UploadState::Verifying, self.now().plus(CLAIM), None).await? {
                return Ok(());
            }
        }
    }

    /// Looks at it again at `at`; false when the upload is not in `state` any more.
    async fn look_again(
        &self,
        tenant: TenantId,
        id: UploadId,
        state: UploadState,
        at: Timestamp,
        reason: Option<String>,
    ) -> Result<bool> {
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    Ok::<_, Error>(uploads::postpone(tx, tenant, id, state, at, reason.as_deref()).await?)
                })
            })
            .await
    }

    async fn expire_upload(&self, tenant: TenantId, row: &UploadRow) -> Result<()> {
        let reason = format!("not completed within {} days", UPLOAD_TTL.as_secs() / 86_400);
        let change = StateChange { from: UploadState::Open, to: UploadState::Aborted, reason: Some(reason) };
        self.change_upload(tenant, row.id, change).await?;
        self.clear_upload_soon(tenant, row.id).await;
        Ok(())
    }

    async fn finish_upload(&self, tenant: TenantId, row: &UploadRow) -> Result<()> {
        let parts = uploads::parts(&self.db, tenant, row.id).await?;
        let parts: Vec<StagedPart> = parts.into_iter().map(staged_part).collect();
        let expected = ExpectedContent { size_bytes: as_bytes(row.size_bytes), sha256: row.sha256 };
        let published = self.blobs.publish(&staged(tenant, row), &parts, &expected).await;
        let outcome = match published {
            Ok(_) => self.name_upload(tenant, row).await,
            Err(error) => Err(crate::artifacts::refused_upload(error)),
        };
        match outcome {
            // Also when it was given up meanwhile: what was published since may have come after it was cleared away.
            Ok(_) => {}
            Err(error) if is_final(&error) => {
                tracing::info!(upload = %row.id, reason = %error, "an upload is not what was announced");
                self.fail_upload(tenant, row, error.to_string()).await?;
            }
            Err(error) => {
                let (reason, at) = (Some(format!("{error}{TRYING_AGAIN}")), retry_at(row.updated_at, self.now()));
                if self.look_again(tenant, row.id, UploadState::Verifying, at, reason).await? {
                    return Err(error);
                }
                // It was given up meanwhile: that its parts are gone is no error.
            }
        }
        self.clear_upload_soon(tenant, row.id).await;
        Ok(())
    }

    async fn fail_upload(&self, tenant: TenantId, row: &UploadRow, reason: String) -> Result<bool> {
        let (from, to) = (UploadState::Verifying, UploadState::Failed);
        self.change_upload(tenant, row.id, StateChange { from, to, reason: Some(reason) }).await
    }

    /// Gives the content the name that it was uploaded for, and records that as done by whoever completed the upload.
    /// False when the upload is not verifying any more.
    async fn name_upload(&self, tenant: TenantId, row: &UploadRow) -> Result<bool> {
        let by = uploads::completer(&self.db, tenant, row.id).await?;
        let (row, now, mut audit) = (row.clone(), self.now(), self.audit_completed(tenant, by));
        let change = StateChange { from: UploadState::Verifying, to: UploadState::Complete, reason: None };
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    if !uploads::set_state(tx, tenant, row.id, &change, now).await? {
                        return Ok(false);
                    }
                    match row.kind {
                        UploadKind::Artifact => name_as_artifact(tx, tenant, &row, now, &mut audit).await?,
                        UploadKind::Object => name_as_object(tx, tenant, &row, now, &mut audit).await?,
                    }
                    keep(tx, tenant, row.sha256, now).await?;
                    Ok::<_, Error>(true)
                })
            })
            .await
    }

    /// Removes the parts of an upload that ended; later also what is known of it.
    async fn clear_upload(&self, tenant: TenantId, row: &UploadRow) -> Result<()> {
        let (id, now) = (row.id, self.now());
        let cleared = self.blobs.unstage(tenant, id).await;
        cleared.map_err(|error| Error::internal("clear an upload away", error))?;
        let forget_at = row.ended_at.unwrap_or(now).plus(REMEMBERED);
        if forget_at <= now {
            return self
                .writer
                .write(move |tx| Box::pin(async move { Ok::<_, Error>(uploads::delete(tx, tenant, id).await?) }))
                .await;
        }
        self.look_again(tenant, id, row.state, forget_at, None).await.map(drop)
    }

    /// The same at once; what fails is done in the background.
    pub(crate) async fn clear_upload_soon(&self, tenant: TenantId, id: UploadId) {
        let cleared = match self.upload_row(tenant, id).await {
            Ok(row) if row.state.is_final() => self.clear_upload(tenant, &row).await,
            other => other.map(drop),
        };
        if let Err(error) = cleared {
            tracing::debug!(error = &error as &dyn std::error::Error, upload = %id, "an upload is cleared away later");
        }
    }
}

/// As long again as it has been tried already.
fn retry_at(completed_at: Timestamp, now: Timestamp) -> Timestamp {
    now.plus(now.since(completed_at).clamp(RETRY_MIN, RETRY_MAX))
}

fn given_up(why: &str) -> String {
    format!("not verified within {} days: {why}", UPLOAD_LEFT_AFTER.as_secs() / 86_400)
}

/// Trying again would end the same way.
fn is_final(error: &Error) -> bool {
    use drover_types::ErrorKind as E;
    matches!(error.kind, E::TooLarge | E::Unprocessable | E::Conflict | E::NotFound)
}

async fn name_as_artifact(
    tx: &mut Tx,
    tenant: TenantId,
    row: &UploadRow,
    now: Timestamp,
    audit: &mut Audit,
) -> Result<()> {
    let gone = || Error::not_found("artifact", format!("{} any more: its firmware was deleted", row.name));
    let id = row.firmware_id.ok_or_else(gone)?;
    let firmware = firmware::get(&mut *tx, tenant, id).await?.ok_or_else(gone)?;
    let rows = artifacts::of_firmware(&mut *tx, tenant, id).await?;
    let artifact = rows.into_iter().find(|artifact| artifact.name == row.name).ok_or_else(gone)?;
    name_artifact(tx, tenant, &firmware, &artifact, now, audit).await
}

async fn name_as_object(
    tx: &mut Tx,
    tenant: TenantId,
    row: &UploadRow,
    now: Timestamp,
    audit: &mut Audit,
) -> Result<()> {
    let object = ObjectRow { name: row.name.clone(), size_bytes: row.size_bytes, sha256: row.sha256, created_at: now };
    if name_object(tx, tenant, object, audit).await? {
        return Ok(());
    }
    let there = objects::get(&mut *tx, tenant, &row.name).await?;
    if there.is_some_and(|there| there.sha256 == row.sha256) {
        return Ok(());
    }
    Err(crate::objects::name_taken(&row.name))
}

fn require_all(parts: &[PartRow], total: u32) -> Result<()> {
    let there: std::collections::HashSet<i64> = parts.iter().map(|part| part.number).collect();
    let missing: Vec<String> =
        (1..=i64::from(total)).filter(|number| !there.contains(number)).map(|number| number.to_string()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let named = missing.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = missing.len().saturating_sub(NAMED_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Err(Error::conflict(
        "parts_missing",
        format!("not uploaded yet: parts {named}{more}; send them, then complete again"),
    ))
}

fn staged_part(row: PartRow) -> StagedPart {
    let PartRow { number, size_bytes, sha256, tag, .. } = row;
    StagedPart { number: u32::try_from(number).unwrap_or(0), size_bytes: as_bytes(size_bytes), sha256, tag }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_become_rare() {
        let completed_at = Timestamp::from_micros(0);
        let mut now = completed_at;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = retry_at(completed_at, now);
            waits.push(next.since(now).as_secs());
            now = next;
        }
        assert_eq!(waits, [30, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }
}
