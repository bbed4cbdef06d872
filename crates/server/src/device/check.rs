//! A device asks for work.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::HeaderMap;
use drover_app::{App, Caller};
use drover_protocol::CheckReply;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::Limits;
use crate::problem::Result;
use crate::responses::ReadProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(update_check))
}

/// Ask whether there is something to install
///
/// Limited per device: the `RateLimit-*` headers tell what is left.
#[utoipa::path(get, path = "/api/v1/updates/check", tag = "device side",
    responses((status = 200, body = CheckReply), ReadProblems))]
async fn update_check(
    State(app): State<Arc<App>>,
    State(limits): State<Arc<Limits>>,
    caller: Caller,
) -> Result<(HeaderMap, Reply<CheckReply>)> {
    let mut headers = HeaderMap::new();
    if let Some(standing) = limits.count_check(&caller)? {
        standing.write(&mut headers);
    }
    Ok((headers, Reply(app.update_check(&caller).await?)))
}
