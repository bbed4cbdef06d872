//! Keys for programs.

use drover_api::{ApiKey, ApiKeyCreate, ApiKeyCreated, Page, PageQuery};
use drover_store::api_keys::{self, ApiKeyRow};
use drover_types::{ApiKeyId, ErrorKind, Permission, UserId};

use crate::audit::Entry;
use crate::auth::is_past;
use crate::context::new_id;
use crate::idempotency::{Created, secret_shown_once};
use crate::page::Paging;
use crate::{Actor, App, Caller, Credential, CredentialKind, Error, IdempotencyKey, Result, validate};

impl App {
    /// The tenant's keys, newest first.
    pub async fn api_key_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<ApiKey>> {
        let tenant = caller.authorize_tenant(Permission::ApiKeysRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = api_keys::page(&self.db, tenant, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, view))
    }

    /// Makes a key.
    pub async fn api_key_create(
        &self,
        caller: &Caller,
        body: ApiKeyCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<ApiKeyCreated> {
        let tenant = caller.authorize_tenant(Permission::ApiKeysWrite)?;
        let user = maker(caller)?;
        validate::text("name", &body.name, 100)?;
        let now = self.now();
        if is_past(body.expires_at, now) {
            return Err(Error::field("expires_at", "must lie ahead"));
        }
        let id = new_id!(self, ApiKeyId);
        let credential = Credential::generate(CredentialKind::ApiKey, tenant, id.0, &*self.random);
        let row = ApiKeyRow {
            id,
            name: body.name,
            secret_sha256: credential.secret_sha256(),
            user_id: Some(user),
            scopes: None,
            group_id: None,
            addresses: None,
            created_at: now,
            expires_at: body.expires_at,
            last_used_at: None,
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
                    api_keys::insert(tx, tenant, &stored).await?;
                    let made = view(stored);
                    audit.record(tx, Entry::created("api_key", id, &made)?.with("name", made.name)).await?;
                    Ok::<_, Error>(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => Ok(ApiKeyCreated { api_key: view(row), token: credential.expose() }),
            Created::Before(_) => Err(secret_shown_once("API key")),
        }
    }

    /// Revokes a key, at once and for ever.
    pub async fn api_key_revoke(&self, caller: &Caller, id: ApiKeyId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::ApiKeysWrite)?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let missing = || Error::not_found("valid API key", id);
                    if !api_keys::revoke(tx, tenant, id, now).await? {
                        return Err(missing());
                    }
                    let after = api_keys::get(&mut *tx, tenant, id).await?.map(view).ok_or_else(missing)?;
                    let before = ApiKey { revoked_at: None, ..after.clone() };
                    let entry = Entry::changed("api_key", "revoke", id, &before, &after)?;
                    audit.record(tx, entry.with("name", after.name)).await
                })
            })
            .await
    }
}

/// A key has the rights of the user who makes it. A key makes none: one that leaked would live on in those that it made.
fn maker(caller: &Caller) -> Result<UserId> {
    match caller.actor {
        Actor::User { id, .. } if caller.home == caller.tenant => Ok(id),
        Actor::User { .. } => Err(Error::unprocessable(
            "not_your_tenant",
            "an API key belongs to its maker's own tenant; it may work in those below it like he may",
        )),
        _ => Err(Error::new(ErrorKind::Forbidden, "forbidden", "only a user makes API keys; log in with a password")),
    }
}

fn view(row: ApiKeyRow) -> ApiKey {
    ApiKey {
        id: row.id,
        name: row.name,
        created_at: row.created_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
    }
}
