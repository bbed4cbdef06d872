//! Attributes of devices.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_api::{DeviceAttributes, DeviceAttributesChange};
use drover_app::{App, Caller};
use drover_types::DeviceId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json, Path};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(device_attributes, device_attributes_replace, device_attributes_change))
}

/// A device's attributes
#[utoipa::path(get, path = "/api/v1/devices/{id}/attributes", tag = "devices", params(("id" = DeviceId, Path)),
    responses((status = 200, body = DeviceAttributes), ReadProblems))]
async fn device_attributes(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<DeviceId>,
) -> Result<Reply<DeviceAttributes>> {
    Ok(Reply(app.device_attributes(&caller, id).await?))
}

/// Give a device exactly these attributes
#[utoipa::path(put, path = "/api/v1/devices/{id}/attributes", tag = "devices",
    params(("id" = DeviceId, Path)), request_body = DeviceAttributes,
    responses((status = 200, body = DeviceAttributes), WriteProblems))]
async fn device_attributes_replace(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<DeviceId>,
    Json(body): Json<DeviceAttributes>,
) -> Result<Reply<DeviceAttributes>> {
    Ok(Reply(app.device_attributes_replace(&caller, id, body).await?))
}

/// Set and remove some attributes of a device
#[utoipa::path(patch, path = "/api/v1/devices/{id}/attributes", tag = "devices",
    params(("id" = DeviceId, Path)), request_body = DeviceAttributesChange,
    responses((status = 200, body = DeviceAttributes), WriteProblems))]
async fn device_attributes_change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<DeviceId>,
    Json(body): Json<DeviceAttributesChange>,
) -> Result<Reply<DeviceAttributes>> {
    Ok(Reply(app.device_attributes_change(&caller, id, body).await?))
}
