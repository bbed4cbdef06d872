//! The `OpenAPI` document.

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa::{PartialSchema as _, ToResponse as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;

use crate::responses::ProblemResponse;
use crate::state::Server;
use crate::{health, http, router};

/// The document that describes this version of the API: what `openapi/v1.json` holds.
pub fn openapi() -> OpenApi {
    let mut document = OpenApiRouter::with_openapi(skeleton())
        .merge(router::quick_routes())
        .merge(router::transfer_routes())
        .merge(http::blob_routes())
        .merge(health::routes())
        .into_openapi();
    // The router's mark for "all that follows" is not part of a path template.
    let paths = std::mem::take(&mut document.paths.paths);
    document.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
    document
}

/// What is not said by any single call.
fn skeleton() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Drover")
        .version("v1")
        .description(Some(
            "Signed over-the-air updates for fleets. Lists come in pages: pass `next_cursor` as `cursor` until there \
             is none. Creating calls take an `Idempotency-Key` header: the same key with the same request creates \
             once. Every error is `application/problem+json`; unknown fields are refused \
             with 422, but for the reports of devices: those skip what a newer agent adds. \
             The header `Drover-Tenant` works in a tenant below one's own.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let (response_name, response) = ProblemResponse::response();
    let mut nested = Vec::new();
    drover_api::Problem::schemas(&mut nested);
    let components = ComponentsBuilder::new()
        .schema(drover_api::Problem::name(), drover_api::Problem::schema())
        .schemas_from_iter(nested)
        .response(response_name, response)
        .security_scheme("bearer", SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()))
        .security_scheme("api_key", SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key"))))
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-drover"))));
    let no_scopes: [&str; 0] = [];
    let security = ["bearer", "api_key", "session"].map(|scheme| SecurityRequirement::new(scheme, no_scopes));
    OpenApiBuilder::new().info(info.build()).components(Some(components.build())).security(Some(security)).build()
}

/// Where the document is served.
pub(crate) fn route() -> Router<Server> {
    // It never changes while the server runs. Serialising it cannot fail: its keys are texts.
    let document = Bytes::from(openapi().to_json().unwrap_or_default());
    Router::new()
        .route("/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, "application/json")], document) }))
}

#[cfg(test)]
mod tests;
