//! Tenants below one's own.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::StatusCode;
use drover_api::{Page, PageQuery, Tenant, TenantCreate, TenantUpdate};
use drover_app::{App, Caller};
use drover_types::TenantId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::{Idempotency, Json, Path, Query};
use crate::problem::Result;
use crate::responses::{ReadProblems, WriteProblems};
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(tenant_list, tenant_create)).routes(routes!(
        tenant_view,
        tenant_update,
        tenant_delete
    ))
}

/// The tenant and those below it, newest first
#[utoipa::path(get, path = "/api/v1/tenants", tag = "tenants", params(PageQuery),
    responses((status = 200, body = Page<Tenant>), ReadProblems))]
async fn tenant_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Reply<Page<Tenant>>> {
    Ok(Reply(app.tenant_list(&caller, &query).await?))
}

/// Make a tenant below this one
#[utoipa::path(post, path = "/api/v1/tenants", tag = "tenants", params(Idempotency), request_body = TenantCreate,
    responses((status = 201, body = Tenant), WriteProblems))]
async fn tenant_create(
    State(app): State<Arc<App>>,
    caller: Caller,
    idempotency: Idempotency,
    Json(body): Json<TenantCreate>,
) -> Result<(StatusCode, Reply<Tenant>)> {
    let key = idempotency.key("tenant_create", &body)?;
    Ok((StatusCode::CREATED, Reply(app.tenant_create(&caller, body, key).await?)))
}

/// One tenant
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = TenantId, Path)),
    responses((status = 200, body = Tenant), ReadProblems))]
async fn tenant_view(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<TenantId>) -> Result<Reply<Tenant>> {
    Ok(Reply(app.tenant_view(&caller, id).await?))
}

/// Rename a tenant
#[utoipa::path(put, path = "/api/v1/tenants/{id}", tag = "tenants",
    params(("id" = TenantId, Path)), request_body = TenantUpdate,
    responses((status = 200, body = Tenant), WriteProblems))]
async fn tenant_update(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<TenantId>,
    Json(body): Json<TenantUpdate>,
) -> Result<Reply<Tenant>> {
    Ok(Reply(app.tenant_update(&caller, id, body).await?))
}

/// Remove a tenant in which nothing is
#[utoipa::path(delete, path = "/api/v1/tenants/{id}", tag = "tenants", params(("id" = TenantId, Path)),
    responses((status = 204), WriteProblems))]
async fn tenant_delete(State(app): State<Arc<App>>, caller: Caller, Path(id): Path<TenantId>) -> Result<StatusCode> {
    app.tenant_delete(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
