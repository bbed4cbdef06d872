//! Firmware.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use drover_api::{Firmware, FirmwareCreate, FirmwareFilter, Page};
use drover_app::{App, Caller};
use drover_types::FirmwareId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(firmware_list, firmware_create))
        .routes(routes!(firmware_view, firmware_delete))
        .routes(routes!(firmware_publish))
        .routes(routes!(firmware_download))
}

/// Firmware, newest first
#[utoipa::path(get, path = "/api/v1/firmware", tag = "firmware", params(FirmwareFilter),
    responses((status = 200, body = Page<Firmware>), ReadProblems))]
async fn firmware_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<FirmwareFilter>,
) -> Result<Reply<Page<Firmware>>> {
    Ok(Reply(app.firmware_list(&caller, &query).await?))
}

/// Create a firmware from its signed manifest; its artifacts are uploaded afterwards
#[utoipa::path(post, path = "/api/v1/firmware", tag = "firmware", params(Idempotency), request_body = FirmwareCreate,
    responses((status = 201, body = Firmware), WriteProblems))]
async fn firmware_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<FirmwareCreate>,
) -> Result<(StatusCode, Reply<Firmware>)> {
    let key = idempotency.key("firmware_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.firmware_create(&caller, body, key).await?)))
}

/// One firmware
#[utoipa::path(get, path = "/api/v1/firmware/{id}", tag = "firmware", params(("id" = FirmwareId, Path)),
    responses((status = 200, body = Firmware), ReadProblems))]
async fn firmware_view(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<FirmwareId>,
) -> Result<Reply<Firmware>> {
    Ok(Reply(app.firmware_view(&caller, id).await?))
}

/// Delete a firmware that no rollout uses
#[utoipa::path(delete, path = "/api/v1/firmware/{id}", tag = "firmware", params(("id" = FirmwareId, Path)),
    responses((status = 204), WriteProblems))]
async fn firmware_delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<FirmwareId>,
) -> Result<StatusCode> {
    app.firmware_delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Publish a firmware whose artifacts are all there
#[utoipa::path(post, path = "/api/v1/firmware/{id}/publish", tag = "firmware", params(("id" = FirmwareId, Path)),
    responses((status = 200, body = Firmware), WriteProblems))]
async fn firmware_publish(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<FirmwareId>,
) -> Result<Reply<Firmware>> {
    Ok(Reply(app.firmware_publish(&caller, id).await?))
}

/// Which artifact.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DownloadQuery {
    /// Its name in the manifest; may be left out when there is only one.
    artifact: Option<String>,
}

/// Download an artifact
///
/// Redirects to a time-limited address that needs no credential: send none there. Devices may download what they
/// were offered.
#[utoipa::path(get, path = "/api/v1/firmware/{id}/download", tag = "firmware",
    params(("id" = FirmwareId, Path), DownloadQuery),
    responses(
        (status = 307, description = "The bytes are at this address", headers(("Location" = String))),
        ReadProblems))]
async fn firmware_download(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<FirmwareId>,
    Query(query): Query<DownloadQuery>,
) -> Result<(StatusCode, [(HeaderName, String); 1])> {
    let url = app.firmware_download(&caller, id, query.artifact.as_deref()).await?;
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, url)]))
}
