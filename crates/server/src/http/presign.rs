//! Source 000's presign API.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::request::Parts;
use drover_api::{PresignReply, PresignRequest};
use drover_app::{App, Caller, Origin};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::caller::{Bearer, Stranger};
use crate::extract::Json;
use crate::problem::{Failure, Result};
use crate::responses::WriteProblems;
use crate::router::SHARED_CREDENTIAL_MAX_BYTES;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(presign)).layer(DefaultBodyLimit::max(SHARED_CREDENTIAL_MAX_BYTES))
}

/// A caller with a valid credential of either sort, known before its body is read.
struct Presigning(Caller);

impl FromRequestParts<Server> for Presigning {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let bearer = Bearer::from_request_parts(parts, server).await?;
        let stranger = Stranger::of(parts, server);
        stranger.proved(authenticate(&server.app, &bearer, stranger.origin()).await).map(Self)
    }
}

/// Ask for a time-limited address of a named object
///
/// The credential is a key of `PRESIGN_API_KEYS`, an API key or a login.
#[utoipa::path(post, path = "/v1/presign", tag = "objects", request_body = PresignRequest,
    responses((status = 200, body = PresignReply), WriteProblems))]
async fn presign(
    State(app): State<Arc<App>>,
    Presigning(caller): Presigning,
    Json(body): Json<PresignRequest>,
) -> Result<Reply<PresignReply>> {
    Ok(Reply(app.presign(&caller, body).await?))
}

async fn authenticate(app: &App, bearer: &Bearer, origin: Origin) -> drover_app::Result<Caller> {
    match app.authenticate_presign(&bearer.token, bearer.there, origin.clone())? {
        Some(caller) => Ok(caller),
        None => app.authenticate(&bearer.token, bearer.there, origin).await,
    }
}
