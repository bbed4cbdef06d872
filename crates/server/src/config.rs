//! What an operator can set about HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::metrics::MetricsToken;

/// The longest that a shutdown may take.
const SHUTDOWN_GRACE_MAX_MS: u64 = 25_000;

/// How HTTP is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Where to listen; a loopback address unless TLS is spoken.
    pub listen: SocketAddr,
    /// Pages from these origins may call the API, for instance `https://fleet.example.org`; none when empty.
    pub cors_origins: Vec<String>,
    /// Update checks per device and minute; 0 lifts the limit.
    pub check_per_minute: u32,
    /// Heartbeats and reports per device and minute; 0 lifts the limit.
    pub report_per_minute: u32,
    /// Requests without a valid credential, and logins, per address and minute; 0 lifts the limit.
    pub stranger_per_minute: u32,
    /// Whether the proxy in front writes the client's address as the last one of `X-Forwarded-For`. Without it all
    /// strangers behind a proxy share one limit; with it and without a proxy, strangers choose their address.
    pub trust_forwarded_for: bool,
    /// Connections at once, at least 1. When they are used up, others make room for new ones: strangers of addresses
    /// with many connections first, then those who proved a credential and rest.
    pub max_connections: usize,
    /// Connections at once from one address (of IPv6, from one /64); 0 lifts the limit, and so does
    /// `trust_forwarded_for`. Devices behind one router have one address.
    pub max_connections_per_address: usize,
    /// How long a client may take to send the head of a request, and to log in, in milliseconds, 1 to 1 hour.
    pub header_read_timeout_ms: u64,
    /// How long a request may take, uploads and downloads excepted, in milliseconds, 1 to 1 hour.
    pub request_timeout_ms: u64,
    /// How long an upload or a download may stand still, in milliseconds, 1 to 1 hour.
    pub transfer_idle_timeout_ms: u64,
    /// How long requests may go on after a shutdown began, in milliseconds; at most 25 000.
    pub shutdown_grace_ms: u64,
    /// What shows that a request for figures from another machine is allowed; without it none is.
    #[serde(skip)]
    pub metrics_token: Option<MetricsToken>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            cors_origins: Vec::new(),
            check_per_minute: 10,
            report_per_minute: 120,
            stranger_per_minute: 100,
            trust_forwarded_for: false,
            max_connections: 10_000,
            max_connections_per_address: 5_000,
            header_read_timeout_ms: 10_000,
            request_timeout_ms: 30_000,
            transfer_idle_timeout_ms: 60_000,
            shutdown_grace_ms: 20_000,
            metrics_token: None,
        }
    }
}

/// The settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Credentials would cross a network in the clear.
    #[error(
        "refused to listen on {listen}: plain HTTP is for loopback only, as credentials would cross the network in the \
         clear; leave out --tls off, or listen on 127.0.0.1 with a proxy that speaks TLS in front"
    )]
    NotLoopback {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// An entry of `cors_origins` is no origin.
    #[error("invalid origin {origin:?} in cors_origins: expected scheme and host, such as https://fleet.example.org")]
    Origin {
        /// The entry.
        origin: String,
    },
    /// A number is out of its range.
    #[error("invalid {setting}: expected {expected}, found {value}")]
    OutOfRange {
        /// The setting's name.
        setting: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        value: u64,
    },
}

impl HttpConfig {
    /// Whether these settings can be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.origins()?;
        let (hour, in_hour) = (3_600_000, "1 to 3600000");
        let ranges = [
            ("max_connections", self.max_connections as u64, 1_000_000, "1 to 1000000"),
            // Zero lifts this one.
            ("max_connections_per_address", self.max_connections_per_address.max(1) as u64, 1_000_000, "0 to 1000000"),
            ("header_read_timeout_ms", self.header_read_timeout_ms, hour, in_hour),
            ("request_timeout_ms", self.request_timeout_ms, hour, in_hour),
            ("transfer_idle_timeout_ms", self.transfer_idle_timeout_ms, hour, in_hour),
            // Zero is a fair choice here: nothing is waited for.
            ("shutdown_grace_ms", self.shutdown_grace_ms.max(1), SHUTDOWN_GRACE_MAX_MS, "0 to 25000"),
        ];
        for (setting, value, max, expected) in ranges {
            if !(1..=max).contains(&value) {
                return Err(ConfigError::OutOfRange { setting, expected, value });
            }
        }
        Ok(())
    }

    /// The origins as browsers send them.
    pub(crate) fn origins(&self) -> Result<Vec<HeaderValue>, ConfigError> {
        self.cors_origins.iter().map(|origin| parse_origin(origin)).collect()
    }

    pub(crate) fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn transfer_idle_timeout(&self) -> Duration {
        Duration::from_millis(self.transfer_idle_timeout_ms)
    }

    pub(crate) fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }
}

/// Refuses plain HTTP on an address that other machines can reach.
pub fn check_plain(listen: SocketAddr) -> Result<(), ConfigError> {
    if listen.ip().to_canonical().is_loopback() { Ok(()) } else { Err(ConfigError::NotLoopback { listen }) }
}

fn parse_origin(origin: &str) -> Result<HeaderValue, ConfigError> {
    let invalid = || ConfigError::Origin { origin: origin.to_owned() };
    let (scheme, host) = origin.split_once("://").ok_or_else(invalid)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | ':' | '[' | ']');
    if !matches!(scheme, "http" | "https") || host.is_empty() || !host.chars().all(plain) {
        return Err(invalid());
    }
    HeaderValue::from_str(origin).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(change: impl FnOnce(&mut HttpConfig)) -> Result<(), ConfigError> {
        let mut config = HttpConfig::default();
        change(&mut config);
        config.check()
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for listen in ["127.0.0.1:80", "127.8.8.8:80", "[::1]:80", "[::ffff:127.0.0.1]:80"] {
            assert_eq!(check_plain(listen.parse().unwrap()), Ok(()), "{listen}");
        }
        for listen in ["0.0.0.0:80", "[::]:80", "192.168.1.1:80", "[::ffff:10.0.0.1]:80"] {
            let error = check_plain(listen.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("loopback only"), "{error}");
        }
    }

    #[test]
    fn origins_are_scheme_and_host() {
        for good in ["https://fleet.example.org", "http://localhost:5173", "http://[::1]:5173"] {
            assert_eq!(check(|config| config.cors_origins = vec![good.to_owned()]), Ok(()), "{good}");
        }
        for bad in ["*", "fleet.example.org", "https://", "https://a.example/", "ftp://a.example", "https://A.example"]
        {
            let result = check(|config| config.cors_origins = vec![bad.to_owned()]);
            assert_eq!(result, Err(ConfigError::Origin { origin: bad.to_owned() }));
        }
    }

    #[test]
    fn every_number_has_a_range() {
        assert_eq!(check(|config| config.shutdown_grace_ms = 0), Ok(()));
        assert!(check(|config| config.shutdown_grace_ms = 25_001).is_err());
        assert!(check(|config| config.max_connections = 0).is_err());
        let error = check(|config| config.request_timeout_ms = 0).unwrap_err();
        assert_eq!(error.to_string(), "invalid request_timeout_ms: expected 1 to 3600000, found 0");
    }
}
