//! Which server is believed to be the right one, and why.

use std::sync::Arc;
use std::time::Duration;

use drover_trust::{ServerPin, is_untrusted, pinned_tls, probe_tls};
use reqwest::{Certificate, ClientBuilder};
use rustls::time_provider::DefaultTimeProvider;
use url::Url;

use super::{Client, ClientError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// Who vouches for the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ServerTrust {
    /// The authorities that this machine knows.
    #[default]
    System,
    /// The authority with this key, and no other.
    Pinned(ServerPin),
    /// The authorities in this text (PEM), and no others.
    Authorities(String),
}

impl Client {
    /// The network client to use: with time-outs, and without following redirects.
    pub fn http() -> Result<reqwest::Client, ClientError> {
        builder().build().map_err(ClientError::Setup)
    }

    /// The same for a server that somebody in particular vouches for.
    pub fn http_trusting(trust: &ServerTrust) -> Result<reqwest::Client, ClientError> {
        let builder = match trust {
            ServerTrust::System => builder(),
            ServerTrust::Pinned(pin) => {
                let tls = pinned_tls(vec![*pin], Arc::new(DefaultTimeProvider)).map_err(ClientError::Tls)?;
                builder().tls_backend_preconfigured(tls)
            }
            ServerTrust::Authorities(pem) => {
                let authorities = Certificate::from_pem_bundle(pem.as_bytes()).map_err(ClientError::Setup)?;
                builder().tls_certs_only(authorities)
            }
        };
        builder.build().map_err(ClientError::Setup)
    }

    /// The same client for a server that somebody in particular vouches for. Other servers that it points to, such as
    /// an object store, stay with the authorities of this machine.
    pub fn trusting(self, trust: &ServerTrust) -> Result<Self, ClientError> {
        Ok(Self { http: Self::http_trusting(trust)?, ..self })
    }

    /// The network client for an address: what vouches for the server vouches for its own origin only.
    pub(crate) fn http_for(&self, url: &Url) -> &reqwest::Client {
        if url.origin() == self.server().origin() { &self.http } else { &self.elsewhere }
    }

    /// The key of a server that nobody vouches for whom this client trusts; none when somebody does, or when there is
    /// no answer at all.
    pub(crate) async fn unknown_pin(&self) -> Result<Option<ServerPin>, ClientError> {
        let url = self.server().join(["healthz"]);
        let asked = self.http.get(url.clone()).timeout(PROBE_TIMEOUT).send().await;
        if !asked.is_err_and(|error| is_untrusted(&error)) {
            return Ok(None);
        }
        let (tls, presented) = probe_tls(Arc::new(DefaultTimeProvider)).map_err(ClientError::Tls)?;
        let http = builder().tls_backend_preconfigured(tls).build().map_err(ClientError::Setup)?;
        // It never succeeds: it looks at the certificate and gives up.
        let _ = http.get(url).timeout(PROBE_TIMEOUT).send().await;
        Ok(presented.pin())
    }
}

fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("drover/", env!("CARGO_PKG_VERSION")))
}
