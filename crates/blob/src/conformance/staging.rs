//! Uploads in parts: the whole is what was announced, or nothing.

use std::time::Duration;

use bytes::Bytes;
use drover_types::{Sha256Digest, TenantId, Timestamp, UploadId};
use futures::{StreamExt, TryStreamExt};

use super::{Content, Harness};
use crate::{
    ByteStream, ExpectedContent, GetError, ObjectKey, PART_MIN_BYTES, PutError, StagedPart, StagedUpload, StoredBlob,
};

/// Three parts, the last one short.
const CONTENT: Content = Content { seed: 30, size_bytes: 2 * PART_MIN_BYTES + 1234 };

fn new_id() -> UploadId {
    let mut random = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut random).expect("randomness");
    UploadId::generate(Timestamp::from_micros(0), u128::from_be_bytes(random))
}

async fn stage(harness: &Harness, tenant: TenantId) -> StagedUpload {
    let id = new_id();
    let token = harness.store.stage(tenant, id, CONTENT.size_bytes).await.expect("it is staged");
    StagedUpload { tenant, id, token }
}

/// Where part `number` of the content begins and ends.
fn place(number: u32) -> (u64, u64) {
    let start = u64::from(number - 1) * PART_MIN_BYTES;
    (start, CONTENT.size_bytes.min(start + PART_MIN_BYTES))
}

