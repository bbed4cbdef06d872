//! One id per request: in its answer, in problems, in the audit log and in every line of the log; and what is noted of
//! each request: one line, and the numbers for Prometheus.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use drover_app::HttpMetrics;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::log_limit;
use crate::trace_context::TraceId;

/// Where the id travels.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MAX_CHARS: usize = 64;

/// Calls that come all the time, from every device or from whoever watches the service. When they succeed, their lines
/// are for debugging: the numbers tell how many there were.
const FREQUENT: [&str; 9] = [
    "/api/v1/updates/check",
    "/api/v1/heartbeat",
    "/api/v1/status",
    "/api/v1/validation",
    "/api/v1/devices/{id}/status",
    "/healthz",
    "/health",
    "/readyz",
    "/metrics",
];

/// The id of a request: the client's own, or a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The client's id: 1 to 64 characters `A-Za-z0-9._-`; none when it is anything else.
    pub(crate) fn accept(text: &str) -> Option<Self> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=MAX_CHARS).contains(&text.len()) && text.chars().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    #[expect(clippy::disallowed_methods, reason = "it names a request in the log, nothing is decided or stored by it")]
    fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives the request its id and its span, and notes how it went.
pub(crate) async fn assign(State(metrics): State<Arc<HttpMetrics>>, mut request: Request, next: Next) -> Response {
    let own = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).and_then(RequestId::accept);
    let id = own.unwrap_or_else(RequestId::generate);
    // The template, not the path: object names and ids belong to their lines, not to every one.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route_text = route.as_ref().map_or("-", MatchedPath::as_str);
    let trace_id = TraceId::of(request.headers());
    let method = method_text(request.method());
    // Of the highest level: whatever is logged at all says to which request it belongs. Who calls is known later.
    let span = tracing::error_span!(
        "request", method, route = route_text, request_id = %id, %trace_id, tenant = Empty, actor = Empty
    );
    request.extensions_mut().insert(id.clone());

    let started = tokio::time::Instant::now();
    async move {
        let mut response = next.run(request).await;
        let (status, duration) = (response.status(), started.elapsed());
        let route = route.as_ref().map_or("-", MatchedPath::as_str);
        metrics.answered(method, route, status.as_u16(), duration);
        let (status, duration_ms) = (status.as_u16(), duration.as_secs_f64() * 1_000.0);
        if status < 400 && FREQUENT.contains(&route) {
            tracing::debug!(status, duration_ms, "answered");
        } else if status < 400 || (tracing::enabled!(tracing::Level::INFO) && log_limit::ANSWERED.has_room()) {
            tracing::info!(status, duration_ms, "answered");
        }
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(HEADER, value);
        }
        response
    }
    .instrument(span)
    .await
}

/// The method as one of few words: a client can make up others.
fn method_text(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frequent_calls_are_there() {
        let document = serde_json::to_value(crate::openapi()).expect("a document");
        for route in FREQUENT {
            assert!(document["paths"].get(route).is_some(), "{route}");
        }
    }

    #[test]
    fn only_plain_ids_are_taken_over() {
        for good in ["a", "0190a1b2-c3d4", "trace.span_1", &"x".repeat(64)] {
            assert_eq!(RequestId::accept(good).map(|id| id.to_string()).as_deref(), Some(good));
        }
        for bad in ["", "a b", "a\"b", "a/b", "naïve", &"x".repeat(65)] {
            assert_eq!(RequestId::accept(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn new_ids_differ_and_are_plain() {
        let (one, other) = (RequestId::generate(), RequestId::generate());
        assert_ne!(one, other);
        assert!(RequestId::accept(&one.0).is_some());
    }
}
