//! Figures of the whole installation: for whoever watches it, not for its tenants. Counted together, each tenant could
//! subtract its own and would have those of the others.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use drover_app::sha256;
use drover_types::Sha256Digest;
use subtle::ConstantTimeEq as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{Peer, bearer};
use crate::problem::{Result, no_such_path};
use crate::responses::{OpenProblems, ProblemResponse};
use crate::state::Server;

/// What Prometheus shows to read figures from another machine: kept as a hash.
#[derive(Clone, PartialEq, Eq)]
pub struct MetricsToken(Sha256Digest);

impl std::fmt::Debug for MetricsToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsToken").finish_non_exhaustive()
    }
}

/// The token does not fit. It is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("metrics_token must have 16 to 200 printable characters; make one with `openssl rand -hex 32`")]
pub struct InvalidMetricsToken;

impl MetricsToken {
    /// From 16 to 200 printable characters.
    pub fn new(text: &str) -> std::result::Result<Self, InvalidMetricsToken> {
        let fits = (16..=200).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
        if fits { Ok(Self(sha256(text.as_bytes()))) } else { Err(InvalidMetricsToken) }
    }

    /// Whether it is this one; takes the same time for any other.
    fn is(&self, presented: &str) -> bool {
        sha256(presented.as_bytes()).as_bytes().ct_eq(self.0.as_bytes()).into()
    }
}

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// Figures for Prometheus
///
/// On the server's own machine without a credential, from elsewhere with the setting `metrics_token` as bearer token;
/// otherwise 404.
#[utoipa::path(get, path = "/metrics", tag = "operations", security((), ("bearer" = [])),
    responses((status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = 404, response = ProblemResponse), OpenProblems))]
async fn metrics(State(server): State<Server>, parts: Parts) -> Result<impl IntoResponse> {
    if !may_read(&parts, server.metrics_token.as_ref()) {
        return Err(no_such_path(parts.uri.path()));
    }
    let text = server.app.metrics_text().await?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

fn may_read(parts: &Parts, token: Option<&MetricsToken>) -> bool {
    is_from_this_machine(parts) || token.zip(bearer(&parts.headers)).is_some_and(|(token, sent)| token.is(sent))
}

/// Whether a program of this machine asks for itself. A proxy on this machine says that it asks for somebody else.
fn is_from_this_machine(parts: &Parts) -> bool {
    let is_local = |address: IpAddr| address.to_canonical().is_loopback();
    let is_forwarded =
        |name: &str| matches!(name, "forwarded" | "x-real-ip" | "via") || name.starts_with("x-forwarded-");
    parts.extensions.get::<Peer>().is_some_and(|peer| is_local(peer.0))
        && !parts.headers.keys().any(|name| is_forwarded(name.as_str()))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn reads(peer: &str, headers: &[(&str, &str)], token: Option<&str>) -> bool {
        let mut request = Request::get("/metrics");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).expect("a request").into_parts().0;
        parts.extensions.insert(Peer(peer.parse().expect("an address")));
        let token = token.map(|token| MetricsToken::new(token).expect("long enough"));
        may_read(&parts, token.as_ref())
    }

    #[test]
    fn programs_of_this_machine_need_no_token_and_proxies_do() {
        for peer in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            assert!(reads(peer, &[], None), "{peer}");
        }
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "via"] {
            assert!(!reads("127.0.0.1", &[(name, "127.0.0.1")], Some(TOKEN)), "{name}");
        }
        let unknown = Request::get("/metrics").body(()).expect("a request").into_parts().0;
        assert!(!may_read(&unknown, None), "nobody knows from where");
    }

    #[test]
    fn other_machines_need_the_token() {
        let sent = format!("Bearer {TOKEN}");
        for peer in ["10.0.0.7", "::ffff:10.0.0.7", "2001:db8::1"] {
            assert!(!reads(peer, &[], Some(TOKEN)));
            assert!(!reads(peer, &[("authorization", &sent)], None), "there is no token by itself");
            assert!(reads(peer, &[("authorization", &sent)], Some(TOKEN)));
            assert!(!reads(peer, &[("authorization", "Bearer 0123456789abcdeg")], Some(TOKEN)));
            assert!(!reads(peer, &[("x-api-key", TOKEN)], Some(TOKEN)));
        }
        assert!(reads("127.0.0.1", &[("authorization", &sent), ("x-forwarded-for", "10.0.0.7")], Some(TOKEN)));
    }

    #[test]
    fn a_token_is_long_and_never_shown() {
        for bad in ["", "0123456789abcde", "0123456789abcde ", &"x".repeat(201)] {
            assert_eq!(MetricsToken::new(bad), Err(InvalidMetricsToken), "{bad:?}");
        }
        let shown = format!("{:?}", MetricsToken::new(TOKEN).expect("long enough"));
        assert_eq!(shown, "MetricsToken { .. }");
    }
}
