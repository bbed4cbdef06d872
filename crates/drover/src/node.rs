//! One server in this process: back-ends, background tasks, HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use drover_app::compose::{self, Backends};
use drover_app::{App, FirstStart, Settings, SystemRandom, tasks};
use drover_server::{HttpConfig, Tls};
use drover_types::SystemClock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::RunError;

/// A server that is ready to serve.
pub(crate) struct Node {
    app: Arc<App>,
    http: HttpConfig,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    /// What the first start made; none on later starts.
    pub(crate) first_start: Option<FirstStart>,
}

/// Takes an address. Port 0 takes a free one.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })
}

/// The address under which the listener is reached.
pub(crate) fn address_of(listener: &TcpListener) -> Result<SocketAddr, RunError> {
    listener.local_addr().map_err(RunError::io("read the listening address"))
}

impl Node {
    /// Opens the back-ends and does what a first start does.
    pub(crate) async fn open(
        backends: &Backends,
        settings: Settings,
        http: HttpConfig,
        tls: Option<Arc<Tls>>,
        listener: TcpListener,
    ) -> Result<Self, RunError> {
        let app = compose::compose(backends, settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
        let first_start = app.first_start().await?;
        app.bind_presign_keys().await?;
        Ok(Self { app, http, tls, listener, first_start })
    }

    /// Serves until `stop`, or until the installation is moved away, then drains, ends the background tasks and closes the back-ends.
    pub(crate) async fn serve(self, stop: CancellationToken) -> Result<(), RunError> {
        let background = tasks::start(&self.app, &stop);
        let served =
            drover_server::serve(Arc::clone(&self.app), self.http, self.tls, self.listener, stop.clone()).await;
        stop.cancel();
        background.wait().await;
        self.app.close().await;
        self.app.require_not_moved()?;
        Ok(served?)
    }
}
