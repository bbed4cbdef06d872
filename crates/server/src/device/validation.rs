//! A device reports how an update ended.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_app::App;
use drover_protocol::{ReportReply, ValidationReport};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reporter;
use crate::extract::Json;
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(validation_report))
}

/// Report how an update ended after its self-test
#[utoipa::path(post, path = "/api/v1/validation", tag = "device side", request_body = ValidationReport,
    responses((status = 200, body = ReportReply), WriteProblems))]
async fn validation_report(
    State(app): State<Arc<App>>,
    Reporter(caller): Reporter,
    Json(body): Json<ValidationReport>,
) -> Result<Reply<ReportReply>> {
    Ok(Reply(app.validation_report(&caller, body).await?))
}
