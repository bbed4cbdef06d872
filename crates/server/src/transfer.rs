//! Bodies of requests: uploads may take as long as they move, and who is refused learns why.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use drover_app::ByteStream;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio::time::{Instant, Sleep};

use crate::pace::Pace;

/// How long, and for how many bytes, a refused upload is still listened to.
const LINGER: Duration = Duration::from_secs(5);
const LINGER_BYTES: u64 = 256 * 1024 * 1024;

/// An upload: what was announced, and the bytes as they arrive.
pub(crate) struct Upload {
    /// `Content-Length`, when it was sent.
    pub(crate) content_length: Option<u64>,
    /// The body.
    pub(crate) body: ByteStream,
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Self::Rejection> {
        let announced = request.headers().get(header::CONTENT_LENGTH);
        let content_length = announced.and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let body = request.into_body().into_data_stream().map_err(io::Error::other);
        Ok(Self { content_length, body: Box::pin(body) })
    }
}

/// Guards the body of a request.
pub(crate) async fn guard_body(State(idle_timeout): State<Duration>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let waits_for_continue = parts.headers.contains_key(header::EXPECT);
    let guarded = GuardedBody {
        body: Some(body.into_data_stream()),
        idle_timeout,
        idle: Box::pin(tokio::time::sleep(idle_timeout)),
        pace: Pace::begin(Instant::now()),
        client_sends: !waits_for_continue,
    };
    next.run(Request::from_parts(parts, Body::from_stream(guarded))).await
}

/// A body that ends with an error when nothing, or next to nothing, arrives for too long.
///
/// When it is dropped early, as the upload was refused, it is read on for a moment. Otherwise the connection would be
/// reset under a client that is still sending, and the client would never see why it was refused.
struct GuardedBody {
    /// None when it has ended.
    body: Option<BodyDataStream>,
    idle_timeout: Duration,
    idle: Pin<Box<Sleep>>,
    pace: Pace,
    /// False while the client waits to be told to go on.
    client_sends: bool,
}

impl Stream for GuardedBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(body) = this.body.as_mut() else { return Poll::Ready(None) };
        this.client_sends = true;
        match body.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                let now = Instant::now();
                this.pace.count(chunk.len());
                if this.pace.is_too_slow(now) {
                    this.body = None;
                    let text = "less than 64 KiB arrived in ten minutes";
                    return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, text))));
                }
                this.idle.as_mut().reset(now + this.idle_timeout);
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.body = None;
                Poll::Ready(Some(Err(io::Error::other(error))))
            }
            Poll::Ready(None) => {
                this.body = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                std::task::ready!(this.idle.as_mut().poll(cx));
                this.body = None;
                let text = format!("nothing arrived for {} ms", this.idle_timeout.as_millis());
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, text))))
            }
        }
    }
}

impl Drop for GuardedBody {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(body), true, Ok(runtime)) = (self.body.take(), self.client_sends, runtime) {
            runtime.spawn(tokio::time::timeout(LINGER, read_on(body)));
        }
    }
}

async fn read_on(mut body: BodyDataStream) {
    let mut read_bytes = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read_bytes += chunk.len() as u64;
        if read_bytes > LINGER_BYTES {
            return;
        }
    }
}
