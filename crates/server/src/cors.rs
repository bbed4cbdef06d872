//! Which pages of other origins may call the API.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::CorsLayer;

use crate::request_id;

/// Lets pages from `origins` call. Tokens travel in a header that the page sets itself, never in cookies, so
/// credentials of the browser are not let through.
pub(crate) fn layer(origins: Vec<HeaderValue>) -> CorsLayer {
    let name = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            header::RANGE,
            name("drover-tenant"),
            name("idempotency-key"),
            name("x-api-key"),
            request_id::HEADER,
        ])
        .expose_headers([
            header::CONTENT_RANGE,
            header::ETAG,
            header::LOCATION,
            header::RETRY_AFTER,
            name("ratelimit-limit"),
            name("ratelimit-remaining"),
            name("ratelimit-reset"),
            request_id::HEADER,
        ])
        .max_age(Duration::from_mins(10))
}
