//! One connection: hyper speaks on it, we see to it that it does not stay for nothing.
//!
//! hyper has a time limit for the head of an HTTP/1 request, and none before it knows which protocol the client
//! speaks, for HTTP/2, or for a client that stops reading. So the limits are kept here, for both protocols alike:
//!
//! - a request's head that has begun must be whole within the header time-out,
//! - a connection without a request is closed after the header time-out at first, and later when it is idle,
//! - an answer must move: a client that takes none of it for the transfer time-out is gone.
//!
//! While a handler works nothing is limited here: requests and uploads have limits of their own.

mod activity;
mod io;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::caller::Peer;
use crate::config::HttpConfig;
use activity::{Activity, Overdue, Patience};
use io::WatchedIo;

/// How long a kept connection waits for its next request. Longer than the proxies that stand in front keep theirs
/// (nginx 60 s), so that they close first and never send into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Answers in flight per HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Bytes that are buffered per HTTP/1 connection; the head of a request must fit.
const BUFFER_BYTES: usize = 64 * 1024;

/// The head of an HTTP/2 request.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How connections are served.
pub(crate) struct Connections {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    patience: Patience,
}

impl Connections {
    pub(crate) fn new(router: Router, config: &HttpConfig) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX);
        let patience = Patience {
            head: config.header_read_timeout(),
            keep_alive: KEEP_ALIVE.max(config.header_read_timeout()),
            stalled: config.transfer_idle_timeout(),
        };
        Self { builder, router, patience }
    }

    /// Serves one connection until it ends; from `shutdown` on, only what is in flight.
    pub(crate) async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, shutdown: CancellationToken) {
        let activity = Arc::new(Activity::new(self.patience));
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let working = activity.begin();
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            let answer = self.router.clone().oneshot(request);
            async move { answer.await.map(|response| response.map(|body| working.answered(body))) }
        });
        let io = TokioIo::new(WatchedIo::new(stream, Arc::clone(&activity)));
        let mut connection = pin!(self.builder.serve_connection(io, service));

        let overdue = tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            overdue = activity.overdue() => overdue,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection.as_mut() => return log_end(ended),
                    overdue = activity.overdue() => overdue,
                }
            }
        };
        tracing::debug!(%peer, ?overdue, "closing a connection that does not move");
        if overdue == Overdue::Idle {
            connection.as_mut().graceful_shutdown();
            // Whether it said goodbye in time makes no difference: the connection is dropped now.
            let _ = tokio::time::timeout(GOODBYE, connection).await;
        }
    }
}

fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}
