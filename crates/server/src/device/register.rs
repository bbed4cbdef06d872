//! A device registers.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_app::App;
use drover_protocol::{RegisterReply, RegisterRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{Bearer, Stranger};
use crate::extract::Json;
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(device_register))
}

/// Register a device
///
/// The credential is an enrolment token; the answer holds the device's own.
#[utoipa::path(post, path = "/api/v1/devices/register", tag = "device side", request_body = RegisterRequest,
    responses((status = 201, body = RegisterReply), WriteProblems))]
async fn device_register(
    State(app): State<Arc<App>>,
    stranger: Stranger,
    Bearer { token, .. }: Bearer,
    Json(body): Json<RegisterRequest>,
) -> Result<(StatusCode, Reply<RegisterReply>)> {
    let reply = app.device_register(&token, body).await.map_err(|error| stranger.refused(error))?;
    Ok((StatusCode::CREATED, Reply(reply)))
}
