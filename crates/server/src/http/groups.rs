//! Groups: static by list, dynamic by condition.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{Device, Group, GroupMembers, GroupMove, GroupWrite, Page, PageQuery};
use drover_app::{App, Caller};
use drover_types::{DeviceId, GroupId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .routes(routes!(group_list, group_create))
        .routes(routes!(group_view, group_update, group_delete))
        .routes(routes!(group_move))
        .routes(routes!(group_devices, group_add))
        .routes(routes!(group_remove))
}

/// Groups, newest first
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", params(PageQuery),
    responses((status = 200, body = Page<Group>), ReadProblems))]
async fn group_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<Group>>> {
    Ok(Reply(app.group_list(&caller, &query).await?))
}

/// Make a group
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", params(Idempotency), request_body = GroupWrite,
    responses((status = 201, body = Group), WriteProblems))]
async fn group_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<GroupWrite>,
) -> Result<(StatusCode, Reply<Group>)> {
    let key = idempotency.key("group_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.group_create(&caller, body, key).await?)))
}

/// One group
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = GroupId, Path)),
    responses((status = 200, body = Group), ReadProblems))]
async fn group_view(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<GroupId>) -> Result<Reply<Group>> {
    Ok(Reply(app.group_view(&caller, id).await?))
}

/// Change a group's name and description, and the condition of a dynamic one
#[utoipa::path(put, path = "/api/v1/groups/{id}", tag = "groups",
    params(("id" = GroupId, Path)), request_body = GroupWrite,
    responses((status = 200, body = Group), WriteProblems))]
async fn group_update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Json(body): Json<GroupWrite>,
) -> Result<Reply<Group>> {
    Ok(Reply(app.group_update(&caller, id, body).await?))
}

/// Delete a group; its devices stay
#[utoipa::path(delete, path = "/api/v1/groups/{id}", tag = "groups", params(("id" = GroupId, Path)),
    responses((status = 204), WriteProblems))]
async fn group_delete(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<GroupId>) -> Result<StatusCode> {
    app.group_delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Move a group, with all below it, below another or to the top
#[utoipa::path(put, path = "/api/v1/groups/{id}/parent", tag = "groups",
    params(("id" = GroupId, Path)), request_body = GroupMove,
    responses((status = 200, body = Group), WriteProblems))]
async fn group_move(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Json(body): Json<GroupMove>,
) -> Result<Reply<Group>> {
    Ok(Reply(app.group_move(&caller, id, body).await?))
}

/// The devices in a group, newest first
#[utoipa::path(get, path = "/api/v1/groups/{id}/devices", tag = "groups", params(("id" = GroupId, Path), PageQuery),
    responses((status = 200, body = Page<Device>), ReadProblems))]
async fn group_devices(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<Device>>> {
    Ok(Reply(app.group_devices(&caller, id, &query).await?))
}

/// Put devices into a static group: all of them, or none when one does not exist
#[utoipa::path(post, path = "/api/v1/groups/{id}/devices", tag = "groups",
    params(("id" = GroupId, Path)), request_body = GroupMembers,
    responses((status = 200, body = Group), WriteProblems))]
async fn group_add(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<GroupId>,
    Json(body): Json<GroupMembers>,
) -> Result<Reply<Group>> {
    Ok(Reply(app.group_add(&caller, id, body).await?))
}

/// Take a device out of a static group
#[utoipa::path(delete, path = "/api/v1/groups/{id}/devices/{device_id}", tag = "groups",
    params(("id" = GroupId, Path), ("device_id" = DeviceId, Path)),
    responses((status = 204), WriteProblems))]
async fn group_remove(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, device_id)): Path<(GroupId, DeviceId)>,
) -> Result<StatusCode> {
    app.group_remove(&caller, id, device_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
