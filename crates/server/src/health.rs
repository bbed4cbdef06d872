//! Whether the service lives, and whether it can work.

use axum::extract::State;
use drover_app::Error;
use drover_types::ErrorKind;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::metrics;
use crate::problem::Result;
use crate::responses::OpenProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    let probes = OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(health)).routes(routes!(readyz));
    probes.merge(metrics::routes())
}

/// Whether the process lives
///
/// Looks at nothing else: a restart does not heal a database.
#[utoipa::path(get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"), OpenProblems))]
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the process lives, under its other name
#[utoipa::path(get, path = "/health", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"), OpenProblems))]
async fn health() -> &'static str {
    "ok\n"
}

/// Whether requests can be served now
///
/// Asks the database and the object store. 503 as soon as a shutdown begins.
#[utoipa::path(get, path = "/readyz", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"), OpenProblems))]
async fn readyz(State(server): State<Server>) -> Result<&'static str> {
    if server.shutdown.is_cancelled() {
        return Err(Error::new(ErrorKind::Unavailable, "shutting_down", "the server is shutting down").into());
    }
    server.app.ready().await?;
    Ok("ok\n")
}
