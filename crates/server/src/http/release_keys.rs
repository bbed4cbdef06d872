//! Public keys that may sign firmware.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{Page, PageQuery, ReleaseKey, ReleaseKeyCreate};
use drover_app::{App, Caller};
use drover_types::ReleaseKeyId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(release_key_list, release_key_create)).routes(routes!(release_key_revoke))
}

/// Release keys, newest first
#[utoipa::path(get, path = "/api/v1/release-keys", tag = "credentials", params(PageQuery),
    responses((status = 200, body = Page<ReleaseKey>), ReadProblems))]
async fn release_key_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<ReleaseKey>>> {
    Ok(Reply(app.release_key_list(&caller, &query).await?))
}

/// Add a release key
#[utoipa::path(post, path = "/api/v1/release-keys", tag = "credentials",
    params(Idempotency), request_body = ReleaseKeyCreate,
    responses((status = 201, body = ReleaseKey), WriteProblems))]
async fn release_key_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<ReleaseKeyCreate>,
) -> Result<(StatusCode, Reply<ReleaseKey>)> {
    let key = idempotency.key("release_key_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.release_key_create(&caller, body, key).await?)))
}

/// Revoke a release key: firmware signed with it is refused from then on
#[utoipa::path(delete, path = "/api/v1/release-keys/{id}", tag = "credentials", params(("id" = ReleaseKeyId, Path)),
    responses((status = 204), WriteProblems))]
async fn release_key_revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<ReleaseKeyId>,
) -> Result<StatusCode> {
    app.release_key_revoke(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
