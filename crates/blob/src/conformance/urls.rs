//! Presigned URLs, as a stranger uses them.

use std::time::Duration;

use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_RANGE, RANGE};
use reqwest::{Method, Response, StatusCode};

use super::{Content, Harness, wait_for};
use crate::{ObjectKey, PresignError, PresignMethod};

const CONTENT: Content = Content { seed: 20, size_bytes: 200_000 };

async fn presign(harness: &Harness, method: PresignMethod, key: &ObjectKey, seconds: u64) -> String {
    let ttl = Duration::from_secs(seconds);
    let now = harness.clock.now();
    let signed = harness.store.presign(method, key, ttl, now, None).await.expect("a URL");
    assert!(signed.expires_at > now && signed.expires_at <= now.plus(ttl), "{signed:?}");
    signed.url
}

async fn send(
    harness: &Harness,
    method: Method,
    url: &str,
    headers: &[(reqwest::header::HeaderName, &str)],
) -> Response {
    let mut request = harness.http.request(method, url);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.send().await.expect("an answer")
}

fn header(response: &Response, name: &reqwest::header::HeaderName) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

pub(super) async fn a_url_opens_its_object(harness: &Harness) {
    let key = harness.put(harness.tenant, &CONTENT).await;
    let url = presign(harness, PresignMethod::Get, &key, 600).await;

    let whole = send(harness, Method::GET, &url, &[]).await;
    assert_eq!((whole.status(), header(&whole, &CONTENT_LENGTH)), (StatusCode::OK, "200000".to_owned()));
    let etag = header(&whole, &ETAG);
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "no strong entity tag: {etag}");
    assert!(whole.bytes().await.expect("a body") == CONTENT.slice(0, 200_000), "the body differs");

    for (range, sent) in [("bytes=10-19", 10..20), ("bytes=199990-", 199_990..200_000), ("bytes=-5", 199_995..200_000)]
    {
        let part = send(harness, Method::GET, &url, &[(RANGE, range)]).await;
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let content_range = format!("bytes {}-{}/200000", sent.start, sent.end - 1);
        assert_eq!(header(&part, &CONTENT_RANGE), content_range);
        assert_eq!(part.bytes().await.expect("a body"), CONTENT.slice(sent.start, sent.end));
    }
    let beyond = send(harness, Method::GET, &url, &[(RANGE, "bytes=200000-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let resumed = send(harness, Method::GET, &url, &[(RANGE, "bytes=100-"), (IF_RANGE, &etag)]).await;
    assert_eq!(resumed.status(), StatusCode::PARTIAL_CONTENT);

    let head_url = presign(harness, PresignMethod::Head, &key, 600).await;
    let head = send(harness, Method::HEAD, &head_url, &[]).await;
    assert_eq!((head.status(), header(&head, &CONTENT_LENGTH)), (StatusCode::OK, "200000".to_owned()));
    assert_eq!(header(&head, &ETAG), etag);
    assert_refused(harness, Method::GET, &head_url, "a URL for HEAD, used with GET").await;
    assert_refused(harness, Method::PUT, &url, "a URL for GET, used with PUT").await;
    assert_refused(harness, Method::DELETE, &url, "a URL for GET, used with DELETE").await;

    let named =
        harness.store.presign(PresignMethod::Get, &key, Duration::from_mins(1), harness.clock.now(), Some("a+b.bin"));
    let answer = send(harness, Method::GET, &named.await.expect("a URL").url, &[]).await;
    assert_eq!(header(&answer, &CONTENT_DISPOSITION), "attachment; filename=\"a+b.bin\"");
}

pub(super) async fn a_changed_url_opens_nothing(harness: &Harness) {
    let key = harness.put(harness.tenant, &CONTENT).await;
    let others = harness.put(harness.other_tenant, &CONTENT).await;
    let sibling = harness.put(harness.tenant, &Content { seed: 21, ..CONTENT }).await;
    let url = presign(harness, PresignMethod::Get, &key, 600).await;
    for stranger in [others, sibling] {
        let changed = url.replace(&key.to_string(), &stranger.to_string());
        assert_refused(harness, Method::GET, &changed, "another object's name").await;
    }
    assert_refused(harness, Method::GET, &add_to(&url, &["expires=", "X-Amz-Expires="]), "a longer life").await;
    let signature = ["&sig=", "X-Amz-Signature="].into_iter().find_map(|mark| Some((url.find(mark)?, mark)));
    let (mark_at, mark) = signature.expect("a signed URL has a signature");
    let first = mark_at + mark.len();
    for place in [first, first + 10, first + 20] {
        let mut forged = url.clone();
        let other = if &url[place..=place] == "a" { "b" } else { "a" };
        forged.replace_range(place..=place, other);
        assert_refused(harness, Method::GET, &forged, "another signature").await;
    }
    let bare = url.split('?').next().unwrap_or_default();
    assert_refused(harness, Method::GET, bare, "no signature").await;
    let intact = send(harness, Method::GET, &url, &[]).await;
    assert_eq!(intact.status(), StatusCode::OK, "the URL itself still opens it");
}

/// Puts a `1` before the number after one of the `marks`.
fn add_to(url: &str, marks: &[&str]) -> String {
    let found = marks.iter().find_map(|mark| Some(url.find(mark)? + mark.len()));
    let place = found.expect("a signed URL has an expiry");
    format!("{}1{}", &url[..place], &url[place..])
}

pub(super) async fn an_expired_url_opens_nothing(harness: &Harness) {
    let key = harness.put(harness.tenant, &CONTENT).await;
    let url = presign(harness, PresignMethod::Get, &key, 2).await;
    let expired = wait_for(async || send(harness, Method::GET, &url, &[]).await.status().is_client_error()).await;
    assert!(expired, "the URL is still good after its 2 s");
    let fresh = presign(harness, PresignMethod::Get, &key, 60).await;
    assert_eq!(send(harness, Method::GET, &fresh, &[]).await.status(), StatusCode::OK, "it was the age, nothing else");
}

async fn assert_refused(harness: &Harness, method: Method, url: &str, why: &str) {
    let answer = send(harness, method, url, &[]).await;
    let status = answer.status();
    let body = answer.bytes().await.expect("a body");
    assert!(status.is_client_error(), "{why} was answered with {status}");
    assert!(body.len() < 10_000, "{why} was answered with {} bytes", body.len());
}

pub(super) async fn what_cannot_be_signed_is_refused(harness: &Harness) {
    let key = harness.put(harness.tenant, &CONTENT).await;
    let now = harness.clock.now();
    for ttl in [Duration::ZERO, Duration::from_millis(999), Duration::from_secs(7 * 24 * 3600 + 1), Duration::MAX] {
        let refused = harness.store.presign(PresignMethod::Get, &key, ttl, now, None).await;
        assert!(matches!(refused, Err(PresignError::Ttl { .. })), "{ttl:?}: {refused:?}");
    }
    for name in ["", "../x", "a\"b", "a\r\nb", "a/b"] {
        let refused = harness.store.presign(PresignMethod::Get, &key, Duration::from_mins(1), now, Some(name)).await;
        assert!(matches!(refused, Err(PresignError::FileName { .. })), "{name:?}: {refused:?}");
    }
}
