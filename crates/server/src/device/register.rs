//! A device registers.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use drover_app::{App, Enrolment};
use drover_protocol::{RegisterReply, RegisterRequest};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{Bearer, Stranger};
use crate::extract::Json;
use crate::problem::{Failure, Result};
use crate::responses::WriteProblems;
use crate::router::SHARED_CREDENTIAL_MAX_BYTES;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(device_register)).layer(DefaultBodyLimit::max(SHARED_CREDENTIAL_MAX_BYTES))
}

/// A caller with a valid enrolment token, known before its body is read.
struct Enrolling(Enrolment);

impl FromRequestParts<Server> for Enrolling {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let Bearer { token, .. } = Bearer::from_request_parts(parts, server).await?;
        let stranger = Stranger::of(parts, server);
        stranger.proved(server.app.enrolment(&token).await).map(Self)
    }
}

/// Register a device
///
/// The credential is an enrolment token; the answer holds the device's own.
#[utoipa::path(post, path = "/api/v1/devices/register", tag = "device side", request_body = RegisterRequest,
    responses((status = 201, body = RegisterReply), WriteProblems))]
async fn device_register(
    State(app): State<Arc<App>>,
    stranger: Stranger,
    Enrolling(enrolment): Enrolling,
    Json(body): Json<RegisterRequest>,
) -> Result<(StatusCode, Reply<RegisterReply>)> {
    let reply = app.device_register(enrolment, body).await.map_err(|error| stranger.refused(error))?;
    Ok((StatusCode::CREATED, Reply(reply)))
}
