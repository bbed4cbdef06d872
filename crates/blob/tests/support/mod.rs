//! A small server for the folder's URLs.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, RawQuery, State};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use drover_blob::{
    BlobStore, OpenOptions, RangeDecision, RangeRequest, attachment, content_range, open, resolve_range,
    unsatisfied_range, verify_file_url,
};
use drover_types::{Clock, SystemClock, TenantId, Timestamp};

const SIGNING_KEY: [u8; 32] = [42; 32];

pub(crate) fn new_tenant() -> TenantId {
    let mut random = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut random).expect("randomness");
    TenantId::generate(Timestamp::from_micros(0), u128::from_be_bytes(random))
}

/// A store in a folder, whose URLs are served until the test ends.
pub(crate) async fn serve_folder(root: &Path) -> Arc<dyn BlobStore> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let options = OpenOptions {
        public_url: format!("http://{}", listener.local_addr().expect("an address")),
        signing_key: SIGNING_KEY,
        reserve_bytes: Some(0),
        s3_credentials: None,
    };
    let store = open(&format!("file:{}", root.display()), options).expect("a store");
    let app = Router::new().route("/blobs/{*key}", axum::routing::any(serve)).with_state(store.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    store
}

async fn serve(
    State(store): State<Arc<dyn BlobStore>>,
    method: Method,
    UrlPath(key): UrlPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let verified = match verify_file_url(&SIGNING_KEY, method.as_str(), &key, &query, SystemClock.now()) {
        Ok(verified) => verified,
        Err(error) => return (StatusCode::FORBIDDEN, error.to_string()).into_response(),
    };
    let Ok(info) = store.head(&verified.key).await else { return StatusCode::NOT_FOUND.into_response() };
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let request = RangeRequest {
        range: text(header::RANGE),
        if_range: text(header::IF_RANGE),
        if_none_match: text(header::IF_NONE_MATCH),
    };
    let mut answer = vec![(header::ETAG, info.etag.clone())];
    answer.extend(verified.file_name.map(|name| (header::CONTENT_DISPOSITION, attachment(&name))));
    let (status, part) = match resolve_range(request, info.size_bytes, &info.etag) {
        RangeDecision::Whole => (StatusCode::OK, 0..info.size_bytes),
        RangeDecision::Partial(part) => {
            answer.push((header::CONTENT_RANGE, content_range(&part, info.size_bytes)));
            (StatusCode::PARTIAL_CONTENT, part)
        }
        RangeDecision::NotModified => return StatusCode::NOT_MODIFIED.into_response(),
        RangeDecision::NotSatisfiable => {
            let range = [(header::CONTENT_RANGE, unsatisfied_range(info.size_bytes))];
            return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
        }
    };
    answer.push((header::CONTENT_LENGTH, (part.end - part.start).to_string()));
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        let range = (status == StatusCode::PARTIAL_CONTENT).then_some(part);
        Body::from_stream(store.get(&verified.key, range).await.expect("the object can be read"))
    };
    let mut response = (status, body).into_response();
    for (name, value) in answer {
        response.headers_mut().insert(name, value.parse().expect("a header"));
    }
    response
}
