//! The address of a server, and when it may be plain HTTP.

use url::{Host, Url};

/// The text is not an address that this program talks to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidServerUrl {
    /// Not an address at all.
    #[error("invalid server address {value:?}: expected https://HOST[:PORT], or http:// for this machine")]
    Malformed {
        /// The text that was given.
        value: String,
    },
    /// The credential would cross the network in the clear.
    #[error("{origin} is plain http:// to another machine, which would show the token to the network; use https://")]
    PlainHttp {
        /// Scheme, host and port.
        origin: String,
    },
}

/// The address of a Drover server: `https://`, or `http://` for loopback hosts. No user, query or fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl(Url);

impl ServerUrl {
    /// The address that `drover serve` listens on when nothing else is configured.
    pub const DEFAULT: &'static str = "http://127.0.0.1:8080";

    /// Scheme, host and port: what a credential is bound to.
    pub fn origin(&self) -> url::Origin {
        self.0.origin()
    }

    /// The address of a resource below the server's: each segment is percent-encoded.
    pub(crate) fn join<'s>(&self, segments: impl IntoIterator<Item = &'s str>) -> Url {
        let mut joined = self.0.clone();
        // An http or https address always has a path, so there is never nothing to extend.
        if let Ok(mut path) = joined.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        joined
    }
}

impl std::str::FromStr for ServerUrl {
    type Err = InvalidServerUrl;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || InvalidServerUrl::Malformed { value: text.chars().take(200).collect() };
        let address = Url::parse(text).map_err(|_| malformed())?;
        let has_credential = !address.username().is_empty() || address.password().is_some();
        let has_extras = address.query().is_some() || address.fragment().is_some();
        if has_credential || has_extras || !matches!(address.scheme(), "http" | "https") {
            return Err(malformed());
        }
        require_safe_transport(&address)?;
        Ok(Self(address))
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.0.as_str().trim_end_matches('/'))
    }
}

/// Plain HTTP is for this machine only: also for presigned addresses, which are secrets while they work.
pub(crate) fn require_safe_transport(address: &Url) -> Result<(), InvalidServerUrl> {
    let is_loopback = match address.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match address.scheme() {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        "http" => Err(InvalidServerUrl::PlainHttp { origin: address.origin().ascii_serialization() }),
        _ => Err(InvalidServerUrl::Malformed { value: address.origin().ascii_serialization() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_only() {
        for good in ["http://127.0.0.1:8080", "http://localhost", "http://[::1]:1", "https://fleet.example"] {
            assert!(good.parse::<ServerUrl>().is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1", "http://fleet.example", "http://localhost.example"] {
            let refused = bad.parse::<ServerUrl>();
            assert!(matches!(refused, Err(InvalidServerUrl::PlainHttp { .. })), "{bad}: {refused:?}");
        }
        for bad in ["fleet", "ftp://127.0.0.1", "https://me:secret@fleet.example", "https://fleet.example/?a=b"] {
            let refused = bad.parse::<ServerUrl>();
            assert!(matches!(refused, Err(InvalidServerUrl::Malformed { .. })), "{bad}: {refused:?}");
        }
    }

    #[test]
    fn segments_cannot_escape_the_path() {
        let server: ServerUrl = "https://fleet.example/drover/".parse().expect("an address");
        let joined = server.join(["api", "v1", "devices", "a/b?c#d"]);
        assert_eq!(joined.as_str(), "https://fleet.example/drover/api/v1/devices/a%2Fb%3Fc%23d");
        assert_eq!(server.to_string(), "https://fleet.example/drover");
    }
}
