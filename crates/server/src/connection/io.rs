//! The socket, with an eye on what moves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::wire::Wire;

/// A connection that notes when bytes move. With TLS, those that it protects.
pub(super) struct WatchedIo<S> {
    stream: S,
    activity: Arc<Activity>,
    wire: Wire,
}

impl<S> WatchedIo<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity, wire: Wire::New }
    }

    /// Bytes left.
    fn left(&mut self, bytes: &[u8]) {
        let of_answers = self.wire.count(bytes);
        if of_answers > 0 {
            self.activity.wrote(of_answers);
        }
    }

    /// Notes whether the client is waited for.
    fn noted<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.activity.waits_for_reader(polled.is_pending());
        polled
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WatchedIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let filled_before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > filled_before {
            self.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WatchedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        let written = ready!(self.noted(polled))?;
        self.left(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let written = ready!(self.noted(polled))?;
        let mut left_bytes = written;
        for slice in slices {
            let part = left_bytes.min(slice.len());
            self.left(&slice[..part]);
            left_bytes -= part;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.noted(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::{Response, Version};
    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::super::activity::Patience;
    use super::super::eviction::Doing;
    use super::*;
    use crate::config::HttpConfig;

    /// hyper has let go of an answer from memory when its last bytes wait for a slow client.
    #[tokio::test]
    async fn whoever_still_reads_is_not_at_rest() {
        let activity = Arc::new(Activity::new(Patience::new(&HttpConfig::default()), Arc::default()));
        let (mut client, server) = tokio::io::duplex(16);
        let mut io = WatchedIo::new(server, Arc::clone(&activity));
        drop(activity.begin(Version::HTTP_11).answered(Response::new(Body::empty())));
        assert!(matches!(activity.doing(), Doing::Resting(_)));
        let mut written = std::pin::pin!(io.write_all(b"HTTP/1.1 200 OK, and more than 16 bytes"));
        assert!(written.as_mut().now_or_never().is_none());
        assert!(matches!(activity.doing(), Doing::Working(_)));
        let mut answer = [0; 39];
        let (written, read) = tokio::join!(written, client.read_exact(&mut answer));
        written.expect("written");
        read.expect("read");
        assert!(matches!(activity.doing(), Doing::Resting(_)));
    }
}
