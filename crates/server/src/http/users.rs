//! Users and what they may do.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{
    Grant, GrantCreate, Page, PageQuery, PasswordReset, PasswordResetReply, User, UserCreate, UserCreated, UserUpdate,
};
use drover_app::{App, Caller};
use drover_types::{GrantId, UserId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, JsonOrDefault, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(user_list, user_create))
        .routes(routes!(user_view, user_update, user_delete))
        .routes(routes!(user_reset_password))
        .routes(routes!(grant_list, grant_create))
        .routes(routes!(grant_delete))
}

/// Users, newest first
#[utoipa::path(get, path = "/api/v1/users", tag = "users", params(PageQuery),
    responses((status = 200, body = Page<User>), ReadProblems))]
async fn user_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<User>>> {
    Ok(Reply(app.user_list(&caller, &query).await?))
}

/// Add a user
#[utoipa::path(post, path = "/api/v1/users", tag = "users", params(Idempotency), request_body = UserCreate,
    responses((status = 201, body = UserCreated), WriteProblems))]
async fn user_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<UserCreate>,
) -> Result<(StatusCode, Reply<UserCreated>)> {
    // What is remembered of a request is a plain hash: a password in it could be guessed fast.
    let key = idempotency.key("user_create", &UserCreate { password: None, ..body.clone() })?;
    Ok((StatusCode::CREATED, Reply(app.user_create(&caller, body, key).await?)))
}

/// One user
#[utoipa::path(get, path = "/api/v1/users/{id}", tag = "users", params(("id" = UserId, Path)),
    responses((status = 200, body = User), ReadProblems))]
async fn user_view(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<UserId>) -> Result<Reply<User>> {
    Ok(Reply(app.user_view(&caller, id).await?))
}

/// Rename, disable or enable a user
#[utoipa::path(put, path = "/api/v1/users/{id}", tag = "users",
    params(("id" = UserId, Path)), request_body = UserUpdate,
    responses((status = 200, body = User), WriteProblems))]
async fn user_update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<UserUpdate>,
) -> Result<Reply<User>> {
    Ok(Reply(app.user_update(&caller, id, body).await?))
}

/// Remove a user: logins end, API keys are revoked
#[utoipa::path(delete, path = "/api/v1/users/{id}", tag = "users", params(("id" = UserId, Path)),
    responses((status = 204), WriteProblems))]
async fn user_delete(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<UserId>) -> Result<StatusCode> {
    app.user_delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Give a user another password: logins end
#[utoipa::path(post, path = "/api/v1/users/{id}/password", tag = "users",
    params(("id" = UserId, Path)), request_body = PasswordReset,
    responses((status = 200, body = PasswordResetReply), WriteProblems))]
async fn user_reset_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<UserId>,
    JsonOrDefault(body): JsonOrDefault<PasswordReset>,
) -> Result<Reply<PasswordResetReply>> {
    Ok(Reply(app.user_reset_password(&caller, id, body).await?))
}

/// What a user may do, oldest first
#[utoipa::path(get, path = "/api/v1/users/{id}/grants", tag = "users", params(("id" = UserId, Path)),
    responses((status = 200, body = Vec<Grant>), ReadProblems))]
async fn grant_list(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<UserId>) -> Result<Reply<Vec<Grant>>> {
    Ok(Reply(app.grant_list(&caller, id).await?))
}

/// Give a user a role over a tenant or a group; the same once more changes nothing
#[utoipa::path(post, path = "/api/v1/users/{id}/grants", tag = "users",
    params(("id" = UserId, Path)), request_body = GrantCreate,
    responses((status = 201, body = Grant), WriteProblems))]
async fn grant_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<UserId>,
    Json(body): Json<GrantCreate>,
) -> Result<(StatusCode, Reply<Grant>)> {
    Ok((StatusCode::CREATED, Reply(app.grant_create(&caller, id, body).await?)))
}

/// Take a role back
#[utoipa::path(delete, path = "/api/v1/users/{id}/grants/{grant_id}", tag = "users",
    params(("id" = UserId, Path), ("grant_id" = GrantId, Path)),
    responses((status = 204), WriteProblems))]
async fn grant_delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, grant)): Path<(UserId, GrantId)>,
) -> Result<StatusCode> {
    app.grant_delete(&caller, id, grant).await?;
    Ok(StatusCode::NO_CONTENT)
}
