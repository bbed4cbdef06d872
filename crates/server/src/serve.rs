//! The accept loop: at most so many connections, and an orderly end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use drover_app::App;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::{ConfigError, HttpConfig, check_plain};
use crate::connection::{Connections, Crowd};
use crate::limits::Limits;
use crate::router;
use crate::state::Server;
use crate::tls::Tls;

/// Pause after a failed accept: the machine is out of file descriptors or memory, and asking at once does not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often the log says that it fails.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// A client that does not answer is asked so often whether it lives, and what was sent to it waits no longer.
const PROBE_AFTER: Duration = Duration::from_mins(1);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;
const UNACKNOWLEDGED_MAX_MS: u32 = 120_000;

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
/// `shutdown_grace_ms` later. Without TLS, only on a loopback address.
pub async fn serve(
    app: Arc<App>,
    config: HttpConfig,
    tls: Option<Arc<Tls>>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    config.check()?;
    if tls.is_none() {
        check_plain(listener.local_addr().map_err(ServeError::Listener)?)?;
    }
    let limits = Arc::new(Limits::new(&config));
    let server = Server {
        app: Arc::clone(&app),
        limits: Arc::clone(&limits),
        metrics_token: config.metrics_token.clone(),
        shutdown: shutdown.clone(),
    };
    let router = router::build(server, &config)?;
    let keep_certificate = async {
        if let Some(tls) = tls.clone() {
            let hangup = signal(SignalKind::hangup())
                .inspect_err(|error| {
                    tracing::warn!(%error, "SIGHUP is not heard; certificates are looked at all the same");
                })
                .ok();
            tls.keep(&app, hangup, shutdown.clone()).await;
        }
    };
    tokio::join!(
        accept_all(listener, router, &config, tls.clone(), &shutdown),
        limits.keep_small(shutdown.clone()),
        keep_certificate
    );
    Ok(())
}

/// Serves `router` on every connection.
pub(crate) async fn accept_all(
    listener: TcpListener,
    router: Router,
    config: &HttpConfig,
    tls: Option<Arc<Tls>>,
    shutdown: &CancellationToken,
) {
    if let Err(error) = watch_over_peers(&listener) {
        tracing::warn!(%error, "failed to switch on keep-alive: clients that vanish are noticed later");
    }
    let how = Arc::new(Connections::new(router, tls));
    let crowd = Arc::new(Crowd::new(config));
    let _lean = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&crowd).stay_lean()));
    let (mut open, mut warned_at) = (JoinSet::new(), None);
    loop {
        let (stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &crowd, &mut warned_at) => accepted,
        };
        while let Some(ended) = open.try_join_next() {
            log_panic(ended);
        }
        let seat = tokio::select! {
            () = shutdown.cancelled() => break,
            seat = crowd.seat(peer.ip()) => seat,
        };
        if let Some(seat) = seat {
            open.spawn(Arc::clone(&how).serve(stream, seat, peer, shutdown.clone()));
        }
    }
    drop(listener);
    drain(open, config.shutdown_grace()).await;
}

/// What the listener's connections inherit.
fn watch_over_peers(listener: &TcpListener) -> rustix::io::Result<()> {
    use rustix::net::sockopt;
    // Answers are written whole; waiting for more of them only delays.
    sockopt::set_tcp_nodelay(listener, true)?;
    sockopt::set_socket_keepalive(listener, true)?;
    sockopt::set_tcp_keepidle(listener, PROBE_AFTER)?;
    sockopt::set_tcp_keepintvl(listener, PROBE_EVERY)?;
    sockopt::set_tcp_keepcnt(listener, PROBES)?;
    sockopt::set_tcp_user_timeout(listener, UNACKNOWLEDGED_MAX_MS)
}

/// The next connection.
async fn accept(listener: &TcpListener, crowd: &Crowd, warned_at: &mut Option<Instant>) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                if warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    *warned_at = Some(Instant::now());
                    tracing::warn!(%error, "failed to accept connections");
                }
                crowd.make_room();
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
