//! Network clients: one for the server, which may be pinned, one for everybody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use drover_trust::{ServerPin, is_untrusted, pinned_tls};
use drover_types::{Clock, Timestamp};
use reqwest::{ClientBuilder, RequestBuilder, Response, Url};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use crate::{AddressError, server_address};

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The address of the server cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// TLS cannot be set up.
    #[error("set up TLS")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be made.
    #[error("set up the network client")]
    Http(#[from] reqwest::Error),
}

/// The HTTP client that everything here expects: it follows no redirect by itself, uses no proxy and gives up on a
/// connection after 10 s. Time-outs for whole calls and for silence are set by each operation. It trusts the
/// authorities of the system.
pub fn http_client() -> reqwest::Result<reqwest::Client> {
    builder().build()
}

fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("drover-agent/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .tcp_keepalive(Duration::from_secs(30))
        .pool_idle_timeout(Duration::from_secs(50))
        .pool_max_idle_per_host(2)
        .no_proxy()
}

/// The clients of one device. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Network {
    elsewhere: reqwest::Client,
    /// The server's address with the client that accepts only pinned authorities.
    pinned: Option<(Url, reqwest::Client)>,
}

impl Network {
    /// One client for every address. Make it with [`http_client`].
    pub const fn new(http: reqwest::Client) -> Self {
        Self { elsewhere: http, pinned: None }
    }

    /// The same with a server that has to prove one of these keys; no key is pinned when there is none.
    pub fn with_pins(&self, server: &str, pins: &[ServerPin], time: &Arc<DeviceTime>) -> Result<Self, NetworkError> {
        let elsewhere = self.elsewhere.clone();
        if pins.is_empty() {
            return Ok(Self { elsewhere, pinned: None });
        }
        let tls = pinned_tls(pins.to_vec(), Arc::<DeviceTime>::clone(time))?;
        let client = builder().tls_backend_preconfigured(tls).build()?;
        Ok(Self { elsewhere, pinned: Some((server_address(server)?, client)) })
    }

    /// Sends a request without any credential to where the server points, such as an object store. The authorities of
    /// the system vouch for that place; when they do not, the pinned authority of the server may: it may be the server
    /// itself under another name.
    pub(crate) async fn send_elsewhere(
        &self,
        url: &Url,
        request: impl Fn(&reqwest::Client) -> RequestBuilder,
    ) -> reqwest::Result<Response> {
        let sent = request(self.client_for(url)).send().await;
        match (&self.pinned, sent) {
            (Some((server, pinned)), Err(error)) if server.origin() != url.origin() && is_untrusted(&error) => {
                let again = request(pinned).send().await;
                // What the system says of the place tells more than that it is not the server.
                again.map_err(|second| if is_untrusted(&second) { error } else { second })
            }
            (_, sent) => sent,
        }
    }

    /// The client for an address: the pinned one goes to the server's own origin (scheme, host and port) only.
    pub fn client_for(&self, url: &Url) -> &reqwest::Client {
        match &self.pinned {
            Some((server, client)) if server.origin() == url.origin() => client,
            _ => &self.elsewhere,
        }
    }
}

impl From<reqwest::Client> for Network {
    fn from(http: reqwest::Client) -> Self {
        Self::new(http)
    }
}

impl From<&Self> for Network {
    fn from(network: &Self) -> Self {
        network.clone()
    }
}

/// The device's clock, never before what is known to have passed: a certificate that has ended does not come back to
/// life because a device woke up in 1970.
pub struct DeviceTime {
    clock: Arc<dyn Clock>,
    floor_micros: AtomicI64,
}

impl std::fmt::Debug for DeviceTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceTime").field("floor", &self.floor()).finish_non_exhaustive()
    }
}

impl DeviceTime {
    /// A clock with a moment that has certainly passed.
    pub fn new(clock: Arc<dyn Clock>, floor: Timestamp) -> Self {
        Self { clock, floor_micros: AtomicI64::new(floor.as_micros()) }
    }

    /// The latest moment that has certainly passed.
    pub fn floor(&self) -> Timestamp {
        Timestamp::from_micros(self.floor_micros.load(Ordering::Relaxed))
    }

    /// A server that proved itself says that this moment has passed.
    pub fn has_passed(&self, moment: Timestamp) {
        self.floor_micros.fetch_max(moment.as_micros(), Ordering::Relaxed);
    }
}

impl TimeProvider for DeviceTime {
    fn current_time(&self) -> Option<UnixTime> {
        let now = self.clock.now().max(self.floor());
        Some(UnixTime::since_unix_epoch(now.since(Timestamp::from_micros(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stopped(Timestamp);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn seconds(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn time_never_falls_behind_what_is_known() {
        let time = DeviceTime::new(Arc::new(Stopped(seconds(5))), seconds(100));
        assert_eq!(time.current_time().map(|now| now.as_secs()), Some(100));
        time.has_passed(seconds(200));
        time.has_passed(seconds(150));
        assert_eq!(time.current_time().map(|now| now.as_secs()), Some(200));
        let ahead = DeviceTime::new(Arc::new(Stopped(seconds(500))), seconds(100));
        assert_eq!(ahead.current_time().map(|now| now.as_secs()), Some(500));
    }

    #[test]
    fn only_the_servers_own_origin_is_pinned() {
        let pin = ServerPin::in_enrolment_token(&format!("ft1.t.i.s.{}", "A".repeat(43))).unwrap().unwrap();
        let time = Arc::new(DeviceTime::new(Arc::new(Stopped(seconds(1))), seconds(0)));
        let open = Network::new(reqwest::Client::builder().tls_certs_only([]).build().unwrap());
        let network = open.with_pins("https://fleet.example:8443", &[pin], &time).unwrap();
        let is_pinned = |url: &str| {
            let client = network.client_for(&url.parse().unwrap());
            std::ptr::eq(client, &raw const network.pinned.as_ref().unwrap().1)
        };
        assert!(is_pinned("https://fleet.example:8443/api/v1/heartbeat"));
        for other in ["https://fleet.example/x", "https://fleet.example:9000/x", "https://s3.example:8443/x"] {
            assert!(!is_pinned(other), "{other}");
        }
        assert!(open.with_pins("https://fleet.example", &[], &time).unwrap().pinned.is_none());
    }
}
