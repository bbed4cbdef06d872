//! Source 000's presign API.

use std::time::Duration;

use drover_api::{PresignReply, PresignRequest};
use drover_blob::PresignMethod;
use drover_trust::sha256;
use drover_types::{Permission, Sha256Digest, TenantId};
use subtle::ConstantTimeEq as _;

use crate::auth::DEFAULT_TENANT;
use crate::credentials::unauthenticated;
use crate::objects::object_name;
use crate::{Actor, App, Caller, Error, Origin, Result, Rights};

const EXPIRES_IN_DEFAULT_S: u32 = 900;
const EXPIRES_IN_MAX_S: u32 = 3_600;

/// Keys that may only presign, as hashes, each bound to a tenant by name. None: only other credentials presign.
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

    /// The tenant that the key is bound to. Looks at every key, so that the time tells nothing.
    fn tenant_of(&self, key: &str) -> Option<&str> {
        let presented = sha256(key.as_bytes());
        let mut found = None;
        for known in &self.0 {
            if known.sha256.as_bytes().ct_eq(presented.as_bytes()).into() {
                found = Some(known.tenant.as_str());
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
    /// Who presents this key of `PRESIGN_API_KEYS`.
    pub async fn authenticate_presign(&self, key: &str, origin: Origin) -> Result<Caller> {
        let name = self.settings.presign_keys.tenant_of(key).ok_or_else(unauthenticated)?;
        let row = drover_store::tenants::by_name(&self.db, name).await?.ok_or_else(unauthenticated)?;
        let tenant: TenantId = row.tenant_id;
        let rights = Rights::everywhere([Permission::ObjectsPresign].into_iter().collect());
        Ok(Caller { home: tenant, tenant, actor: Actor::PresignKey, rights, origin })
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
    fn keys_are_bound_to_tenants_and_never_repeated_in_errors() {
        let keys = PresignKeys::parse("dev-local-key, acme=another-key").expect("valid");
        assert_eq!(keys.tenant_of("dev-local-key"), Some("default"));
        assert_eq!(keys.tenant_of("another-key"), Some("acme"));
        assert_eq!(keys.tenant_of("dev-local-kez"), None);
        assert!(PresignKeys::parse("").expect("off").0.is_empty());
        let error = PresignKeys::parse("good-enough,short").unwrap_err();
        assert!(!error.to_string().contains("short"), "{error}");
    }
}
