//! Keys for programs.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{ApiKey, ApiKeyCreate, ApiKeyCreated, Page, PageQuery};
use drover_app::{App, Caller};
use drover_types::ApiKeyId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(api_key_list, api_key_create)).routes(routes!(api_key_revoke))
}

/// API keys, newest first
#[utoipa::path(get, path = "/api/v1/api-keys", tag = "credentials", params(PageQuery),
    responses((status = 200, body = Page<ApiKey>), ReadProblems))]
async fn api_key_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<ApiKey>>> {
    Ok(Reply(app.api_key_list(&caller, &query).await?))
}

/// Make an API key; its token is shown this once
#[utoipa::path(post, path = "/api/v1/api-keys", tag = "credentials", params(Idempotency), request_body = ApiKeyCreate,
    responses((status = 201, body = ApiKeyCreated), WriteProblems))]
async fn api_key_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<ApiKeyCreate>,
) -> Result<(StatusCode, Reply<ApiKeyCreated>)> {
    let key = idempotency.key("api_key_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.api_key_create(&caller, body, key).await?)))
}

/// Revoke an API key, at once and for ever
#[utoipa::path(delete, path = "/api/v1/api-keys/{id}", tag = "credentials", params(("id" = ApiKeyId, Path)),
    responses((status = 204), WriteProblems))]
async fn api_key_revoke(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<ApiKeyId>) -> Result<StatusCode> {
    app.api_key_revoke(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
