//! A device asks for work.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use drover_app::{App, Caller};
use drover_protocol::{CheckReply, POLL_INTERVAL_HEADER};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::limits::Limits;
use crate::problem::Result;
use crate::responses::ReadProblems;
use crate::state::Server;

const POLL_INTERVAL: HeaderName = HeaderName::from_static(POLL_INTERVAL_HEADER);

/// The tag of every answer without an offer: they say the same, but for the time to wait. An answer with an offer has
/// none, as its addresses are new each time.
const NOTHING: &str = "W/\"nothing\"";

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(update_check))
}

/// Ask whether there is something to install
///
/// The header `drover-poll-interval-ms` tells when to ask again. An answer without an offer has an `ETag`; to a device
/// that sends it along, the next one is 304 as long as there is still none. Limited per device: the `RateLimit-*`
/// headers tell what is left.
#[utoipa::path(get, path = "/api/v1/updates/check", tag = "device side",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the last answer")),
    responses(
        (status = 200, body = CheckReply),
        (status = 304, description = "There is still nothing to install"),
        ReadProblems))]
async fn update_check(
    State(app): State<Arc<App>>,
    State(limits): State<Arc<Limits>>,
    caller: Caller,
    asked: HeaderMap,
) -> Result<Response> {
    let mut headers = HeaderMap::new();
    if let Some(standing) = limits.count_check(&caller)? {
        standing.write(&mut headers);
    }
    let reply = app.update_check(&caller).await?;
    headers.insert(POLL_INTERVAL, HeaderValue::from(reply.poll_interval_ms));
    if reply.offer.is_none() {
        headers.insert(header::ETAG, HeaderValue::from_static(NOTHING));
        if knows_of_nothing(&asked) {
            return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
        }
    }
    Ok((headers, Reply(reply)).into_response())
}

fn knows_of_nothing(headers: &HeaderMap) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    tags.flat_map(|list| list.split(',')).any(|tag| tag.trim() == NOTHING)
}
