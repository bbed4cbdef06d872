//! What every handler can reach.

use std::sync::Arc;

use axum::extract::FromRef;
use drover_app::App;
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::metrics::MetricsToken;

/// The state of the router.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) app: Arc<App>,
    pub(crate) limits: Arc<Limits>,
    /// Who shows it may read figures from another machine; without it nobody may.
    pub(crate) metrics_token: Option<MetricsToken>,
    /// Cancelled as soon as the server shuts down.
    pub(crate) shutdown: CancellationToken,
}

impl FromRef<Server> for Arc<App> {
    fn from_ref(server: &Server) -> Self {
        Self::clone(&server.app)
    }
}

impl FromRef<Server> for Arc<Limits> {
    fn from_ref(server: &Server) -> Self {
        Self::clone(&server.limits)
    }
}
