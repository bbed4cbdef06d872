//! A device lives and tells what it runs.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_app::{Actor, App, Error};
use drover_protocol::{Heartbeat, HeartbeatReply};
use drover_types::DeviceId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Reporter;
use crate::extract::{Json, Path};
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(heartbeat)).routes(routes!(device_status))
}

/// Say that the device lives and what it runs
#[utoipa::path(post, path = "/api/v1/heartbeat", tag = "device side", request_body = Heartbeat,
    responses((status = 200, body = HeartbeatReply), WriteProblems))]
async fn heartbeat(
    State(app): State<Arc<App>>,
    Reporter(caller): Reporter,
    Json(body): Json<Heartbeat>,
) -> Result<Reply<HeartbeatReply>> {
    Ok(Reply(app.heartbeat(&caller, body).await?))
}

/// Say that the device lives, under the device's own path
#[utoipa::path(post, path = "/api/v1/devices/{id}/status", tag = "device side", params(("id" = DeviceId, Path)),
    request_body = Heartbeat, responses((status = 200, body = HeartbeatReply), WriteProblems))]
async fn device_status(
    State(app): State<Arc<App>>,
    Reporter(caller): Reporter,
    Path(id): Path<DeviceId>,
    Json(body): Json<Heartbeat>,
) -> Result<Reply<HeartbeatReply>> {
    if let Actor::Device { id: own, .. } = &caller.actor
        && *own != id
    {
        // Other devices are not visible to a device.
        return Err(Error::not_found("device", id).into());
    }
    Ok(Reply(app.heartbeat(&caller, body).await?))
}
