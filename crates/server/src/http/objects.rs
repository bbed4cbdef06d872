//! Objects with names of one's own choice.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_api::{ObjectFilter, Page, StoredObject};
use drover_app::{App, Caller};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, UploadProblems};
use crate::state::Server;
use crate::transfer::Upload;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(object_list))
}

pub(crate) fn transfer_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(object_put))
}

/// Named objects, by name
#[utoipa::path(get, path = "/api/v1/objects", tag = "objects", params(ObjectFilter),
    responses((status = 200, body = Page<StoredObject>), ReadProblems))]
async fn object_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ObjectFilter>,
) -> Result<Reply<Page<StoredObject>>> {
    Ok(Reply(app.object_list(&caller, &query).await?))
}

/// Store an object under a name
///
/// The body is the bytes themselves.
#[utoipa::path(put, path = "/api/v1/objects/{*name}", tag = "objects",
    params(("name" = String, Path, description = "Segments joined by `/`, for instance `firmware/v1/hello.bin`")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 201, body = StoredObject), UploadProblems))]
async fn object_put(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    upload: Upload,
) -> Result<(axum::http::StatusCode, Reply<StoredObject>)> {
    let Upload { content_length, body } = upload;
    let stored = app.object_put(&caller, &name, content_length, body).await?;
    Ok((axum::http::StatusCode::CREATED, Reply(stored)))
}
