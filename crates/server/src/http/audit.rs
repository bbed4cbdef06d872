//! The audit log.

use std::sync::Arc;

use axum::Json as Reply;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use drover_api::{AuditEntry, AuditExportQuery, AuditFilter, Page};
use drover_app::{App, AuditExport, Caller, Error};
use futures::stream;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Query;
use crate::problem::Result;
use crate::responses::ReadProblems;
use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(audit_list)).routes(routes!(audit_export))
}

/// Who changed what, newest first
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditFilter),
    responses((status = 200, body = Page<AuditEntry>), ReadProblems))]
async fn audit_list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<AuditFilter>,
) -> Result<Reply<Page<AuditEntry>>> {
    Ok(Reply(app.audit_list(&caller, &query).await?))
}

/// The whole audit log, oldest first
///
/// One entry per line (NDJSON). An export that broke off goes on with `after_seq`: the number of the last whole line.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", params(AuditExportQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), ReadProblems))]
async fn audit_export(
    State(app): State<Arc<App>>,
    caller: Caller,
    Query(query): Query<AuditExportQuery>,
) -> Result<impl IntoResponse> {
    let mut export = App::audit_export(&app, &caller, query)?;
    // Before the head of the answer: what fails here still has a status.
    let first = export.next_lines().await?;
    let lines = stream::try_unfold((first, export), next_lines);
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)))
}

/// What was read ahead, and the rest.
type Rest = (Option<String>, AuditExport);

/// The next page of the export as lines. The client's pace decides when it is asked for.
async fn next_lines((ahead, mut export): Rest) -> std::result::Result<Option<(Bytes, Rest)>, Error> {
    let lines = match ahead {
        Some(lines) => Some(lines),
        None => export.next_lines().await.inspect_err(|error| {
            tracing::error!(error = error as &dyn std::error::Error, "an export of the audit log broke off");
        })?,
    };
    Ok(lines.map(|lines| (Bytes::from(lines), (None, export))))
}
