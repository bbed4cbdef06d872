//! A device reports how an update is going.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_app::App;
use drover_protocol::{ReportReply, StatusReport};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reporter;
use crate::extract::Json;
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(status_report))
}

/// Report how an update is going
#[utoipa::path(post, path = "/api/v1/status", tag = "device side", request_body = StatusReport,
    responses((status = 200, body = ReportReply), WriteProblems))]
async fn status_report(
    State(app): State<Arc<App>>,
    Reporter(caller): Reporter,
    Json(body): Json<StatusReport>,
) -> Result<Reply<ReportReply>> {
    Ok(Reply(app.status_report(&caller, body).await?))
}
