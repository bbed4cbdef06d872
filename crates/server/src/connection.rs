//! One connection: hyper speaks on it, we see to it that it does not stay for nothing.
//!
//! hyper has a time limit for the head of an HTTP/1 request, and none before it knows which protocol the client
//! speaks, for HTTP/2, or for a client that stops reading. So the limits are kept here, for both protocols alike:
//!
//! - TLS has to be set up within the header time-out, counted from connecting,
//! - a request's head that has begun must be whole within the header time-out,
//! - a connection without a request is closed after the header time-out at first, and later when it is idle,
//! - an answer must move: a client that takes none of it for the transfer time-out is gone, and so is one that takes
//!   less than 64 KiB in ten minutes,
//! - answers that are not taken, of all connections, do not become too much (`untaken.rs`),
//! - somebody leaves when the place is needed (`crowd.rs`).
//!
//! While a handler works nothing else is limited here: requests and uploads have limits of their own.

mod activity;
mod answer;
mod crowd;
mod eviction;
mod io;
mod untaken;
mod wire;

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
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::caller::Peer;
use crate::tls::Tls;
use activity::Overdue;
pub(crate) use activity::Proof;
use answer::too_much;
pub(crate) use crowd::{Crowd, Seat};
use eviction::{Doing, UNDISTURBED};
use io::WatchedIo;

/// Answers in flight per HTTP/2 connection.
const STREAMS_MAX: u32 = 16;

/// What an HTTP/2 client may send before anybody has looked at it: on a stream, on a connection.
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What is taken from an answer before the HTTP/2 client has.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Bytes that are buffered per HTTP/1 connection; the head of a request must fit.
const BUFFER_BYTES: usize = 64 * 1024;

/// What is encrypted before the client takes it: it is seen to move by what goes beyond.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

/// The head of an HTTP/2 request.
const HEAD_BYTES_MAX: u32 = 32 * 1024;

/// Streams that a client opened and cancelled before they were looked at; one more, and it is cut off. Opening and
/// cancelling in a loop costs the client next to nothing (CVE-2023-44487).
const CANCELLED_STREAMS_MAX: usize = 20;

/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// To a client that speaks plain HTTP where TLS is spoken.
const SPEAK_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n\
    this port speaks TLS: use https://\n";

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It does not move.
    Overdue(Overdue),
    /// Somebody else needs the place.
    Needed,
    /// It asks for more than it takes.
    Burden,
    /// The server ends.
    Shutdown,
}

/// What a connection carries.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// How connections are served.
pub(crate) struct Connections {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    tls: Option<Arc<Tls>>,
}

impl Connections {
    pub(crate) fn new(router: Router, tls: Option<Arc<Tls>>) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(SEND_BUFFER_BYTES)
            .max_pending_accept_reset_streams(CANCELLED_STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES_MAX);
        Self { builder, router, tls }
    }

    /// Serves one connection until it ends; from `shutdown` on, only what is in flight.
    pub(crate) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        seat: Seat,
        peer: SocketAddr,
        shutdown: CancellationToken,
    ) {
        let Some(tls) = &self.tls else { return self.speak(Either::Left(stream), &seat, peer, shutdown).await };
        let shaken = tokio::select! {
            shaken = shake_hands(tls, stream, peer) => shaken,
            _ = seat.activity.overdue() => None,
            () = seat.is_needed() => None,
            () = shutdown.cancelled() => None,
        };
        if let Some(stream) = shaken {
            seat.activity.shook_hands();
            self.speak(Either::Right(Box::new(stream)), &seat, peer, shutdown).await;
        }
    }

    async fn speak(&self, stream: Transport, seat: &Seat, peer: SocketAddr, shutdown: CancellationToken) {
        let activity = &seat.activity;
        let service = service_fn(|request: hyper::Request<Incoming>| {
            let working = activity.begin(request.version());
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            request.extensions_mut().insert(Proof(Arc::clone(activity)));
            let only_reads = request.method().is_safe();
            let answer = (!activity.must_take()).then(|| self.router.clone().oneshot(request));
            async move {
                let Some(answer) = answer else { return Ok(working.answered(too_much())) };
                // Requests that came together all began before the first answer. What was done must be told, though.
                answer.await.map(|response| {
                    let must_take = only_reads && working.must_take();
                    working.answered(if must_take { too_much() } else { response })
                })
            }
        });
        let io = TokioIo::new(WatchedIo::new(stream, Arc::clone(activity)));
        let mut connection = pin!(self.builder.serve_connection(io, service));

        let why = tokio::select! {
            ended = connection.as_mut() => return log_end(ended),
            overdue = activity.overdue() => Why::Overdue(overdue),
            () = seat.is_needed() => Why::Needed,
            () = seat.is_cut_off() => Why::Burden,
            () = shutdown.cancelled() => Why::Shutdown,
        };
        tracing::debug!(%peer, ?why, "closing a connection");
        // Nothing is owed to whoever never asked for anything; and a place that is needed is needed now.
        let leaves_at_once = match why {
            Why::Overdue(Overdue::Stalled) | Why::Burden => true,
            Why::Needed => !activity.is_known(),
            Why::Overdue(Overdue::Idle) | Why::Shutdown => !activity.is_served(),
        };
        if leaves_at_once {
            return;
        }
        connection.as_mut().graceful_shutdown();
        let ended = tokio::time::timeout(GOODBYE, connection.as_mut()).await;
        let working_since = match (ended, activity.doing()) {
            (Ok(ended), _) => return log_end(ended),
            (Err(_), Doing::Resting(_)) => return,
            (Err(_), Doing::Working(since)) => since,
        };
        // What is under way, or came in the last moment, is answered. Where the place is needed it has as long as
        // everybody at work: it is not asked a second time.
        tokio::select! {
            ended = connection.as_mut() => log_end(ended),
            overdue = activity.overdue() => tracing::debug!(%peer, ?overdue, "closing a connection that does not move"),
            () = seat.is_cut_off() => tracing::debug!(%peer, "closing a connection that asks for more than it takes"),
            () = tokio::time::sleep_until(working_since + UNDISTURBED), if why == Why::Needed => {
                tracing::debug!(%peer, "closing a connection at work");
            }
        }
    }
}

async fn shake_hands(tls: &Tls, stream: TcpStream, peer: SocketAddr) -> Option<TlsStream<TcpStream>> {
    match tls.acceptor().accept(stream).into_fallible().await {
        Ok(mut stream) => {
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
            Some(stream)
        }
        Err((error, mut stream)) => {
            tracing::debug!(%peer, %error, "TLS could not be set up");
            if is_no_tls(&error) {
                // Whoever does not listen any more misses nothing.
                let _ = stream.write_all(SPEAK_TLS).await;
            }
            None
        }
    }
}

/// Whether the first bytes were none of TLS.
fn is_no_tls(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}

fn log_end(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended early");
    }
}
