//! Where the server is, and how it may be reached.

use std::net::IpAddr;

use reqwest::Url;

/// The address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no address.
    #[error("use the address {address:?}: expected a URL such as https://fleet.example.com")]
    Invalid {
        /// What was given.
        address: String,
    },
    /// It would send credentials or firmware in clear text over a network.
    #[error("use the address {address:?}: plain HTTP is for loopback only; use https://")]
    PlainHttp {
        /// What was given.
        address: String,
    },
}

/// Reads an address: `https://` anywhere, `http://` only to this machine.
pub fn server_address(text: &str) -> Result<Url, AddressError> {
    // A presigned address carries its authority in the query: it stays out of messages.
    let shown = || text.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect::<String>();
    let invalid = || AddressError::Invalid { address: shown() };
    let url = Url::parse(text).map_err(|_| invalid())?;
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(invalid());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(AddressError::PlainHttp { address: shown() }),
        _ => Err(invalid()),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for good in ["http://127.0.0.1:8080", "http://localhost:8080/x", "http://[::1]:1", "https://fleet.example.com"]
        {
            assert!(server_address(good).is_ok(), "{good}");
        }
        let tricks =
            ["http://127.0.0.1.evil.com", "http://192.168.1.2", "http://localhost.evil.com", "http://10.0.0.1"];
        for bad in tricks {
            let error = server_address(bad).unwrap_err();
            assert!(error.to_string().contains("plain HTTP is for loopback only"), "{bad}: {error}");
        }
        for bad in ["ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "nonsense", "file:///etc/passwd"] {
            assert!(matches!(server_address(bad), Err(AddressError::Invalid { .. })), "{bad}");
        }
    }

    #[test]
    fn a_message_never_shows_the_query() {
        let error = server_address("http://10.0.0.1/blob?signature=secret").unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }
}
