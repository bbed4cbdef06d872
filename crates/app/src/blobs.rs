//! Bytes of the folder back-end, for whoever holds a signed address.

use drover_blob::{ByteStream, RangeDecision, RangeRequest, UrlError, resolve_range, verify_file_url};
use drover_types::ErrorKind;

use crate::{App, Error, Result};

/// What the request carries beside its path.
#[derive(Debug, Clone, Copy)]
pub struct BlobRequest<'a> {
    /// `GET` or `HEAD`.
    pub method: &'a str,
    /// The path behind `/blobs/`, not decoded.
    pub key: &'a str,
    /// The query, not decoded.
    pub query: &'a str,
    /// `Range`, `If-Range` and `If-None-Match`.
    pub headers: RangeRequest<'a>,
}

/// What to answer.
pub struct ServedBlob {
    /// Which part of the object.
    pub decision: RangeDecision,
    /// The object's size.
    pub size_bytes: u64,
    /// Its entity tag, with quotes.
    pub etag: String,
    /// The name to save it under.
    pub file_name: Option<String>,
    /// The bytes; none for HEAD, 304 and 416.
    pub body: Option<ByteStream>,
}

impl App {
    /// Answers a signed address of the folder back-end. Other back-ends answer theirs themselves.
    pub async fn serve_blob(&self, request: BlobRequest<'_>) -> Result<ServedBlob> {
        let url_key = self.url_key.as_ref().ok_or_else(|| Error::not_found("object", request.key))?;
        let url = verify_file_url(url_key, request.method, request.key, request.query, self.now());
        let url = url.map_err(refused_url)?;
        let unreadable = |error: drover_blob::GetError| {
            Error::new(error.kind(), "object_unreadable", error.to_string()).with_source(error)
        };
        let info = self.blobs.head(&url.key).await.map_err(unreadable)?;
        let decision = resolve_range(request.headers, info.size_bytes, &info.etag);
        let range = match &decision {
            RangeDecision::Whole => Some(None),
            RangeDecision::Partial(range) => Some(Some(range.clone())),
            RangeDecision::NotModified | RangeDecision::NotSatisfiable => None,
        };
        let body = match range {
            Some(range) if request.method == "GET" => Some(self.blobs.get(&url.key, range).await.map_err(unreadable)?),
            _ => None,
        };
        Ok(ServedBlob { decision, size_bytes: info.size_bytes, etag: info.etag, file_name: url.file_name, body })
    }
}

fn refused_url(error: UrlError) -> Error {
    let code = match error {
        UrlError::Expired { .. } => "url_expired",
        _ => "url_refused",
    };
    Error::new(ErrorKind::Forbidden, code, error.to_string()).with_source(error)
}
