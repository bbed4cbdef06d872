//! Tags on devices.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use drover_app::{App, Caller};
use drover_types::DeviceId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Path;
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(device_tag_add, device_tag_remove))
}

/// Put a tag on a device: 1 to 63 characters `a-z 0-9 . _ : -`, at most 100 per device
#[utoipa::path(put, path = "/api/v1/devices/{id}/tags/{tag}", tag = "devices",
    params(("id" = DeviceId, Path), ("tag" = String, Path)),
    responses((status = 204), WriteProblems))]
async fn device_tag_add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, tag)): Path<(DeviceId, String)>,
) -> Result<StatusCode> {
    app.device_tag_add(&caller, id, tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a tag off a device
#[utoipa::path(delete, path = "/api/v1/devices/{id}/tags/{tag}", tag = "devices",
    params(("id" = DeviceId, Path), ("tag" = String, Path)),
    responses((status = 204), WriteProblems))]
async fn device_tag_remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, tag)): Path<(DeviceId, String)>,
) -> Result<StatusCode> {
    app.device_tag_remove(&caller, id, tag).await?;
    Ok(StatusCode::NO_CONTENT)
}
