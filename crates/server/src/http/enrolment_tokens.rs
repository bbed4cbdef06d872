//! Tokens with which devices register.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{EnrolmentToken, EnrolmentTokenCreate, EnrolmentTokenCreated, Page, PageQuery};
use drover_app::{App, Caller};
use drover_types::EnrolmentTokenId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(enrolment_token_list, enrolment_token_create))
        .routes(routes!(enrolment_token_revoke))
}

/// Enrolment tokens, newest first
#[utoipa::path(get, path = "/api/v1/enrolment-tokens", tag = "credentials", params(PageQuery),
    responses((status = 200, body = Page<EnrolmentToken>), ReadProblems))]
async fn enrolment_token_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<EnrolmentToken>>> {
    Ok(Reply(app.enrolment_token_list(&caller, &query).await?))
}

/// Make an enrolment token; it is shown this once
#[utoipa::path(post, path = "/api/v1/enrolment-tokens", tag = "credentials",
    params(Idempotency), request_body = EnrolmentTokenCreate,
    responses((status = 201, body = EnrolmentTokenCreated), WriteProblems))]
async fn enrolment_token_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<EnrolmentTokenCreate>,
) -> Result<(StatusCode, Reply<EnrolmentTokenCreated>)> {
    let key = idempotency.key("enrolment_token_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.enrolment_token_create(&caller, body, key).await?)))
}

/// Revoke an enrolment token, at once and for ever
#[utoipa::path(delete, path = "/api/v1/enrolment-tokens/{id}", tag = "credentials",
    params(("id" = EnrolmentTokenId, Path)),
    responses((status = 204), WriteProblems))]
async fn enrolment_token_revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<EnrolmentTokenId>,
) -> Result<StatusCode> {
    app.enrolment_token_revoke(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