fn chunks(bytes: &[u8]) -> ByteStream {
    let chunks: Vec<_> = bytes.chunks(100_000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
    Box::pin(futures::stream::iter(chunks))
}

async fn put(harness: &Harness, upload: &StagedUpload, number: u32, content: Content) -> StagedPart {
    let (start, end) = place(number);
    let body = chunks(&content.slice(start, end));
    let part = harness.store.put_part(upload, number, end - start, body).await.expect("the part is kept");
    assert_eq!((part.number, part.size_bytes), (number, end - start));
    part
}

async fn put_all(harness: &Harness, upload: &StagedUpload) -> Vec<StagedPart> {
    let mut parts = Vec::new();
    for number in [3, 1, 2] {
        parts.push(put(harness, upload, number, CONTENT).await);
    }
    parts.sort_by_key(|part| part.number);
    parts
}

async fn publish(harness: &Harness, upload: &StagedUpload, parts: &[StagedPart]) -> Result<StoredBlob, PutError> {
    harness.store.publish(upload, parts, &CONTENT.expected()).await
}

async fn read(harness: &Harness, key: &ObjectKey) -> Vec<u8> {
    let stream = harness.store.get(key, None).await.expect("it is there");
    stream.try_collect::<Vec<_>>().await.expect("it can be read").concat()
}

async fn assert_unnamed(harness: &Harness, tenant: TenantId, sha256: Sha256Digest) {
    let found = harness.store.head(&ObjectKey::content(tenant, sha256)).await;
    assert!(matches!(found, Err(GetError::NotFound { .. })), "{found:?}");
}

async fn unstage(harness: &Harness, upload: &StagedUpload) {
    for _ in 0..2 {
        harness.store.unstage(upload.tenant, upload.id).await.expect("it is cleared away, or was not there");
    }
}

pub(super) async fn parts_come_in_any_order(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    let parts = put_all(harness, &upload).await;
    let digest_of = |number| {
        let (start, end) = place(number);
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        hash.update(&CONTENT.slice(start, end));
        crate::intake::digest(hash)
    };
    for part in &parts {
        assert_eq!(part.sha256, Some(digest_of(part.number)), "part {}", part.number);
    }
    assert_unnamed(harness, harness.tenant, CONTENT.expected().sha256).await;
    for already_there in [false, true] {
        // The second time stands for a server that was killed before it noted the first.
        let stored = publish(harness, &upload, &parts).await.expect("it is published");
        let ExpectedContent { size_bytes, sha256 } = CONTENT.expected();
        let key = ObjectKey::content(harness.tenant, sha256);
        assert_eq!(stored, StoredBlob { key, sha256, size_bytes, already_there });
        assert!(read(harness, &key).await == CONTENT.slice(0, CONTENT.size_bytes), "the object differs");
    }
    unstage(harness, &upload).await;
    let key = ObjectKey::content(harness.tenant, CONTENT.expected().sha256);
    assert!(read(harness, &key).await == CONTENT.slice(0, CONTENT.size_bytes), "it went with its parts");
    let late = harness.store.put_part(&upload, 1, 5, chunks(&[0; 5])).await;
    assert!(late.is_err(), "a part came in after the end: {late:?}");
    harness.assert_nothing_left("a published upload").await;
    harness.store.delete(&key).await.expect("it is removed");
}

pub(super) async fn the_last_of_a_part_counts(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    let wrong = put(harness, &upload, 2, Content { seed: 31, ..CONTENT }).await;
    let parts = put_all(harness, &upload).await;
    assert_ne!(wrong.sha256, parts[1].sha256);
    // Somebody else's of the same content is of no concern.
    let others = stage(harness, harness.other_tenant).await;
    let stored = publish(harness, &upload, &parts).await.expect("it is published");
    assert_unnamed(harness, harness.other_tenant, stored.sha256).await;
    unstage(harness, &others).await;
    unstage(harness, &upload).await;
    harness.store.delete(&stored.key).await.expect("it is removed");
}

pub(super) async fn wrong_parts_change_nothing(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    let parts = put_all(harness, &upload).await;
    let (start, end) = place(1);
    let bytes = CONTENT.slice(start, end);
    let size_bytes = end - start;
    let short = chunks(&bytes[1..]);
    let error = harness.store.put_part(&upload, 1, size_bytes, short).await.expect_err("too short");
    assert!(matches!(error, PutError::SizeMismatch { .. }), "{error:?}");
    let long = Box::pin(chunks(&bytes).chain(chunks(&[0])));
    let error = harness.store.put_part(&upload, 1, size_bytes, long).await.expect_err("too long");
    assert!(matches!(error, PutError::SizeMismatch { .. }), "{error:?}");
    let reset = futures::stream::once(async { Err(std::io::ErrorKind::ConnectionReset.into()) });
    let broken = Box::pin(chunks(&bytes[..bytes.len() / 2]).chain(reset));
    let error = harness.store.put_part(&upload, 1, size_bytes, broken).await.expect_err("broken off");
    assert!(matches!(error, PutError::Truncated { .. }), "{error:?}");
    if parts[0].tag.is_empty() {
        // A back-end that gives tags tells of what it took, so a longer body it may have taken as a new part.
        assert!(publish(harness, &upload, &parts).await.is_ok());
    } else {
        let again = put(harness, &upload, 1, CONTENT).await;
        let parts = [again, parts[1].clone(), parts[2].clone()];
        assert!(publish(harness, &upload, &parts).await.is_ok());
    }
    unstage(harness, &upload).await;
    harness.store.delete(&ObjectKey::content(harness.tenant, CONTENT.expected().sha256)).await.expect("it is removed");
}

pub(super) async fn what_is_not_as_announced_gets_no_name(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    let parts = put_all(harness, &upload).await;
    let other = Content { seed: 32, ..CONTENT }.expected();
    for _ in 0..2 {
        let error = harness.store.publish(&upload, &parts, &other).await.expect_err("other bytes were announced");
        assert!(matches!(error, PutError::DigestMismatch { .. }) && error.is_final(), "{error:?}");
    }
    let longer = ExpectedContent { size_bytes: CONTENT.size_bytes + 1, ..CONTENT.expected() };
    let error = harness.store.publish(&upload, &parts, &longer).await.expect_err("more bytes were announced");
    assert!(matches!(error, PutError::SizeMismatch { .. }) && error.is_final(), "{error:?}");
    for sha256 in [other.sha256, CONTENT.expected().sha256] {
        assert_unnamed(harness, harness.tenant, sha256).await;
    }
    unstage(harness, &upload).await;

    let upload = stage(harness, harness.tenant).await;
    let parts = put_all(harness, &upload).await;
    put(harness, &upload, 2, Content { seed: 33, ..CONTENT }).await;
    match publish(harness, &upload, &parts).await {
        Err(error) => {
            assert!(error.is_final(), "a part is another one than was noted: {error:?}");
            assert_unnamed(harness, harness.tenant, CONTENT.expected().sha256).await;
        }
        // Some services keep every content of a part, and take the one that is named.
        Ok(stored) => {
            assert!(read(harness, &stored.key).await == CONTENT.slice(0, CONTENT.size_bytes), "the object differs");
            harness.store.delete(&stored.key).await.expect("it is removed");
        }
    }
    unstage(harness, &upload).await;
}

pub(super) async fn nothing_stays_of_what_is_given_up(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    put(harness, &upload, 1, CONTENT).await;
    // Nobody kept the token: the server was killed.
    unstage(harness, &StagedUpload { token: String::new(), ..upload.clone() }).await;
    let late = harness.store.put_part(&upload, 2, 5, chunks(&[0; 5])).await;
    assert!(late.is_err(), "a part came in after the end: {late:?}");
    harness.assert_nothing_left("an upload that was given up").await;

    let forgotten = stage(harness, harness.tenant).await;
    put(harness, &forgotten, 1, CONTENT).await;
    let now = harness.clock.now();
    harness.store.sweep(now.minus(Duration::from_hours(1))).await.expect("it is swept");
    put(harness, &forgotten, 2, CONTENT).await;
    let swept = harness.store.sweep(now.plus(Duration::from_hours(1))).await.expect("it is swept");
    assert!(swept >= 1);
    harness.assert_nothing_left("an upload that was forgotten").await;
    harness.store.unstage(forgotten.tenant, forgotten.id).await.expect("it is not there");
}

pub(super) async fn parts_go_to_urls(harness: &Harness) {
    let upload = stage(harness, harness.tenant).await;
    let mut parts = Vec::new();
    for number in [2, 3, 1] {
        let (start, end) = place(number);
        let ttl = Duration::from_mins(5);
        let url = harness.store.part_url(&upload, number, ttl, harness.clock.now()).await.expect("a URL");
        assert_eq!(url.is_some(), harness.store.has_part_urls());
        let Some(url) = url else {
            unstage(harness, &upload).await;
            return;
        };
        let other = url.url.replace(&format!("partNumber={number}"), "partNumber=9");
        let refused = harness.http.put(&other).body(CONTENT.slice(start, end)).send().await.expect("an answer");
        assert!(refused.status().is_client_error(), "another number was taken: {}", refused.status());
        let answer = harness.http.put(&url.url).body(CONTENT.slice(start, end)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        let tag = answer.headers().get(reqwest::header::ETAG).and_then(|value| value.to_str().ok());
        let tag = tag.expect("an entity tag").to_owned();
        parts.push(StagedPart { number, size_bytes: end - start, sha256: None, tag });
    }
    parts.sort_by_key(|part| part.number);
    let stored = publish(harness, &upload, &parts).await.expect("it is published");
    assert!(read(harness, &stored.key).await == CONTENT.slice(0, CONTENT.size_bytes), "the object differs");
    unstage(harness, &upload).await;
    harness.store.delete(&stored.key).await.expect("it is removed");
}
