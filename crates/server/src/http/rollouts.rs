//! Rollouts.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{
    Page, PageQuery, Rollout, RolloutCreate, RolloutFilter, RolloutMetrics, RolloutRollback, RolloutUpdate,
    UpdateSession, UpdateSessionFilter,
};
use drover_app::{App, Caller};
use drover_types::RolloutId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, JsonOrDefault, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(rollout_list, rollout_create))
        .routes(routes!(rollout_view, rollout_update))
        .routes(routes!(rollout_start))
        .routes(routes!(rollout_pause))
        .routes(routes!(rollout_resume))
        .routes(routes!(rollout_cancel))
        .routes(routes!(rollout_rollback))
        .routes(routes!(rollout_metrics))
        .routes(routes!(rollout_failures))
        .routes(routes!(rollout_sessions))
}

/// Rollouts, newest first
#[utoipa::path(get, path = "/api/v1/rollouts", tag = "rollouts", params(RolloutFilter),
    responses((status = 200, body = Page<Rollout>), ReadProblems))]
async fn rollout_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<RolloutFilter>,
) -> Result<Reply<Page<Rollout>>> {
    Ok(Reply(app.rollout_list(&caller, &query).await?))
}

/// Create a rollout; it does nothing until it is started
#[utoipa::path(post, path = "/api/v1/rollouts", tag = "rollouts", params(Idempotency), request_body = RolloutCreate,
    responses((status = 201, body = Rollout), WriteProblems))]
async fn rollout_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<RolloutCreate>,
) -> Result<(StatusCode, Reply<Rollout>)> {
    let key = idempotency.key("rollout_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.rollout_create(&caller, body, key).await?)))
}

/// One rollout
#[utoipa::path(get, path = "/api/v1/rollouts/{id}", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = Rollout), ReadProblems))]
async fn rollout_view(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_view(&caller, id).await?))
}

/// Change a rollout: its name at any time, all else while it is a draft
#[utoipa::path(put, path = "/api/v1/rollouts/{id}", tag = "rollouts",
    params(("id" = RolloutId, Path)), request_body = RolloutUpdate,
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
    Json(body): Json<RolloutUpdate>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_update(&caller, id, body).await?))
}

/// Start a rollout
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/start", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_start(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_start(&caller, id).await?))
}

/// Pause a rollout: nothing new is offered, devices that began finish
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/pause", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_pause(&caller, id).await?))
}

/// Resume a paused rollout; a failure gate that tripped is overridden for its stage
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/resume", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_resume(&caller, id).await?))
}

/// Cancel a rollout for good; devices that have installed it keep it
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/cancel", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_cancel(&caller, id).await?))
}

/// Stop a rollout and take updated devices back to what they ran before
#[utoipa::path(post, path = "/api/v1/rollouts/{id}/rollback", tag = "rollouts",
    params(("id" = RolloutId, Path)), request_body = Option<RolloutRollback>,
    responses((status = 200, body = Rollout), WriteProblems))]
async fn rollout_rollback(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
    JsonOrDefault(body): JsonOrDefault<RolloutRollback>,
) -> Result<Reply<Rollout>> {
    Ok(Reply(app.rollout_rollback(&caller, id, body).await?))
}

/// How a rollout is doing, in numbers
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/metrics", tag = "rollouts", params(("id" = RolloutId, Path)),
    responses((status = 200, body = RolloutMetrics), ReadProblems))]
async fn rollout_metrics(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
) -> Result<Reply<RolloutMetrics>> {
    Ok(Reply(app.rollout_metrics(&caller, id).await?))
}

/// Devices on which a rollout failed, newest first
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/failures", tag = "rollouts",
    params(("id" = RolloutId, Path), PageQuery),
    responses((status = 200, body = Page<UpdateSession>), ReadProblems))]
async fn rollout_failures(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<UpdateSession>>> {
    Ok(Reply(app.rollout_failures(&caller, id, &query).await?))
}

/// A rollout's update sessions
#[utoipa::path(get, path = "/api/v1/rollouts/{id}/sessions", tag = "rollouts",
    params(("id" = RolloutId, Path), UpdateSessionFilter),
    responses((status = 200, body = Page<UpdateSession>), ReadProblems))]
async fn rollout_sessions(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<RolloutId>,
    Query(query): Query<UpdateSessionFilter>,
) -> Result<Reply<Page<UpdateSession>>> {
    Ok(Reply(app.rollout_sessions(&caller, id, &query).await?))
}
