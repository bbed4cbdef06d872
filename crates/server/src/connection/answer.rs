//! From the head of a request to the last byte of its answer.

use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as HttpBody, Buf, Bytes, Frame, SizeHint};

use super::activity::Activity;
use super::untaken::ANSWER_BYTES;

/// A request that a handler is working on.
pub(super) struct Working {
    /// None when it was answered.
    activity: Option<Arc<Activity>>,
}

impl Working {
    pub(super) fn new(activity: Arc<Activity>) -> Self {
        Self { activity: Some(activity) }
    }

    /// Whether the client has to take other answers before it gets this one.
    pub(super) fn must_take(&self) -> bool {
        self.activity.as_ref().is_some_and(|activity| activity.must_take())
    }

    /// The handler has answered.
    pub(super) fn answered(mut self, response: Response<Body>) -> Response<Answer> {
        response.map(|body| {
            let bytes = body.size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
            let kept = self.activity.take().map(|activity| {
                activity.answered();
                Kept::new(activity, bytes.unwrap_or(0).saturating_add(ANSWER_BYTES))
            });
            Answer { body, kept, is_stream: bytes.is_none() }
        })
    }
}

/// Instead of an answer that would be one too many: the client has to take others first.
pub(super) fn too_much() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

impl Drop for Working {
    fn drop(&mut self) {
        if let Some(activity) = &self.activity {
            activity.given_up();
        }
    }
}

/// The body of an answer; it is being sent as long as this lives.
pub(super) struct Answer {
    body: Body,
    kept: Option<Arc<Kept>>,
    /// It is made while it is taken.
    is_stream: bool,
}

/// Bytes in memory, as long as this lives: of an answer that was made before it is taken, or of a piece of another one.
struct Kept {
    activity: Arc<Activity>,
    bytes: usize,
}

impl Kept {
    fn new(activity: Arc<Activity>, bytes: usize) -> Arc<Self> {
        activity.keeps(bytes);
        Arc::new(Self { activity, bytes })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.activity.taken(self.bytes);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            kept.activity.sent();
        }
    }
}

impl HttpBody for Answer {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let kept = |bytes: &Bytes| match &self.kept {
            Some(answer) if self.is_stream => Some(Kept::new(Arc::clone(&answer.activity), bytes.len())),
            answer => answer.clone(),
        };
        polled.map_ok(|frame| frame.map_data(|bytes| Piece { _kept: kept(&bytes), bytes }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes on their way: HTTP/2 keeps them, long after the body was asked for its last, until the client opens a window.
pub(super) struct Piece {
    bytes: Bytes,
    _kept: Option<Arc<Kept>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(slices)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        self.bytes.copy_to_bytes(length)
    }
}
