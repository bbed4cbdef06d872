//! Tokens with which devices register.

use drover_api::{EnrolmentToken, EnrolmentTokenCreate, EnrolmentTokenCreated, Page, PageQuery};
use drover_store::enrolment_tokens::{self, EnrolmentTokenRow};
use drover_types::{EnrolmentTokenId, Permission};

use crate::audit::Entry;
use crate::auth::is_past;
use crate::context::new_id;
use crate::idempotency::{Created, secret_shown_once};
use crate::page::Paging;
use crate::{App, Caller, Credential, CredentialKind, Error, IdempotencyKey, Result, validate};

impl App {
    /// The tenant's tokens, newest first.
    pub async fn enrolment_token_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<EnrolmentToken>> {
        let tenant = caller.authorize_tenant(Permission::EnrolmentTokensRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = enrolment_tokens::page(&self.db, tenant, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, view))
    }

    /// Makes a token.
    pub async fn enrolment_token_create(
        &self,
        caller: &Caller,
        body: EnrolmentTokenCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<EnrolmentTokenCreated> {
        let tenant = caller.authorize_tenant(Permission::EnrolmentTokensWrite)?;
        validate::text("name", &body.name, 100)?;
        if let Some(device_type) = &body.device_type {
            validate::device_type("device_type", device_type)?;
        }
        if body.max_uses == Some(0) {
            return Err(Error::field("max_uses", "must be at least 1"));
        }
        let now = self.now();
        if is_past(body.expires_at, now) {
            return Err(Error::field("expires_at", "must lie ahead"));
        }
        let id = new_id!(self, EnrolmentTokenId);
        let credential = Credential::generate(CredentialKind::Enrolment, tenant, id.0, &*self.random);
        let row = EnrolmentTokenRow {
            id,
            name: body.name,
            secret_sha256: credential.secret_sha256(),
            device_type: body.device_type,
            max_uses: body.max_uses.map(i64::from),
            uses: 0,
            created_at: now,
            expires_at: body.expires_at,
            revoked_at: None,
        };
        let (caller, stored, mut audit) = (caller.clone(), row.clone(), self.audit(caller, tenant));
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &caller, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok(Created::Before(before));
                    }
                    enrolment_tokens::insert(tx, tenant, &stored).await?;
                    let made = view(stored);
                    audit.record(tx, Entry::created("enrolment_token", id, &made)?.with("name", made.name)).await?;
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => {
                let token = credential.expose_with_pin(self.settings.server_pin);
                Ok(EnrolmentTokenCreated { enrolment_token: view(row), token })
            }
            Created::Before(_) => Err(secret_shown_once("enrolment token")),
        }
    }

    /// Revokes a token; devices that registered with it stay.
    pub async fn enrolment_token_revoke(&self, caller: &Caller, id: EnrolmentTokenId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::EnrolmentTokensWrite)?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let missing = || Error::not_found("valid enrolment token", id);
                    if !enrolment_tokens::revoke(tx, tenant, id, now).await? {
                        return Err(missing());
                    }
                    let after = enrolment_tokens::get(&mut *tx, tenant, id).await?.map(view).ok_or_else(missing)?;
                    let before = EnrolmentToken { revoked_at: None, ..after.clone() };
                    let entry = Entry::changed("enrolment_token", "revoke", id, &before, &after)?;
                    audit.record(tx, entry.with("name", after.name)).await
                })
            })
            .await
    }
}

pub(crate) fn view(row: EnrolmentTokenRow) -> EnrolmentToken {
    EnrolmentToken {
        id: row.id,
        name: row.name,
        device_type: row.device_type,
        max_uses: row.max_uses.map(|uses| u32::try_from(uses).unwrap_or(u32::MAX)),
        uses: u32::try_from(row.uses).unwrap_or(u32::MAX),
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    }
}
