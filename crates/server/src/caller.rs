//! Who sends the request: a caller with a valid credential, or a stranger.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use drover_app::{Caller, Error, Origin};
use drover_types::{ErrorKind, TenantId};
use serde::de::DeserializeOwned;

use crate::connection::Proof;
use crate::cookie;
use crate::extract::Json;
use crate::limits::Limits;
use crate::problem::{self, Failure, Result};
use crate::request_id::RequestId;
use crate::state::Server;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const TENANT: HeaderName = HeaderName::from_static("drover-tenant");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Name, password and tenant are far below this, also when every character of them is escaped.
const INTRODUCTION_MAX_BYTES: usize = 16 * 1024;

/// The address of the other end of the connection; the accept loop notes it in every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The token of the request, not looked at yet: `Authorization: Bearer …`, `X-API-Key`, or a browser's cookie.
pub(crate) struct Bearer {
    pub(crate) token: String,
    /// The tenant to work in, when it is not the credential's own.
    pub(crate) there: Option<TenantId>,
}

impl FromRequestParts<Server> for Bearer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let stranger = Stranger::of(parts, server);
        let has_header = parts.headers.contains_key(header::AUTHORIZATION) || parts.headers.contains_key(API_KEY);
        let token = match cookie::token(&parts.headers).filter(|_| !has_header) {
            Some(token) => {
                cookie::check(parts, token)?;
                token.to_owned()
            }
            None => token(&parts.headers).ok_or_else(|| stranger.refused(missing()))?.to_owned(),
        };
        Ok(Self { token, there: working_tenant(&parts.headers)? })
    }
}

impl FromRequestParts<Server> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let Bearer { token, there } = Bearer::from_request_parts(parts, server).await?;
        let stranger = Stranger::of(parts, server);
        let caller = stranger.proved(server.app.authenticate(&token, there, stranger.origin()).await)?;
        let span = tracing::Span::current();
        span.record("tenant", tracing::field::display(caller.tenant)).record("actor", caller.identity());
        Ok(caller)
    }
}

/// Whoever sends the request, before a credential proved anything: counted by address.
pub(crate) struct Stranger {
    address: IpAddr,
    request_id: Option<RequestId>,
    proof: Option<Proof>,
    limits: Arc<Limits>,
}

/// What a stranger says to become somebody: name and password.
///
/// No credential vouches for these bytes, so their cost is bounded before the first of them is read: the request is
/// counted by address, only so many are read at once, and each is small and has to come soon.
pub(crate) struct Introduction<T>(pub(crate) Stranger, pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Server> for Introduction<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, server: &Server) -> Result<Self> {
        let (parts, body) = request.into_parts();
        let stranger = Stranger::of(&parts, server);
        stranger.count()?;
        let listening = server.limits.listen(stranger.address);
        let mut request = Request::from_parts(parts, body);
        DefaultBodyLimit::max(INTRODUCTION_MAX_BYTES).apply(&mut request);
        let limit = server.limits.introduction_timeout;
        let Json(body) = tokio::select! {
            read = tokio::time::timeout(limit, Json::from_request(request, server)) => {
                read.map_err(|_| problem::timed_out(limit))??
            }
            () = listening.is_cut_off() => {
                let detail = "too many are logging in at this moment; try again in a second";
                return Err(Error::new(ErrorKind::Unavailable, "too_many_logins", detail).into());
            }
        };
        Ok(Self(stranger, body))
    }
}

impl FromRequestParts<Server> for Stranger {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> std::result::Result<Self, Self::Rejection> {
        Ok(Self::of(parts, server))
    }
}

impl Stranger {
    pub(crate) fn of(parts: &Parts, server: &Server) -> Self {
        let (request_id, proof) =
            (parts.extensions.get::<RequestId>().cloned(), parts.extensions.get::<Proof>().cloned());
        Self { address: address_of(parts, server), request_id, proof, limits: Arc::clone(&server.limits) }
    }

    /// Where the request came from, for the audit log.
    pub(crate) fn origin(&self) -> Origin {
        let address = (!self.address.is_unspecified()).then(|| self.address.to_canonical());
        Origin { address, request_id: self.request_id.as_ref().map(ToString::to_string) }
    }

    /// Counts a request that has no credential to be counted by.
    pub(crate) fn count(&self) -> Result<()> {
        self.limits.count_stranger(self.address)
    }

    /// The outcome of looking at its credential: when it is valid, the connection is no stranger's any more; when it is
    /// refused, the request counts as a stranger's.
    pub(crate) fn proved<T>(&self, looked: drover_app::Result<T>) -> Result<T> {
        if looked.is_ok() {
            self.note_known();
        }
        looked.map_err(|error| self.refused(error))
    }

    /// A valid credential came, or was given.
    pub(crate) fn note_known(&self) {
        if let Some(proof) = &self.proof {
            proof.given();
        }
    }

    /// The answer to a use case that failed: when it refused the credential, the request counts as a stranger's.
    pub(crate) fn refused(&self, error: Error) -> Failure {
        let counted = if error.kind == ErrorKind::Unauthenticated { self.count() } else { Ok(()) };
        counted.err().unwrap_or_else(|| error.into())
    }
}

/// The tenant to work in, when it is not the credential's own.
fn working_tenant(headers: &HeaderMap) -> Result<Option<TenantId>> {
    let Some(value) = headers.get(TENANT) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| Error::field("Drover-Tenant", "must be the id of a tenant").into())
}

fn missing() -> Error {
    let detail = "no credential: send one as Authorization: Bearer TOKEN or as X-API-Key: TOKEN";
    Error::new(ErrorKind::Unauthenticated, "unauthenticated", detail)
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

fn token(headers: &HeaderMap) -> Option<&str> {
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers);
    }
    headers.get(API_KEY)?.to_str().ok().map(str::trim).filter(|token| !token.is_empty())
}

/// Where the request came from.
pub(crate) fn address_of(parts: &Parts, server: &Server) -> IpAddr {
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let forwarded = server.limits.trust_forwarded_for.then(|| forwarded_for(&parts.headers)).flatten();
    forwarded.unwrap_or(peer)
}

/// The address that the nearest proxy saw: the last one, as those before it are the client's own words.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_token_comes_in_either_header() {
        let found = |pairs: &[_]| token(&headers(pairs)).map(str::to_owned);
        assert_eq!(found(&[(header::AUTHORIZATION, "Bearer abc")]).as_deref(), Some("abc"));
        assert_eq!(found(&[(header::AUTHORIZATION, "bearer  abc ")]).as_deref(), Some("abc"));
        assert_eq!(found(&[(API_KEY, "abc")]).as_deref(), Some("abc"));
        assert_eq!(found(&[(API_KEY, "key"), (header::AUTHORIZATION, "Bearer abc")]).as_deref(), Some("abc"));
        for none in [(header::AUTHORIZATION, "Basic abc"), (header::AUTHORIZATION, "Bearer "), (API_KEY, "")] {
            assert_eq!(found(std::slice::from_ref(&none)), None, "{none:?}");
        }
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn only_the_nearest_proxy_is_believed() {
        let chain = headers(&[(FORWARDED_FOR, "9.9.9.9"), (FORWARDED_FOR, "1.1.1.1, 2001:db8::7")]);
        assert_eq!(forwarded_for(&chain), "2001:db8::7".parse().ok());
        assert_eq!(forwarded_for(&headers(&[(FORWARDED_FOR, "unknown")])), None);
        assert_eq!(forwarded_for(&headers(&[])), None);
    }
}
