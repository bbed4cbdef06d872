//! What is refused leaves nothing behind.

use bytes::Bytes;
use drover_types::Sha256Digest;
use futures::StreamExt;

use super::{Content, Harness};
use crate::{ByteStream, ExpectedContent, GetError, ObjectKey, PutError};

/// Short, and longer than what S3 takes in one request.
const SIZES: [u64; 2] = [70_000, 9 * 1024 * 1024 + 1];

pub(super) async fn wrong_uploads_leave_nothing(harness: &Harness) {
    for size_bytes in SIZES {
        let content = Content { seed: 10, size_bytes };
        let right = content.expected();
        let too_short = || content.stream_until(size_bytes - 1);

        let error = refused(harness, &content, Some(&right), too_short()).await;
        assert!(matches!(error, PutError::SizeMismatch { .. }), "ended early: {error:?}");
        let error = refused(harness, &content, Some(&right), broken(too_short())).await;
        assert!(matches!(error, PutError::Truncated { received_bytes, .. } if received_bytes == size_bytes - 1));
        let error = refused(harness, &content, None, broken(too_short())).await;
        assert!(matches!(error, PutError::Truncated { .. }), "broke off: {error:?}");
        let error = refused(harness, &content, Some(&right), endless(content.stream())).await;
        assert!(matches!(error, PutError::SizeMismatch { .. }), "went on: {error:?}");
        let error = refused(harness, &content, None, endless(content.stream())).await;
        assert!(matches!(error, PutError::TooLarge { max_bytes } if max_bytes == size_bytes), "went on: {error:?}");

        let wrong = ExpectedContent { sha256: Sha256Digest::from_bytes([0; 32]), ..right };
        let error = refused(harness, &content, Some(&wrong), content.stream()).await;
        assert!(matches!(error, PutError::DigestMismatch { actual, .. } if actual == right.sha256), "{error:?}");
        let longer = ExpectedContent { size_bytes: size_bytes + 1, ..right };
        let error = refused(harness, &content, Some(&longer), content.stream()).await;
        assert!(matches!(error, PutError::TooLarge { .. }), "more announced than allowed: {error:?}");
    }
    harness.assert_nothing_left("refused uploads").await;
}

/// Puts with the content's size as the limit, which must fail, and sees that neither name can be read.
async fn refused(
    harness: &Harness,
    content: &Content,
    announced: Option<&ExpectedContent>,
    body: ByteStream,
) -> PutError {
    let put = harness.store.put(harness.tenant, announced, content.size_bytes, body).await;
    let error = put.expect_err("a wrong upload is refused");
    for sha256 in [Some(content.expected().sha256), announced.map(|wanted| wanted.sha256)].into_iter().flatten() {
        let found = harness.store.head(&ObjectKey::content(harness.tenant, sha256)).await;
        assert!(matches!(found, Err(GetError::NotFound { .. })), "after {error}: {found:?}");
    }
    error
}

/// The stream with an error at its end.
fn broken(stream: ByteStream) -> ByteStream {
    let reset = futures::stream::once(async { Err(std::io::ErrorKind::ConnectionReset.into()) });
    Box::pin(stream.chain(reset))
}

/// The stream without an end.
fn endless(stream: ByteStream) -> ByteStream {
    Box::pin(stream.chain(futures::stream::repeat_with(|| Ok(Bytes::from_static(&[0; 1000])))))
}

pub(super) async fn an_upload_that_is_given_up_leaves_nothing(harness: &Harness) {
    let content = Content { seed: 11, size_bytes: 30 * 1024 * 1024 };
    for announced in [None, Some(content.expected())] {
        let (reached, mut arrived) = tokio::sync::oneshot::channel::<()>();
        let mut reached = Some(reached);
        let hang = futures::stream::poll_fn(move |_| {
            reached.take();
            std::task::Poll::Pending
        });
        let body: ByteStream = Box::pin(content.stream_until(20 * 1024 * 1024).chain(hang));
        let put = harness.store.put(harness.tenant, announced.as_ref(), u64::MAX, body);
        tokio::select! {
            ended = put => panic!("an upload without an end ended: {ended:?}"),
            _ = &mut arrived => {}
        }
        harness.assert_nothing_left("an upload that was given up").await;
        let key = ObjectKey::content(harness.tenant, content.expected().sha256);
        assert!(matches!(harness.store.head(&key).await, Err(GetError::NotFound { .. })));
    }
}
