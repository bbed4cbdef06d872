//! Sessions of browsers: the cookie, and what keeps other sites from using it.
//!
//! A browser sends the cookie with every request to this origin, whoever caused it. So a request that comes with it and
//! may change something has to prove twice that one of our own pages sent it: by `Sec-Fetch-Site` or `Origin`, which no
//! page can forge, and by a token that only our own pages were told.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use drover_app::{Error, is_csrf_token};
use drover_types::ErrorKind;

use crate::problem::Result;

/// `__Host-`: a browser takes it only with `Secure`, for `/`, and without a domain; no other host can set it. Loopback is
/// secure to browsers without TLS as well.
const NAME: &str = "__Host-drover";
const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Removes the cookie.
pub(crate) const CLEAR: HeaderValue =
    HeaderValue::from_static("__Host-drover=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");

/// Sets the cookie until the browser is closed; the server ends the session before, when its time is over.
pub(crate) fn set(token: &str) -> Result<HeaderValue> {
    let text = format!("{NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let value = HeaderValue::from_str(&text).map_err(|error| Error::internal("write the cookie", error))?;
    Ok(value)
}

/// The token in the cookie of a request.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == NAME).map(|(_, token)| token).filter(|token| !token.is_empty())
}

/// Lets a request with the cookie through that changes nothing, or that one of our own pages sent.
pub(crate) fn check(parts: &Parts, token: &str) -> Result<()> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    check_origin(&parts.headers, &parts.uri)?;
    let sent = parts.headers.get(CSRF_TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
    if is_csrf_token(token, sent) {
        return Ok(());
    }
    Err(refused(
        "send the token of GET /api/v1/auth/session as X-CSRF-Token; programs use Authorization instead of a cookie",
    ))
}

/// Lets a request through that a page of this origin sent.
pub(crate) fn check_origin(headers: &HeaderMap, uri: &Uri) -> Result<()> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    // A browser that sends it knows best; one that does not sends the origin with everything that is no plain GET.
    let is_ours = match (text(&FETCH_SITE), text(&ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let authority = origin.parse::<Uri>().ok().and_then(|origin| origin.authority().map(ToString::to_string));
            // HTTP/2 has the host in the address of the request instead.
            let host = text(&HOST).or_else(|| uri.authority().map(Authority::as_str));
            authority.is_some() && authority.as_deref() == host
        }
        (None, None) => false,
    };
    if is_ours {
        Ok(())
    } else {
        Err(refused("a cookie works only for pages of this server; another site sent this request"))
    }
}

fn refused(detail: &str) -> crate::problem::Failure {
    Error::new(ErrorKind::Forbidden, "cross_site_request", detail).into()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use drover_app::csrf_token;

    use super::*;

    fn parts(method: Method, pairs: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri("/api/v1/groups");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request").into_parts().0
    }

    fn passes(method: Method, pairs: &[(&str, &str)]) -> bool {
        check(&parts(method, pairs), "secret").is_ok()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |text: &str| token(&parts(Method::GET, &[("cookie", text)]).headers).map(str::to_owned);
        assert_eq!(found("a=b; __Host-drover=dl1.x; c=d").as_deref(), Some("dl1.x"));
        assert_eq!(found("__Host-drover="), None);
        assert_eq!(found("Host-drover=x; drover=y"), None);
    }

    #[test]
    fn only_pages_of_ours_change_anything_with_the_cookie() {
        let token = csrf_token("secret");
        let csrf = ("x-csrf-token", token.as_str());
        let (host, ours, theirs) =
            (("host", "fleet:8443"), ("origin", "https://fleet:8443"), ("origin", "https://evil"));
        let site = |site| ("sec-fetch-site", site);
        assert!(passes(Method::GET, &[host, theirs]), "what only reads answers to whoever can read the answer");
        assert!(passes(Method::POST, &[host, ours, csrf]));
        assert!(passes(Method::DELETE, &[host, site("same-origin"), csrf]));
        for refused in [
            &[host, csrf][..],
            &[host, ours],
            &[host, ours, ("x-csrf-token", "guess")],
            &[host, theirs, csrf],
            &[host, ("origin", "null"), csrf],
            &[host, ("origin", "https://fleet:8443.evil"), csrf],
            &[host, ("origin", "https://fleet"), csrf],
            &[host, site("cross-site"), ours, csrf],
            &[host, site("same-site"), ours, csrf],
            &[host, site("none"), ours, csrf],
        ] {
            assert!(!passes(Method::POST, refused), "{refused:?}");
        }
    }

    #[test]
    fn http2_has_the_host_in_the_address() {
        let sent = |uri: &'static str, origin: &'static str| {
            let request = Request::post(uri).header("origin", origin).body(()).expect("a request").into_parts().0;
            check_origin(&request.headers, &request.uri).is_ok()
        };
        assert!(sent("https://fleet:8443/api/v1/auth/session", "https://fleet:8443"));
        assert!(!sent("https://fleet:8443/api/v1/auth/session", "https://evil"));
        assert!(!sent("/api/v1/auth/session", "https://fleet:8443"), "no host at all");
    }

    #[test]
    fn a_session_has_its_own_token_and_a_cookie_of_this_host() {
        assert_ne!(csrf_token("one"), csrf_token("two"));
        let set = set("dl1.t.i.s").expect("a cookie");
        assert_eq!(set.to_str().ok(), Some("__Host-drover=dl1.t.i.s; Path=/; Secure; HttpOnly; SameSite=Lax"));
    }
}
