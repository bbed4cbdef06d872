//! One id per request: in its answer, in problems and in every line of the log.

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

/// Where the id travels.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MAX_CHARS: usize = 64;

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

/// Gives the request its id and its span.
pub(crate) async fn assign(mut request: Request, next: Next) -> Response {
    let own = request.headers().get(HEADER).and_then(|value| value.to_str().ok()).and_then(RequestId::accept);
    let id = own.unwrap_or_else(RequestId::generate);
    // The template, not the path: object names and ids belong to their lines, not to every one.
    let path = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", method = %request.method(), path, request_id = %id);
    request.extensions_mut().insert(id.clone());

    let started = tokio::time::Instant::now();
    async move {
        let mut response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), elapsed_ms = started.elapsed().as_millis(), "answered");
        if let Ok(value) = HeaderValue::from_str(&id.0) {
            response.headers_mut().insert(HEADER, value);
        }
        response
    }
    .instrument(span)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

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
