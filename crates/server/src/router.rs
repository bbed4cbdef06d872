//! All routes, and what every request passes through.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use drover_app::HttpMetrics;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::config::{ConfigError, HttpConfig};
use crate::problem::{self, Failure};
use crate::state::Server;
use crate::{cors, device, health, http, limits, openapi, request_id, transfer};

/// The largest body of JSON.
const JSON_MAX_BYTES: usize = 1024 * 1024;

/// The largest body of a caller whose credential is in many hands: enrolment tokens and presign keys.
pub(crate) const SHARED_CREDENTIAL_MAX_BYTES: usize = 64 * 1024;

/// Calls with small bodies, that are answered soon.
pub(crate) fn quick_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().merge(http::routes()).merge(device::routes())
}

/// Calls that move objects of any size.
pub(crate) fn transfer_routes() -> OpenApiRouter<Server> {
    http::transfer_routes()
}

/// The whole service.
pub(crate) fn build(server: Server, config: &HttpConfig) -> Result<Router, ConfigError> {
    let in_time = from_fn_with_state(config.request_timeout(), limit_time);
    let quick = Router::from(quick_routes()).layer(DefaultBodyLimit::max(JSON_MAX_BYTES)).layer(in_time.clone());
    // Their size is bounded by the use case, which knows what was announced and counts what arrives.
    let transfer = Router::from(transfer_routes()).layer(DefaultBodyLimit::disable());
    let api = quick
        .merge(transfer)
        .layer(from_fn_with_state(config.transfer_idle_timeout(), transfer::guard_body))
        .layer(map_response(never_store));
    // Only until the bytes begin to flow; then the connection looks after them.
    let blobs = Router::from(http::blob_routes()).layer(in_time.clone());
    let probes = Router::from(health::routes()).layer(in_time);
    let metrics = server.app.http_metrics();
    let routes = Router::new()
        .merge(api)
        .merge(blobs)
        .merge(probes)
        .merge(openapi::route())
        .fallback(nothing_here)
        .layer(from_fn_with_state(server.clone(), limits::admit))
        .with_state(server);
    wrap(routes, config, metrics)
}

/// What every request passes through, outermost last.
pub(crate) fn wrap(routes: Router, config: &HttpConfig, metrics: Arc<HttpMetrics>) -> Result<Router, ConfigError> {
    let origins = config.origins()?;
    let routes = routes.layer(CatchPanicLayer::custom(problem::panicked));
    let routes = if origins.is_empty() { routes } else { routes.layer(cors::layer(origins)) };
    let routes = routes.layer(map_response(never_sniff)).layer(from_fn(problem::render));
    Ok(routes.layer(from_fn_with_state(metrics, request_id::assign)))
}

/// Gives up a request that takes too long.
pub(crate) async fn limit_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(limit, next.run(request)).await;
    answer.unwrap_or_else(|_| problem::timed_out(limit).into_response())
}

/// Answers hold secrets and the state of now.
async fn never_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Nothing here is a page: a browser shall not guess that it were.
async fn never_sniff(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn nothing_here(uri: Uri) -> Failure {
    problem::no_such_path(uri.path())
}

#[cfg(test)]
mod tests;
