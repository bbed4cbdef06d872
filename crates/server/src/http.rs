//! The REST API: a file per noun.

mod api_keys;
mod artifacts;
mod audit;
mod auth;
mod blobs;
mod device_attributes;
mod device_tags;
mod devices;
mod enrolment_tokens;
mod firmware;
mod groups;
mod objects;
mod presign;
mod release_keys;
mod rollout_preview;
mod rollouts;
mod tenants;
mod uploads;
mod users;

pub(crate) use blobs::routes as blob_routes;
use utoipa_axum::router::OpenApiRouter;

use crate::state::Server;

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .merge(auth::routes())
        .merge(audit::routes())
        .merge(api_keys::routes())
        .merge(enrolment_tokens::routes())
        .merge(release_keys::routes())
        .merge(devices::routes())
        .merge(device_attributes::routes())
        .merge(device_tags::routes())
        .merge(groups::routes())
        .merge(firmware::routes())
        .merge(rollouts::routes())
        .merge(rollout_preview::routes())
        .merge(objects::routes())
        .merge(presign::routes())
        .merge(uploads::routes())
        .merge(tenants::routes())
        .merge(users::routes())
}

/// Uploads.
pub(crate) fn transfer_routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new().merge(artifacts::routes()).merge(objects::transfer_routes()).merge(uploads::transfer_routes())
}
