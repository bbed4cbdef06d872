//! Keys for programs.

use std::net::IpAddr;
use std::time::Duration;

use drover_api::{ApiKey, ApiKeyCreate, ApiKeyCreated, Page, PageQuery};
use drover_store::api_keys::{self, ApiKeyRow};
use drover_store::groups;
use drover_types::{ApiKeyId, Permission, TenantId, UserId};
use ipnet::IpNet;

use crate::audit::Entry;
use crate::auth::is_past;
use crate::context::new_id;
use crate::grants::check_static;
use crate::idempotency::{Created, secret_shown_once};
use crate::page::Paging;
use crate::{App, Caller, Credential, CredentialKind, Error, IdempotencyKey, Result, validate};

/// Networks that a key can be bound to.
const ADDRESSES_MAX: usize = 32;

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
        check_limits(caller, &body)?;
        if let Some(group) = body.group_id {
            check_static("group_id", group, groups::get(&self.db, tenant, group).await?)?;
        }
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
            scopes: body.scopes.as_deref().map(joined),
            group_id: body.group_id,
            addresses: (!body.addresses.is_empty()).then(|| joined(&body.addresses)),
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

    /// Notes that a key was used, at most once a minute. What is noted is for people to read: a failure fails nothing.
    pub(crate) async fn note_key_used(&self, tenant: TenantId, key: &ApiKeyRow) {
        let (id, now) = (key.id, self.now());
        let recent = key.last_used_at.is_some_and(|used| now.since(used) < Duration::from_mins(1));
        if recent {
            return;
        }
        let noted = self
            .writer
            .write_batched(move |tx| {
                Box::pin(async move { Ok::<_, Error>(api_keys::used(tx, tenant, id, now).await?) })
            })
            .await;
        if let Err(error) = noted {
            tracing::warn!(api_key = %id, "failed to note the use of an API key: {error}");
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
    let user = caller.authorize_person()?;
    if caller.home == caller.tenant {
        return Ok(user);
    }
    Err(Error::unprocessable(
        "not_your_tenant",
        "an API key belongs to its maker's own tenant; it may work in those below it like he may",
    ))
}

/// What a key is limited to is something that its maker may do: else the key would be of no use.
fn check_limits(caller: &Caller, body: &ApiKeyCreate) -> Result<()> {
    let scopes = body.scopes.as_deref().unwrap_or_default();
    if body.scopes.is_some() && scopes.is_empty() {
        return Err(Error::field("scopes", "must name a permission at least; leave it out for all that you may do"));
    }
    if let Some(missing) = scopes.iter().find(|permission| caller.rights.reach(**permission).is_none()) {
        return Err(Error::field("scopes", format!("you do not have {missing} yourself")));
    }
    validate::at_most("addresses", &body.addresses, ADDRESSES_MAX)?;
    match body.addresses.iter().find(|text| network(text).is_none()) {
        Some(wrong) => {
            Err(Error::field("addresses", format!("{wrong:?} is neither an address nor a network such as 10.0.0.0/8")))
        }
        None => Ok(()),
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether the key may be used from there. A list that cannot be read lets nobody in.
pub(crate) fn may_come_from(key: &ApiKeyRow, address: Option<IpAddr>) -> bool {
    let Some(list) = &key.addresses else { return true };
    let Some(address) = address else { return false };
    list.split_whitespace().filter_map(network).any(|network| network.contains(&address.to_canonical()))
}

fn joined<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn view(row: ApiKeyRow) -> ApiKey {
    ApiKey {
        id: row.id,
        name: row.name,
        user_id: row.user_id,
        // A name that this release does not know is not shown; the key that has it is refused.
        scopes: row.scopes.map(|text| text.split_whitespace().filter_map(|name| name.parse().ok()).collect()),
        group_id: row.group_id,
        addresses: row.addresses.unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}
