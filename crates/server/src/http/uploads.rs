//! Uploads in parts.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{Page, PartDone, PartUrls, PartUrlsRequest, Upload, UploadCreate, UploadFilter, UploadPart};
use drover_app::{App, Caller};
use drover_types::{UploadId, UploadState};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, UploadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(upload_list, upload_create))
        .routes(routes!(upload_view, upload_abort))
        .routes(routes!(upload_part_urls))
        .routes(routes!(upload_part_done))
        .routes(routes!(upload_complete))
}

pub(crate) fn transfer_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(upload_part_put))
}

/// Uploads, newest first
#[utoipa::path(get, path = "/api/v1/uploads", tag = "uploads", params(UploadFilter),
    responses((status = 200, body = Page<Upload>), ReadProblems))]
async fn upload_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<UploadFilter>,
) -> Result<Reply<Page<Upload>>> {
    Ok(Reply(app.upload_list(&caller, &query).await?))
}

/// Begin an upload in parts
///
/// For large files and lines that break: parts are sent in any order, several at once, again if need be, and over up
/// to seven days.
#[utoipa::path(post, path = "/api/v1/uploads", tag = "uploads", params(Idempotency), request_body = UploadCreate,
    responses((status = 201, body = Upload), (status = 507, response = crate::responses::ProblemResponse), WriteProblems))]
async fn upload_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<UploadCreate>,
) -> Result<(StatusCode, Reply<Upload>)> {
    let key = idempotency.key("upload_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.upload_create(&caller, body, key).await?)))
}

/// One upload with the parts that are there
#[utoipa::path(get, path = "/api/v1/uploads/{id}", tag = "uploads", params(("id" = UploadId, Path)),
    responses((status = 200, body = Upload), ReadProblems))]
async fn upload_view(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<UploadId>) -> Result<Reply<Upload>> {
    Ok(Reply(app.upload_view(&caller, id).await?))
}

/// Give an upload up and remove its parts
#[utoipa::path(delete, path = "/api/v1/uploads/{id}", tag = "uploads", params(("id" = UploadId, Path)),
    responses((status = 204), WriteProblems))]
async fn upload_abort(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<UploadId>) -> Result<StatusCode> {
    app.upload_abort(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Send a part
///
/// The body is the bytes themselves: `part_size_bytes` of them, in the last part the rest. Until the upload is
/// completed, the last one of a number counts. The answer has their SHA-256.
#[utoipa::path(put, path = "/api/v1/uploads/{id}/parts/{number}", tag = "uploads",
    params(("id" = UploadId, Path), ("number" = u32, Path, description = "From 1")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = UploadPart), UploadProblems))]
async fn upload_part_put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, number)): Path<(UploadId, u32)>,
    upload: crate::transfer::Upload,
) -> Result<Reply<UploadPart>> {
    let crate::transfer::Upload { content_length, body } = upload;
    Ok(Reply(app.upload_part_put(&caller, id, number, content_length, body).await?))
}

/// Addresses to send parts to the object store directly
///
/// PUT a part to its address without any credential, then tell the `ETag` of the answer to the server. Works when the
/// upload is `direct`.
#[utoipa::path(post, path = "/api/v1/uploads/{id}/parts/urls", tag = "uploads", params(("id" = UploadId, Path)),
    request_body = PartUrlsRequest, responses((status = 200, body = PartUrls), WriteProblems))]
async fn upload_part_urls(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<UploadId>,
    Json(body): Json<PartUrlsRequest>,
) -> Result<Reply<PartUrls>> {
    Ok(Reply(app.upload_part_urls(&caller, id, &body).await?))
}

/// Tell that a part went to the object store directly
#[utoipa::path(put, path = "/api/v1/uploads/{id}/parts/{number}/done", tag = "uploads",
    params(("id" = UploadId, Path), ("number" = u32, Path, description = "From 1")),
    request_body = PartDone, responses((status = 200, body = UploadPart), WriteProblems))]
async fn upload_part_done(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, number)): Path<(UploadId, u32)>,
    Json(body): Json<PartDone>,
) -> Result<Reply<UploadPart>> {
    Ok(Reply(app.upload_part_done(&caller, id, number, body).await?))
}

/// Complete an upload whose parts are all there
///
/// The server reads the whole back; only when it is what was announced it gets its name. 202 while that goes on: look
/// at the upload until it is `complete` or `failed`. Completing again is fine.
#[utoipa::path(post, path = "/api/v1/uploads/{id}/complete", tag = "uploads", params(("id" = UploadId, Path)),
    responses((status = 200, body = Upload), (status = 202, body = Upload, description = "Being verified"),
        WriteProblems))]
async fn upload_complete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<UploadId>,
) -> Result<(StatusCode, Reply<Upload>)> {
    let upload = app.upload_complete(&caller, id).await?;
    let status = if upload.state == UploadState::Complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok((status, Reply(upload)))
}
