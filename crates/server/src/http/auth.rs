//! Logging in, and one's own account.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use drover_api::{BrowserSession, CallerView, LoginReply, LoginRequest, OpenLogin, Page, PageQuery, PasswordChange};
use drover_app::{App, Caller, Error, csrf_token};
use drover_types::LoginId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{Introduction, Stranger};
use crate::cookie;
use crate::extract::{Json, Path, Query};
use crate::log_limit;
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(auth_login))
        .routes(routes!(auth_logout))
        .routes(routes!(auth_me))
        .routes(routes!(auth_session, auth_session_open))
        .routes(routes!(auth_password))
        .routes(routes!(auth_logins))
        .routes(routes!(auth_login_revoke))
}

/// Log in with name and password
#[utoipa::path(post, path = "/api/v1/auth/login", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = LoginReply), WriteProblems))]
async fn auth_login(
    State(app): State<Arc<App>>,
    Introduction(stranger, body): Introduction<LoginRequest>,
) -> Result<Reply<LoginReply>> {
    Ok(Reply(log_in(&app, &stranger, body).await?))
}

/// A log-in that is refused has no entry in the audit log, because strangers could fill it: it is a line of the log.
async fn log_in(app: &App, stranger: &Stranger, body: LoginRequest) -> Result<LoginReply> {
    let origin = stranger.origin();
    let address = origin.address.map(tracing::field::display);
    let reply = app.login(body, origin).await;
    let reply = reply.inspect_err(|error| {
        if log_limit::LOG_INS.has_room() {
            tracing::warn!(address, code = error.code, "a log-in was refused");
        }
    })?;
    stranger.note_known();
    Ok(reply)
}

/// Log in a browser
///
/// The token comes as the cookie `__Host-drover`, which no script can read; it works only for pages of this server. Every
/// request with it that may change something carries the CSRF token of the reply as `X-CSRF-Token`.
#[utoipa::path(post, path = "/api/v1/auth/session", tag = "auth", security(()), request_body = LoginRequest,
    responses((status = 200, body = BrowserSession), WriteProblems))]
async fn auth_session_open(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    uri: Uri,
    Introduction(stranger, body): Introduction<LoginRequest>,
) -> Result<Response> {
    cookie::check_origin(&headers, &uri)?;
    let LoginReply { token, .. } = log_in(&app, &stranger, body).await?;
    let mut response = Reply(BrowserSession { csrf_token: csrf_token(&token) }).into_response();
    response.headers_mut().insert(SET_COOKIE, cookie::set(&token)?);
    Ok(response)
}

/// The CSRF token of a browser's session
#[utoipa::path(get, path = "/api/v1/auth/session", tag = "auth",
    responses((status = 200, body = BrowserSession), ReadProblems))]
async fn auth_session(_caller: Caller, headers: HeaderMap) -> Result<Reply<BrowserSession>> {
    let token = cookie::token(&headers).ok_or_else(|| Error::not_found("session in a cookie of this", "request"))?;
    Ok(Reply(BrowserSession { csrf_token: csrf_token(token) }))
}

/// Log out: the token stops working
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", responses((status = 204), WriteProblems))]
async fn auth_logout(State(app): State<Arc<App>>, caller: Caller) -> Result<Response> {
    app.logout(&caller).await?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie::CLEAR)]).into_response())
}

/// Who the credential belongs to, and what it may do
#[utoipa::path(get, path = "/api/v1/auth/me", tag = "auth", responses((status = 200, body = CallerView), ReadProblems))]
async fn auth_me(State(app): State<Arc<App>>, caller: Caller) -> Reply<CallerView> {
    Reply(app.whoami(&caller))
}

/// Change one's own password: one's other logins end
#[utoipa::path(post, path = "/api/v1/auth/password", tag = "auth", request_body = PasswordChange,
    responses((status = 204), WriteProblems))]
async fn auth_password(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode> {
    app.password_change(&caller, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One's own open logins, newest first
#[utoipa::path(get, path = "/api/v1/auth/logins", tag = "auth", params(PageQuery),
    responses((status = 200, body = Page<OpenLogin>), ReadProblems))]
async fn auth_logins(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<OpenLogin>>> {
    Ok(Reply(app.login_list(&caller, &query).await?))
}

/// End one of one's own logins
#[utoipa::path(delete, path = "/api/v1/auth/logins/{id}", tag = "auth", params(("id" = LoginId, Path)),
    responses((status = 204), WriteProblems))]
async fn auth_login_revoke(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<LoginId>) -> Result<StatusCode> {
    app.login_revoke(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
