//! The calls that devices make; the caller is always the device itself.

mod check;
mod heartbeat;
mod register;
mod status;
mod validation;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use drover_app::Caller;
use utoipa_axum::router::OpenApiRouter;

use crate::problem::{Failure, Result};
use crate::state::Server;

/// A device that reports: counted before its body is read.
struct Reporter(Caller);

impl FromRequestParts<Server> for Reporter {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let caller = Caller::from_request_parts(parts, server).await?;
        server.limits.count_report(&caller)?;
        Ok(Self(caller))
    }
}

pub(crate) fn routes() -> OpenApiRouter<Server> {
    OpenApiRouter::new()
        .merge(register::routes())
        .merge(check::routes())
        .merge(status::routes())
        .merge(validation::routes())
        .merge(heartbeat::routes())
}

#[cfg(test)]
mod tests;
