//! The calls that devices make; the caller is always the device itself.

mod check;
mod heartbeat;
mod register;
mod status;
mod validation;

use utoipa_axum::router::OpenApiRouter;

use crate::state::Server;

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
