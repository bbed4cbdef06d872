//! The artifacts of a firmware.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use drover_api::ArtifactView;
use drover_app::{App, Caller};
use drover_types::FirmwareId;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::extract::Path;
use crate::problem::Result;
use crate::responses::UploadProblems;
use crate::state::Server;
use crate::transfer::Upload;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().routes(routes!(artifact_upload))
}

/// Upload an artifact
///
/// The body is the bytes themselves. They are checked against the signed manifest while they arrive; sending the same
/// ones again changes nothing.
#[utoipa::path(put, path = "/api/v1/firmware/{id}/artifacts/{name}", tag = "firmware",
    params(("id" = FirmwareId, Path), ("name" = String, Path, description = "Its name in the manifest")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = ArtifactView), UploadProblems))]
async fn artifact_upload(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path((id, name)): Path<(FirmwareId, String)>,
    upload: Upload,
) -> Result<Reply<ArtifactView>> {
    let Upload { content_length, body } = upload;
    Ok(Reply(app.artifact_upload(&caller, id, &name, content_length, body).await?))
}
