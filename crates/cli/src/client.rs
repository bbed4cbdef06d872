//! A typed client of the REST API.

mod attempt;
mod audit;
mod credentials;
mod device_attributes;
mod device_tags;
mod devices;
mod download;
mod error;
mod firmware;
mod groups;
mod json;
mod objects;
mod pages;
mod parts;
mod rollout_preview;
mod rollouts;
mod server_url;
mod tenants;
mod transfer;
mod trust;
mod upload;
mod uploads;
mod users;

use std::sync::Arc;

use drover_types::TenantId;
use uuid::Uuid;

pub use attempt::RetryPolicy;
pub use error::ClientError;
pub use server_url::{InvalidServerUrl, ServerUrl};
pub use transfer::Progress;
pub use trust::ServerTrust;

type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Calls the REST API of one server with one credential. Cheap to clone.
///
/// Calls that create send an `Idempotency-Key`, the same one with each attempt. Calls are repeated, a bounded number
/// of times, after failures of the connection and after 503 where that cannot do a thing twice.
#[derive(Clone)]
pub struct Client {
    /// For the server.
    http: reqwest::Client,
    /// For where the server points, such as an object store.
    elsewhere: reqwest::Client,
    server: ServerUrl,
    token: Option<String>,
    /// The tenant to work in, when it is not the credential's own.
    tenant: Option<TenantId>,
    random: Random,
    retry: RetryPolicy,
}

impl Client {
    /// A client without a credential. `http` comes from [`Client::http`]: it follows no redirects, so that a token
    /// never reaches another origin.
    #[expect(clippy::disallowed_methods, reason = "the default source of idempotency keys; `with_random` replaces it")]
    pub fn new(http: reqwest::Client, server: ServerUrl) -> Self {
        let random: Random = Arc::new(|| Uuid::new_v4().as_u128());
        let retry = RetryPolicy::default();
        Self { elsewhere: http.clone(), http, server, token: None, tenant: None, random, retry }
    }

    /// With a bearer token: of a login, or an API key.
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// At work in a tenant below the credential's own.
    pub const fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// With other attempts and waits.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// With another source of randomness, for idempotency keys and jitter.
    pub fn with_random(mut self, random: impl Fn() -> u128 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// The server's address.
    pub const fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The credential, to compare it with one that is remembered.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A new idempotency key.
    fn idempotency_key(&self) -> String {
        uuid::Builder::from_random_bytes((self.random)().to_be_bytes()).into_uuid().to_string()
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let has_token = self.token.is_some();
        f.debug_struct("Client").field("server", &self.server).field("has_token", &has_token).finish_non_exhaustive()
    }
}
