//! What a rollout would do.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_api::{ExcludedDevice, ExcludedFilter, Page, RolloutCreate, RolloutPreview};
use drover_app::{App, Caller};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Json, Query};
use crate::problem::Result;
use crate::responses::WriteProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(rollout_preview)).routes(routes!(rollout_preview_excluded))
}

/// What a rollout would do if it was created and all its stages opened now; changes nothing
#[utoipa::path(post, path = "/api/v1/rollouts/preview", tag = "rollouts", request_body = RolloutCreate,
    responses((status = 200, body = RolloutPreview), WriteProblems))]
async fn rollout_preview(
    State(app): State<Arc<App>>,
    caller: Caller,
    Json(body): Json<RolloutCreate>,
) -> Result<Reply<RolloutPreview>> {
    Ok(Reply(app.rollout_preview(&caller, &body).await?))
}

/// The devices that a rollout would leave out, each with the reason; changes nothing
#[utoipa::path(post, path = "/api/v1/rollouts/preview/excluded", tag = "rollouts", params(ExcludedFilter),
    request_body = RolloutCreate,
    responses((status = 200, body = Page<ExcludedDevice>), WriteProblems))]
async fn rollout_preview_excluded(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<ExcludedFilter>,
    Json(body): Json<RolloutCreate>,
) -> Result<Reply<Page<ExcludedDevice>>> {
    Ok(Reply(app.rollout_preview_excluded(&caller, &body, &query).await?))
}
