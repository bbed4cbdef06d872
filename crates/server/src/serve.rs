//! The accept loop: at most so many connections, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use drover_app::App;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{ConfigError, HttpConfig, check_loopback};
use crate::connection::Connections;
use crate::limits::Limits;
use crate::router;
use crate::state::Server;

/// Pause after a failed accept: the machine is out of file descriptors or memory, and asking at once does not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The settings cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The listener does not know its own address.
    #[error("failed to ask the listener for its address")]
    Listener(#[source] io::Error),
}

/// Serves HTTP on `listener` until `shutdown` is cancelled and what was in flight is answered, at most
/// `shutdown_grace_ms` later.
pub async fn serve(
    app: Arc<App>,
    config: HttpConfig,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    config.check()?;
    check_loopback(listener.local_addr().map_err(ServeError::Listener)?)?;
    let limits = Arc::new(Limits::new(&config));
    let server = Server { app, limits: Arc::clone(&limits), shutdown: shutdown.clone() };
    let router = router::build(server, &config)?;
    tokio::join!(accept_all(listener, router, &config, &shutdown), limits.keep_small(shutdown.clone()));
    Ok(())
}

/// Serves `router` on every connection.
pub(crate) async fn accept_all(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    shutdown: &CancellationToken,
) {
    let how = Arc::new(Connections::new(router, config));
    let slots = Arc::new(Semaphore::new(config.max_connections));
    let mut open = JoinSet::new();
    loop {
        let (slot, stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(ended) = open.join_next() => {
                log_panic(ended);
                continue;
            }
        };
        let (how, shutdown) = (Arc::clone(&how), shutdown.clone());
        open.spawn(async move {
            how.serve(stream, peer, shutdown).await;
            drop(slot);
        });
    }
    drop(listener);
    drain(open, config.shutdown_grace()).await;
}

/// The next connection, when there is a slot for it. Others wait in the system's queue.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream, SocketAddr) {
    loop {
        // The semaphore is never closed.
        let Ok(slot) = Arc::clone(slots).acquire_owned().await else { return std::future::pending().await };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole; waiting for more of them only delays.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "failed to switch off delayed sending");
                }
                return (slot, stream, peer);
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Waits for what is in flight, but not for ever.
async fn drain(mut open: JoinSet<()>, grace: Duration) {
    let all_ended = async {
        while let Some(ended) = open.join_next().await {
            log_panic(ended);
        }
    };
    if tokio::time::timeout(grace, all_ended).await.is_err() {
        tracing::warn!(connections = open.len(), "closing connections that are still at work");
    }
    open.shutdown().await;
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

#[cfg(test)]
mod tests;
