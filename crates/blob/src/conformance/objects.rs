//! What is stored comes back, whole and in part.

use std::ops::Range;

use futures::TryStreamExt;

use super::{Content, Harness};
use crate::{GetError, ObjectKey};

const MIB: u64 = 1024 * 1024;

async fn read(harness: &Harness, key: &ObjectKey, range: Option<Range<u64>>) -> Result<Vec<u8>, GetError> {
    let stream = harness.store.get(key, range).await?;
    let chunks: Vec<_> = stream.try_collect().await.expect("the object can be read");
    Ok(chunks.concat())
}

pub(super) async fn stored_content_comes_back(harness: &Harness) {
    for size_bytes in [0, 1, 100_000] {
        let content = Content { seed: 1, size_bytes };
        let put = harness.store.put(harness.tenant, None, size_bytes, content.stream()).await;
        let stored = put.expect("it is stored");
        let expected = content.expected();
        assert_eq!((stored.size_bytes, stored.sha256, stored.already_there), (size_bytes, expected.sha256, false));
        assert_eq!(stored.key, ObjectKey::content(harness.tenant, expected.sha256));
        let info = harness.store.head(&stored.key).await.expect("it is known");
        assert_eq!((info.size_bytes, info.etag), (size_bytes, format!("\"{}\"", expected.sha256)));
        assert_eq!(read(harness, &stored.key, None).await.expect("it is there"), content.slice(0, size_bytes));
    }
}

pub(super) async fn ranges_are_exact(harness: &Harness) {
    let content = Content { seed: 2, size_bytes: 300_000 };
    let key = harness.put(harness.tenant, &content).await;
    for range in [0..1, 0..300_000, 10..20, 299_999..300_000, 65_535..200_001] {
        let part = read(harness, &key, Some(range.clone())).await.expect("it is there");
        assert!(part == content.slice(range.start, range.end), "bytes {range:?} differ");
    }
    for range in [5..5, 0..300_001, 300_000..300_001, u64::MAX - 1..u64::MAX] {
        let outside = harness.store.get(&key, Some(range.clone())).await.err();
        assert!(matches!(outside, Some(GetError::RangeOutside { size_bytes: 300_000, .. })), "{range:?}: {outside:?}");
    }
}

pub(super) async fn a_second_put_is_success(harness: &Harness) {
    // Short, and longer than what S3 takes in one request.
    for size_bytes in [50_000, 9 * MIB] {
        let content = Content { seed: 3, size_bytes };
        let expected = content.expected();
        for (announced, already_there) in [(Some(&expected), false), (Some(&expected), true), (None, true)] {
            let put = harness.store.put(harness.tenant, announced, u64::MAX, content.stream()).await;
            assert_eq!(put.expect("it is stored").already_there, already_there, "{size_bytes} bytes, {announced:?}");
        }
        let (one, two) = tokio::join!(
            harness.store.put(harness.other_tenant, None, u64::MAX, content.stream()),
            harness.store.put(harness.other_tenant, Some(&expected), u64::MAX, content.stream()),
        );
        let key = one.expect("one of two at once").key;
        assert_eq!(two.expect("the other of two at once").key, key);
        let stored = read(harness, &key, None).await.expect("it is there");
        assert!(stored == content.slice(0, size_bytes), "two puts at once stored something else");
    }
}

pub(super) async fn a_large_upload_streams(harness: &Harness) {
    let content = Content { seed: 4, size_bytes: 64 * MIB + 7 };
    let expected = content.expected();
    let put = harness.store.put(harness.tenant, None, content.size_bytes, content.stream()).await;
    let stored = put.expect("it is stored");
    assert_eq!((stored.sha256, stored.size_bytes), (expected.sha256, expected.size_bytes));
    // Written elsewhere once more, from what was stored: the digest says whether it is the same.
    let body = harness.store.get(&stored.key, None).await.expect("it is there");
    let copied = harness.store.put(harness.other_tenant, Some(&expected), u64::MAX, body).await;
    assert!(!copied.expect("what comes back is what was stored").already_there);
    harness.assert_nothing_left("large uploads").await;
}

pub(super) async fn what_is_deleted_is_gone(harness: &Harness) {
    let content = Content { seed: 5, size_bytes: 1000 };
    let key = harness.put(harness.tenant, &content).await;
    let others = harness.put(harness.other_tenant, &content).await;
    for _ in 0..2 {
        harness.store.delete(&key).await.expect("it is removed, or was not there");
    }
    let gone = harness.store.head(&key).await;
    assert!(matches!(gone, Err(GetError::NotFound { .. })), "{gone:?}");
    let gone = harness.store.get(&key, Some(0..1)).await.err();
    assert!(matches!(gone, Some(GetError::NotFound { .. })), "{gone:?}");
    let gone = harness.store.get(&key, None).await.err();
    assert!(matches!(gone, Some(GetError::NotFound { .. })), "{gone:?}");
    assert_eq!(harness.store.head(&others).await.expect("the other tenant keeps its own").size_bytes, 1000);
    assert_eq!(harness.put(harness.tenant, &content).await, key);
}
