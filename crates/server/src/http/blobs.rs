//! Bytes, for whoever holds a signed address.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use drover_app::{
    App, BlobRequest, ByteStream, Error, RangeDecision, RangeRequest, ServedBlob, attachment, content_range,
    unsatisfied_range,
};
use drover_types::ErrorKind;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Stranger;
use crate::problem::{Failure, Result};
use crate::responses::ReadProblems;
use crate::state::Server;

const PREFIX: &str = "/blobs/";

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(blob_get))
}

/// Fetch an object by its signed address
///
/// Answers also HEAD. Serves one range; a device resumes with `Range` and `If-Range`.
#[utoipa::path(get, path = "/blobs/{*key}", tag = "objects", security(()),
    params(("key" = String, Path, description = "The object; the whole address comes signed from other calls")),
    responses(
        (status = 200, description = "All of it", body = String, content_type = "application/octet-stream"),
        (status = 206, description = "The range", body = String, content_type = "application/octet-stream"),
        (status = 304, description = "The client has it"),
        ReadProblems))]
async fn blob_get(
    State(app): State<Arc<App>>,
    stranger: Stranger,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let request = BlobRequest {
        method: method.as_str(),
        // As it was sent: the signature is over this text.
        key: uri.path().strip_prefix(PREFIX).unwrap_or_default(),
        query: uri.query().unwrap_or_default(),
        headers: RangeRequest {
            range: text(header::RANGE),
            if_range: text(header::IF_RANGE),
            if_none_match: text(header::IF_NONE_MATCH),
        },
    };
    let blob = app.serve_blob(request).await.map_err(|error| refused(&stranger, error))?;
    // A signature that holds is a credential.
    stranger.note_known();
    answer(blob)
}

/// A signature that does not hold is a credential that is not valid.
fn refused(stranger: &Stranger, error: Error) -> Failure {
    let counted = if error.kind == ErrorKind::Forbidden { stranger.count() } else { Ok(()) };
    counted.err().unwrap_or_else(|| error.into())
}

fn answer(blob: ServedBlob) -> Result<Response> {
    let whole_bytes = blob.size_bytes;
    let (status, content_length, range) = match &blob.decision {
        RangeDecision::Whole => (StatusCode::OK, Some(whole_bytes), None),
        RangeDecision::Partial(range) => {
            (StatusCode::PARTIAL_CONTENT, Some(range.end - range.start), Some(content_range(range, whole_bytes)))
        }
        RangeDecision::NotModified => (StatusCode::NOT_MODIFIED, None, None),
        RangeDecision::NotSatisfiable => return Ok(unsatisfiable(whole_bytes)),
    };
    // A stream also when there are no bytes: for an empty body axum would write a length of zero, which 304 and HEAD
    // would say about the object.
    let nothing = || Box::pin(futures::stream::empty()) as ByteStream;
    let mut response = Response::new(Body::from_stream(blob.body.unwrap_or_else(nothing)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert(header::ETAG, value(blob.etag)?);
    if let Some(length) = content_length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, value(range)?);
    }
    // Without a name too: bytes of others are saved, never shown.
    let disposition = blob.file_name.as_deref().map_or_else(|| "attachment".to_owned(), attachment);
    headers.insert(header::CONTENT_DISPOSITION, value(disposition)?);
    Ok(response)
}

fn unsatisfiable(whole_bytes: u64) -> Response {
    let detail = format!("the object has {whole_bytes} bytes, the range lies behind them");
    let error = Error::unprocessable("range_not_satisfiable", detail);
    let failure = Failure::with_status(StatusCode::RANGE_NOT_SATISFIABLE, error);
    ([(header::CONTENT_RANGE, unsatisfied_range(whole_bytes))], failure).into_response()
}

fn value(text: String) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|error| Error::internal("write a header", error).into())
}
