//! Every error leaves as RFC 9457 problem details: mapped, logged and rendered here, in one place.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use drover_api::Problem;
use drover_app::Error;
use drover_types::ErrorKind;

use crate::limits::Standing;
use crate::log_limit;
use crate::request_id::RequestId;

/// The media type of every error.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";

/// The status of each kind of error.
const fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Malformed => StatusCode::BAD_REQUEST,
        ErrorKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A request failed. As a response it has a status and no body yet: [`render`] writes that.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    error: Arc<Error>,
    /// What a caller who asked too often is told.
    standing: Option<Standing>,
}

/// What a handler returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { status: status_of(error.kind), error: Arc::new(error), standing: None }
    }
}

impl Failure {
    /// A failure that HTTP has a status of its own for.
    pub(crate) fn with_status(status: StatusCode, error: Error) -> Self {
        Self { status, ..error.into() }
    }

    /// The same with what the caller is told about a limit.
    pub(crate) fn with_standing(self, standing: Standing) -> Self {
        Self { standing: Some(standing), ..self }
    }

    /// A failure of which only the status is known.
    fn from_status(status: StatusCode) -> Self {
        let (kind, code) = match status {
            StatusCode::METHOD_NOT_ALLOWED => (ErrorKind::Malformed, "method_not_allowed"),
            StatusCode::PAYLOAD_TOO_LARGE => (ErrorKind::TooLarge, "too_large"),
            StatusCode::NOT_FOUND => (ErrorKind::NotFound, "not_found"),
            status if status.is_server_error() => (ErrorKind::Internal, "internal"),
            _ => (ErrorKind::Malformed, "bad_request"),
        };
        let detail = match status {
            StatusCode::METHOD_NOT_ALLOWED => "this path has other methods: the Allow header names them",
            _ => status.canonical_reason().unwrap_or("the request failed"),
        };
        Self::with_status(status, Error::new(kind, code, detail))
    }

    fn problem(&self, request_id: Option<&RequestId>) -> Problem {
        Problem {
            type_uri: format!("urn:drover:problem:{}", self.error.code),
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: Some(self.error.detail.clone()),
            kind: self.error.kind,
            request_id: request_id.map(ToString::to_string),
            errors: self.error.fields.clone(),
        }
    }

    fn log(&self) {
        let status = self.status.as_u16();
        if !self.status.is_server_error() {
            tracing::debug!(code = self.error.code, status, "request refused: {}", causes(&self.error));
        } else if log_limit::FAILED.has_room() {
            tracing::error!(code = self.error.code, status, "request failed: {}", causes(&self.error));
        }
    }
}

/// The longest that the log tells of one error, in characters: errors repeat what clients send.
const CAUSES_MAX_CHARS: usize = 2_000;

/// The error and all its causes in one line.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let causes = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    causes.chars().take(CAUSES_MAX_CHARS).collect()
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(standing) = self.standing {
            standing.write(headers);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives every error its body: those of handlers and those that axum itself answers with.
pub(crate) async fn render(request: Request, next: Next) -> Response {
    let is_head = request.method() == Method::HEAD;
    let request_id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let failure = response.extensions_mut().remove::<Failure>().unwrap_or_else(|| Failure::from_status(status));
    failure.log();
    let body = serde_json::to_vec(&failure.problem(request_id.as_ref())).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = if is_head { Body::empty() } else { Body::from(body) };
    response
}

/// Answers paths that nothing is at.
pub(crate) fn no_such_path(path: &str) -> Failure {
    let path: String = path.chars().take(200).collect();
    Error::new(
        ErrorKind::NotFound,
        "no_such_path",
        format!("there is nothing at {path}; /openapi.json lists all paths"),
    )
    .into()
}

/// Answers when a handler panicked.
pub(crate) fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    drop(panic);
    Failure::from(Error::internal("answer the request", Panicked { text })).into_response()
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked: {text}")]
struct Panicked {
    text: String,
}

/// Answers when a request took longer than it may.
pub(crate) fn timed_out(after: std::time::Duration) -> Failure {
    let detail = format!("the request was given up after {} ms; send it again", after.as_millis());
    Error::new(ErrorKind::Timeout, "timeout", detail).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_status_of_its_own() {
        let statuses: std::collections::BTreeSet<u16> =
            ErrorKind::ALL.iter().map(|kind| status_of(*kind).as_u16()).collect();
        assert_eq!(statuses.len(), ErrorKind::ALL.len());
        assert!(statuses.iter().all(|status| (400..600).contains(status)));
    }

    #[test]
    fn a_problem_carries_code_fields_and_request_id() {
        let failure = Failure::from(Error::field("stages[0].percentage", "must rise"));
        let id = RequestId::accept("abc").expect("a fine id");
        let json = serde_json::to_value(failure.problem(Some(&id))).expect("JSON");
        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:drover:problem:invalid", "title": "Unprocessable Entity", "status": 422,
                "detail": "stages[0].percentage: must rise", "kind": "unprocessable", "request_id": "abc",
                "errors": [{ "field": "stages[0].percentage", "message": "must rise" }],
            })
        );
    }

    #[test]
    fn the_log_has_all_causes_and_the_caller_none() {
        let error = Error::internal("use the database", std::io::Error::other("disk on fire"));
        assert!(causes(&error).ends_with("disk on fire"), "{}", causes(&error));
        let problem = Failure::from(error).problem(None);
        assert!(!problem.detail.is_some_and(|detail| detail.contains("fire")));
    }
}
