//! Devices, as operators see them.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{Device, DeviceCount, DeviceCountFilter, DeviceFilter, DeviceUpdate, Page, PageQuery, UpdateSession};
use drover_app::{App, Caller};
use drover_types::DeviceId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(device_list))
        .routes(routes!(device_count))
        .routes(routes!(device_view, device_update, device_delete))
        .routes(routes!(device_updates))
}

/// Devices, newest first
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", params(DeviceFilter),
    responses((status = 200, body = Page<Device>), ReadProblems))]
async fn device_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<DeviceFilter>,
) -> Result<Reply<Page<Device>>> {
    Ok(Reply(app.device_list(&caller, &query).await?))
}

/// How many devices there are
#[utoipa::path(get, path = "/api/v1/devices/count", tag = "devices", params(DeviceCountFilter),
    responses((status = 200, body = DeviceCount), ReadProblems))]
async fn device_count(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<DeviceCountFilter>,
) -> Result<Reply<DeviceCount>> {
    Ok(Reply(app.device_count(&caller, query).await?))
}

/// One device
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "devices", params(("id" = DeviceId, Path)),
    responses((status = 200, body = Device), ReadProblems))]
async fn device_view(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<DeviceId>) -> Result<Reply<Device>> {
    Ok(Reply(app.device_view(&caller, id).await?))
}

/// Change a device's metadata and groups
#[utoipa::path(put, path = "/api/v1/devices/{id}", tag = "devices",
    params(("id" = DeviceId, Path)), request_body = DeviceUpdate,
    responses((status = 200, body = Device), WriteProblems))]
async fn device_update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<DeviceId>,
    Json(body): Json<DeviceUpdate>,
) -> Result<Reply<Device>> {
    Ok(Reply(app.device_update(&caller, id, body).await?))
}

/// Forget a device: its token stops working, its history goes
#[utoipa::path(delete, path = "/api/v1/devices/{id}", tag = "devices", params(("id" = DeviceId, Path)),
    responses((status = 204), WriteProblems))]
async fn device_delete(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<DeviceId>) -> Result<StatusCode> {
    app.device_delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A device's updates, newest first
#[utoipa::path(get, path = "/api/v1/devices/{id}/updates", tag = "devices", params(("id" = DeviceId, Path), PageQuery),
    responses((status = 200, body = Page<UpdateSession>), ReadProblems))]
async fn device_updates(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<DeviceId>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<UpdateSession>>> {
    Ok(Reply(app.device_updates(&caller, id, &query).await?))
}
