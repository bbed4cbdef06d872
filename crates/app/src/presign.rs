//! Source 000's presign API.

use std::time::Duration;

use drover_api::{PresignReply, PresignRequest};
use drover_blob::PresignMethod;
use drover_store::tenants;
use drover_trust::sha256;
use drover_types::{Permission, Sha256Digest, TenantId};
use subtle::ConstantTimeEq as _;

use crate::auth::DEFAULT_TENANT;
use crate::objects::object_name;
use crate::{Actor, App, Caller, Error, Origin, Result, Rights};

const EXPIRES_IN_DEFAULT_S: u32 = 900;
const EXPIRES_IN_MAX_S: u32 = 3_600;

/// Keys that may only presign, as hashes, each with the name of its tenant. None: only other credentials presign.
#[derive(Debug, Clone, Default)]
pub struct PresignKeys(Vec<PresignKey>);

#[derive(Debug, Clone)]
struct PresignKey {
    tenant: String,
    sha256: Sha256Digest,
}

impl PresignKeys {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// From `PRESIGN_API_KEYS`: keys separated by commas, each `key` (of the tenant `default`) or `tenant=key`.
    /// Keys have 8 to 200 printable characters.
    pub fn parse(text: &str) -> std::result::Result<Self, InvalidPresignKeys> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let keys = entries.enumerate().map(|(index, entry)| {
            let (tenant, key) = entry.split_once('=').unwrap_or((DEFAULT_TENANT, entry));
            let fine = (8..=200).contains(&key.len()) && key.chars().all(|c| c.is_ascii_graphic());
            if tenant.is_empty() || !fine {
                return Err(InvalidPresignKeys { position: index + 1 });
            }
            Ok(PresignKey { tenant: tenant.to_owned(), sha256: sha256(key.as_bytes()) })
        });
        keys.collect::<std::result::Result<_, _>>().map(Self)
    }
}

/// The same keys, each bound to its tenant by id.
#[derive(Debug)]
pub(crate) struct BoundPresignKeys(Vec<(Sha256Digest, TenantId)>);

impl BoundPresignKeys {
    /// The tenant that the key is bound to. Looks at every key, so that the time tells nothing.
    fn tenant_of(&self, key: &str) -> Option<TenantId> {
        let presented = sha256(key.as_bytes());
        let mut found = None;
        for (known, tenant) in &self.0 {
            if known.as_bytes().ct_eq(presented.as_bytes()).into() {
                found = Some(*tenant);
            }
        }
        found
    }
}

/// A key does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "key number {position} of PRESIGN_API_KEYS is not valid: expected `key` or `tenant=key`, \
     a key of 8 to 200 printable characters without commas"
)]
pub struct InvalidPresignKeys {
    /// Which one, from 1; the key itself is not repeated.
    pub position: usize,
}

impl App {
    /// Finds the tenants of `PRESIGN_API_KEYS`; before that no such key works. Once, at the start: a key stays with its
    /// tenant when names move. A key for a tenant that is not there is an error, not one for whoever takes that name next.
    pub async fn bind_presign_keys(&self) -> Result<()> {
        let mut bound = Vec::new();
        for (index, key) in self.settings.presign_keys.0.iter().enumerate() {
            let Some(row) = tenants::by_name(&self.db, &key.tenant).await? else {
                let (position, name) = (index + 1, &key.tenant);
                let detail = format!(
                    "key number {position} of PRESIGN_API_KEYS is for the tenant {name:?}, and there is none of that name; \
                     start without this key, make the tenant (`drover tenant create {name}`), then start with it"
                );
                return Err(Error::unprocessable("unknown_tenant", detail));
            };
            bound.push((key.sha256, row.tenant_id));
        }
        // Whoever comes second found the same.
        let _ = self.presign_keys.set(BoundPresignKeys(bound));
        Ok(())
    }

    /// Who presents this key of `PRESIGN_API_KEYS`; none when it is no such key. It works in its own tenant only.
    pub fn authenticate_presign(&self, key: &str, there: Option<TenantId>, origin: Origin) -> Result<Option<Caller>> {
        let Some(tenant) = self.presign_keys.get().and_then(|keys| keys.tenant_of(key)) else { return Ok(None) };
        if let Some(other) = there.filter(|there| *there != tenant) {
            return Err(Error::not_found("tenant", other));
        }
        let rights = Rights::everywhere([Permission::ObjectsPresign].into_iter().collect());
        Ok(Some(Caller { home: tenant, tenant, actor: Actor::PresignKey, rights, origin }))
    }

    /// A time-limited address of an object.
    pub async fn presign(&self, caller: &Caller, body: PresignRequest) -> Result<PresignReply> {
        let tenant = caller.authorize(Permission::ObjectsPresign)?.tenant;
        let expires_in = body.expires_in.unwrap_or(EXPIRES_IN_DEFAULT_S);
        if !(1..=EXPIRES_IN_MAX_S).contains(&expires_in) {
            return Err(Error::field("expires_in", format!("must be 1 to {EXPIRES_IN_MAX_S} seconds")));
        }
        let name = object_name(&body.object_key)?;
        let row = self.object(tenant, name.as_str()).await?;
        let ttl = Duration::from_secs(expires_in.into());
        let key = Self::object_key(tenant, &row);
        let url = self.blobs.presign(PresignMethod::Get, &key, ttl, self.now(), Some(name.file_name())).await;
        let url = url.map_err(|error| Error::internal("sign an address", error))?;
        Ok(PresignReply {
            object_key: row.name,
            url: url.url,
            method: PresignMethod::Get.as_str().to_owned(),
            expires_in,
            expires_at: url.expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_tenants_and_are_never_repeated_in_errors() {
        let keys = PresignKeys::parse("dev-local-key, acme=another-key").expect("valid");
        let names: Vec<&str> = keys.0.iter().map(|key| key.tenant.as_str()).collect();
        assert_eq!(names, ["default", "acme"]);
        let ids = [1, 2].map(|n| TenantId::generate(drover_types::Timestamp::from_micros(0), n));
        let bound = BoundPresignKeys(keys.0.iter().map(|key| key.sha256).zip(ids).collect());
        assert_eq!(bound.tenant_of("dev-local-key"), Some(ids[0]));
        assert_eq!(bound.tenant_of("another-key"), Some(ids[1]));
        assert_eq!(bound.tenant_of("dev-local-kez"), None);
        assert!(PresignKeys::parse("").expect("off").0.is_empty());
        let error = PresignKeys::parse("good-enough,short").unwrap_err();
        assert!(!error.to_string().contains("short"), "{error}");
    }
}
