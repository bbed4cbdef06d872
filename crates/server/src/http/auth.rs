//! Logging in.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{CallerView, LoginReply, LoginRequest};
use drover_app::{App, Caller};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::Stranger;
use crate::extract::Json;
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(auth_login)).routes(routes!(auth_logout)).routes(routes!(auth_me))
}

/// Log in with name and password
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = LoginReply), WriteProblems))]
async fn auth_login(
    State(app): State<Arc<App>>,
    stranger: Stranger,
    Json(body): Json<LoginRequest>,
) -> Result<Reply<LoginReply>> {
    // Before the password is looked at: that is what takes time, and what would be guessed.
    stranger.count()?;
    let origin = stranger.origin();
    let address = origin.address.map(tracing::field::display);
    let reply = app.login(body, origin).await.inspect_err(|error| {
        // No entry in the audit log: strangers could fill it.
        tracing::warn!(address, code = error.code, "a log-in was refused");
    })?;
    Ok(Reply(reply))
}

/// Log out: the token stops working
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", responses((status = 204), WriteProblems))]
async fn auth_logout(State(app): State<Arc<App>>, caller: Caller) -> Result<StatusCode> {
    app.logout(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who the credential belongs to
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", responses((status = 200, body = CallerView), ReadProblems))]
async fn auth_me(State(app): State<Arc<App>>, caller: Caller) -> Reply<CallerView> {
    Reply(app.whoami(&caller))
}
