//! Public keys that may sign firmware.

use drover_api::{Page, PageQuery, ReleaseKey, ReleaseKeyCreate};
use drover_db::Tx;
use drover_store::release_keys::{self, ReleaseKeyRow};
use drover_store::rollouts;
use drover_trust::PublicKey;
use drover_types::{Permission, ReleaseKeyId, Sha256Digest, TenantId, Timestamp};

use crate::audit::{Audit, Entry};
use crate::context::new_id;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::rollouts::pause;
use crate::{App, Caller, Error, IdempotencyKey, Result, validate};

/// Keys of a tenant that are looked at; more cannot be added.
const KEYS_MAX: i64 = 32;

impl App {
    /// The tenant's keys, newest first.
    pub async fn release_key_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<ReleaseKey>> {
        let tenant = caller.authorize(Permission::ReleaseKeysRead)?.tenant;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = release_keys::page(&self.db, tenant, paging.after, paging.rows()).await?;
        Ok(paging.page(rows, |row| row.id, view))
    }

    /// Adds a key.
    pub async fn release_key_create(
        &self,
        caller: &Caller,
        body: ReleaseKeyCreate,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<ReleaseKey> {
        let tenant = caller.authorize_tenant(Permission::ReleaseKeysWrite)?;
        validate::text("name", &body.name, 100)?;
        let key = PublicKey::from_pem(&body.public_key)
            .map_err(|error| Error::field("public_key", error.to_string()).with_source(error))?;
        let now = self.now();
        let id = new_id!(self, ReleaseKeyId);
        let row = ReleaseKeyRow {
            id,
            name: body.name,
            algorithm: key.algorithm(),
            fingerprint: key.fingerprint(),
            public_key: key.to_pem(),
            created_at: now,
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
                    let valid = release_keys::valid(&mut *tx, tenant, KEYS_MAX).await?;
                    if i64::try_from(valid.len()).unwrap_or(KEYS_MAX) >= KEYS_MAX {
                        return Err(Error::conflict(
                            "too_many_keys",
                            format!("{KEYS_MAX} keys are the most; revoke one"),
                        ));
                    }
                    release_keys::insert(tx, tenant, &stored).await.map_err(already_there)?;
                    let made = view(stored);
                    audit.record(tx, named(Entry::created("release_key", id, &made)?, &made)).await?;
                    Ok(Created::Now)
                })
            })
            .await?;
        match created {
            Created::Now => Ok(view(row)),
            Created::Before(before) => self.release_key(tenant, ReleaseKeyId(before)).await,
        }
    }

    async fn release_key(&self, tenant: TenantId, id: ReleaseKeyId) -> Result<ReleaseKey> {
        let row = release_keys::get(&self.db, tenant, id).await?;
        row.map(view).ok_or_else(|| Error::not_found("release key", id))
    }

    /// Revokes a key: firmware signed with it is neither published nor rolled out from then on, and rollouts of it are
    /// paused. Devices that pinned the key must be told otherwise.
    pub async fn release_key_revoke(&self, caller: &Caller, id: ReleaseKeyId) -> Result<()> {
        let tenant = caller.authorize_tenant(Permission::ReleaseKeysWrite)?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let missing = || Error::not_found("valid release key", id);
                    if !release_keys::revoke(tx, tenant, id, now).await? {
                        return Err(missing());
                    }
                    let after = release_keys::get(&mut *tx, tenant, id).await?.map(view).ok_or_else(missing)?;
                    let before = ReleaseKey { revoked_at: None, ..after.clone() };
                    let entry = Entry::changed("release_key", "revoke", id, &before, &after)?;
                    audit.record(tx, named(entry, &after)).await?;
                    pause_rollouts(tx, tenant, &after, &mut audit, now).await
                })
            })
            .await
    }

    /// Refuses firmware whose key was revoked.
    pub(crate) async fn check_signing_key(&self, tenant: TenantId, signed_by: Sha256Digest) -> Result<()> {
        let rows = release_keys::valid(&self.db, tenant, KEYS_MAX).await?;
        if rows.iter().any(|row| row.fingerprint == signed_by) {
            return Ok(());
        }
        let detail = "the key that signed this firmware was revoked; sign the release again with a valid key";
        Err(Error::conflict("release_key_revoked", detail))
    }

    /// The keys that count, ready to verify with.
    pub(crate) async fn valid_release_keys(&self, tenant: TenantId) -> Result<Vec<PublicKey>> {
        let rows = release_keys::valid(&self.db, tenant, KEYS_MAX).await?;
        rows.iter()
            .map(|row| {
                PublicKey::from_pem(&row.public_key)
                    .map_err(|error| Error::internal("read a stored release key", error))
            })
            .collect()
    }
}

/// Each rollout that stops for it has an entry of its own: that is where people look.
async fn pause_rollouts(
    tx: &mut Tx,
    tenant: TenantId,
    key: &ReleaseKey,
    audit: &mut Audit,
    now: Timestamp,
) -> Result<()> {
    for rollout in rollouts::signed_by(&mut *tx, tenant, key.fingerprint).await? {
        let reason = format!("release key {:?} was revoked", key.name);
        pause(tx, tenant, rollout.id, rollout.state, &reason, audit, now).await?;
    }
    Ok(())
}

fn named(entry: Entry, key: &ReleaseKey) -> Entry {
    entry.with("name", key.name.as_str()).with("fingerprint", key.fingerprint.to_string())
}

fn already_there(error: sqlx::Error) -> Error {
    match drover_db::unique_violation(&error) {
        Some(_) => Error::conflict("key_exists", "this key was added before; a revoked key cannot be added again"),
        None => error.into(),
    }
}

fn view(row: ReleaseKeyRow) -> ReleaseKey {
    ReleaseKey {
        id: row.id,
        name: row.name,
        algorithm: row.algorithm,
        fingerprint: row.fingerprint,
        public_key: row.public_key,
        created_at: row.created_at,
        revoked_at: row.revoked_at,
    }
}
