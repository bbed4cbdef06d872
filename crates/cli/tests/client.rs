//! The client against a small server of its own: problem details, retries, cursors, redirects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use drover_api::{ArtifactView, DeviceFilter, FirmwareFilter, GroupWrite, LoginRequest};
use drover_cli::{Client, ClientError, Progress, RetryPolicy};
use drover_types::{Backoff, DeviceId, ErrorKind, FirmwareId, Timestamp};
use serde_json::json;

/// What a server was asked: one entry per request.
type Seen = Arc<Mutex<Vec<HeaderMap>>>;

/// Declared and real length of each upload.
type Uploads = Arc<Mutex<Vec<(Option<String>, usize)>>>;

const DEADLINE: Duration = Duration::from_secs(20);

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn client(server: &str) -> Client {
    let backoff = Backoff { min: Duration::from_millis(1), max: Duration::from_millis(5) };
    let client = Client::new(Client::http().expect("a network client"), server.parse().expect("an address"));
    client.with_token("t0ken").with_retry(RetryPolicy { attempts: 4, backoff })
}

fn problem(status: StatusCode, kind: ErrorKind) -> Response {
    let body = json!({
        "type": format!("urn:drover:problem:{kind}"), "title": "no such thing", "status": status.as_u16(),
        "detail": "look elsewhere", "kind": kind, "errors": [{"field": "name", "message": "too long"}],
    });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

fn group() -> serde_json::Value {
    json!({
        "id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "name": "canary", "description": "", "device_count": 0,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn write_group() -> GroupWrite {
    GroupWrite { name: "canary".to_owned(), ..GroupWrite::default() }
}

fn header_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[tokio::test]
async fn a_refusal_keeps_its_kind_and_its_words() {
    let missing = || async { problem(StatusCode::NOT_FOUND, ErrorKind::NotFound) };
    let proxy = || async { (StatusCode::UNAUTHORIZED, "<html>who are you?\u{1b}[2J</html>") };
    let router = Router::new().route("/api/v1/groups", get(missing)).route("/api/v1/auth/me", get(proxy));
    let client = client(&serve(router).await);
    let error = client.groups(1).await.expect_err("refused");
    assert_eq!(error.kind(), Some(ErrorKind::NotFound));
    assert_eq!(error.to_string(), "no such thing: look elsewhere\n  name: too long");
    let error = client.whoami().await.expect_err("refused");
    assert_eq!(error.kind(), Some(ErrorKind::Unauthenticated));
    assert!(matches!(&error, ClientError::Unexpected { status: 401, .. }), "{error:?}");
    assert!(!error.to_string().contains('\u{1b}'));
}

#[tokio::test]
async fn a_creation_is_repeated_with_the_same_key_and_another_creation_has_another() {
    let seen = Seen::default();
    let handler = |State(seen): State<Seen>, headers: HeaderMap| async move {
        let mut seen = seen.lock().expect("no panic before");
        seen.push(headers);
        if seen.len() < 3 {
            return problem(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable);
        }
        (StatusCode::CREATED, axum::Json(group())).into_response()
    };
    let router = Router::new().route("/api/v1/groups", post(handler)).with_state(Seen::clone(&seen));
    let client = client(&serve(router).await);
    let made = client.create_group(&write_group()).await.expect("made at the third attempt");
    assert_eq!(made.name, "canary");
    client.create_group(&write_group()).await.expect("made at once");
    let seen = seen.lock().expect("no panic before");
    let keys: Vec<_> = seen.iter().map(|headers| header_of(headers, "idempotency-key").expect("a key")).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys[..3].iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_ne!(keys[0], keys[3]);
    assert!(keys.iter().all(|key| key.parse::<uuid::Uuid>().is_ok()), "{keys:?}");
    assert!(seen.iter().all(|headers| header_of(headers, "authorization").as_deref() == Some("Bearer t0ken")));
}

#[tokio::test]
async fn attempts_are_bounded_and_a_refusal_is_not_repeated() {
    let seen = Seen::default();
    let busy = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().expect("no panic before").push(headers);
        problem(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable)
    };
    let refuses = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().expect("no panic before").push(headers);
        problem(StatusCode::CONFLICT, ErrorKind::Conflict)
    };
    let router = Router::new().route("/api/v1/groups", get(busy).post(refuses)).with_state(Seen::clone(&seen));
    let client = client(&serve(router).await);
    let error = client.groups(1).await.expect_err("never available");
    assert_eq!(error.kind(), Some(ErrorKind::Unavailable));
    assert_eq!(std::mem::take(&mut *seen.lock().expect("no panic before")).len(), 4);
    let error = client.create_group(&write_group()).await.expect_err("refused");
    assert_eq!(error.kind(), Some(ErrorKind::Conflict));
    assert_eq!(seen.lock().expect("no panic before").len(), 1);
}

/// Takes connections and closes them after the request has come.
async fn hang_up(count: Arc<Mutex<usize>>) -> String {
    use tokio::io::AsyncReadExt as _;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let got = stream.read(&mut [0; 4096]).await;
            *count.lock().expect("no panic before") += usize::from(got.is_ok_and(|bytes| bytes > 0));
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn what_may_have_happened_is_not_repeated_unless_that_is_harmless() {
    let count = Arc::new(Mutex::new(0));
    let client = client(&hang_up(Arc::clone(&count)).await);
    let request = LoginRequest { tenant: None, username: "admin".to_owned(), password: "x".to_owned() };
    let error = client.login(&request).await.err().expect("no answer");
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error:?}");
    let deleted = client.delete_device(DeviceId::generate(Timestamp::from_micros(0), 1)).await;
    assert_eq!(deleted.expect_err("no answer").kind(), Some(ErrorKind::Unavailable));
    assert_eq!(std::mem::take(&mut *count.lock().expect("no panic before")), 2);
    client.create_group(&write_group()).await.expect_err("no answer");
    assert_eq!(*count.lock().expect("no panic before"), 4);
}

#[tokio::test]
async fn nobody_at_home_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let error = client(&server).whoami().await.expect_err("nobody there");
    assert_eq!(error.to_string(), format!("cannot reach {server}"));
}

/// A list of seven groups in pages of at most three.
async fn pages(Query(query): Query<HashMap<String, String>>) -> Response {
    let start: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().expect("our own cursor"));
    let limit: usize = query["limit"].parse().expect("a number");
    let end = (start + limit.min(3)).min(7);
    let items: Vec<_> = (start..end).map(|_| group()).collect();
    let next = (end < 7).then(|| end.to_string());
    axum::Json(json!({"items": items, "next_cursor": next})).into_response()
}

#[tokio::test]
async fn cursors_are_followed_up_to_the_limit() {
    let client = client(&serve(Router::new().route("/api/v1/groups", get(pages))).await);
    let all = client.groups(1000).await.expect("a list");
    assert_eq!((all.items.len(), all.next_cursor), (7, None));
    let some = client.groups(5).await.expect("a list");
    assert_eq!((some.items.len(), some.next_cursor.as_deref()), (5, Some("5")));
}

#[tokio::test]
async fn a_list_that_goes_in_circles_ends() {
    let circle = || async { axum::Json(json!({"items": [], "next_cursor": "again"})) };
    let client = client(&serve(Router::new().route("/api/v1/devices", get(circle))).await);
    let listed = tokio::time::timeout(DEADLINE, client.devices(&DeviceFilter::default(), 10)).await;
    let error = listed.expect("it ends").expect_err("it says so");
    assert!(matches!(error, ClientError::EndlessList), "{error:?}");
}

#[tokio::test]
async fn filters_become_the_query() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let handler = |State(seen): State<Arc<Mutex<Vec<String>>>>, request: Request| async move {
        seen.lock().expect("no panic before").push(request.uri().to_string());
        axum::Json(json!({"items": []}))
    };
    let router = Router::new().route("/api/v1/firmware", get(handler)).with_state(Arc::clone(&seen));
    let version = Some("1.2.3".parse().expect("a version"));
    let filter = FirmwareFilter { device_type: Some("a b".to_owned()), version, ..FirmwareFilter::default() };
    client(&serve(router).await).firmware_list(&filter, 9).await.expect("a list");
    let seen = seen.lock().expect("no panic before");
    assert_eq!(*seen, ["/api/v1/firmware?device_type=a+b&version=1.2.3&limit=9"]);
}

fn artifact(bytes: &[u8]) -> ArtifactView {
    let size_bytes = u64::try_from(bytes.len()).expect("small");
    ArtifactView { name: "a.bin".to_owned(), size_bytes, checksum: drover_trust::sha256(bytes), uploaded_at: None }
}

#[tokio::test]
async fn the_token_never_reaches_another_origin_and_damage_is_found() {
    let (at_store, at_server) = (Seen::default(), Seen::default());
    let give = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().expect("no panic before").push(headers);
        "the bytes"
    };
    let store = serve(Router::new().route("/blob", get(give)).with_state(Seen::clone(&at_store))).await;
    let location = format!("{store}/blob?signature=s");
    let point = move |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().expect("no panic before").push(headers);
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)])
    };
    let router = Router::new().route("/api/v1/firmware/{id}/download", get(point)).with_state(Seen::clone(&at_server));
    let client = client(&serve(router).await);
    let id = FirmwareId::generate(Timestamp::from_micros(0), 1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.bin");
    client.download_artifact(id, &artifact(b"the bytes"), &file, Progress::none()).await.expect("fetched");
    assert_eq!(std::fs::read(&file).expect("a file"), b"the bytes");
    let other = folder.path().join("b.bin");
    let error = client.download_artifact(id, &artifact(b"THE BYTES"), &other, Progress::none()).await;
    assert!(matches!(error, Err(ClientError::Damaged { .. })), "{error:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing half-done is left behind");
    let token = |headers: &HeaderMap| header_of(headers, "authorization");
    assert_eq!(at_server.lock().expect("no panic before").iter().filter_map(token).count(), 2);
    let at_store = at_store.lock().expect("no panic before");
    assert_eq!((at_store.len(), at_store.iter().filter_map(token).count()), (2, 0));
}

#[tokio::test]
async fn a_redirect_of_any_other_call_is_not_followed() {
    let elsewhere = Seen::default();
    let take = |State(seen): State<Seen>, headers: HeaderMap| async move {
        seen.lock().expect("no panic before").push(headers);
        axum::Json(json!({"items": []}))
    };
    let target = serve(Router::new().route("/api/v1/groups", get(take)).with_state(Seen::clone(&elsewhere))).await;
    let point = move || async move { (StatusCode::FOUND, [(header::LOCATION, format!("{target}/api/v1/groups"))]) };
    let client = client(&serve(Router::new().route("/api/v1/groups", get(point))).await);
    let error = client.groups(1).await.expect_err("not followed");
    assert!(matches!(error, ClientError::Unexpected { status: 302, .. }), "{error:?}");
    assert!(elsewhere.lock().expect("no panic before").is_empty());
}

#[tokio::test]
async fn an_upload_has_a_length_and_starts_again_after_503() {
    let seen = Uploads::default();
    let take = |State(seen): State<Uploads>, request: Request| async move {
        let length = header_of(request.headers(), "content-length");
        let bytes = axum::body::to_bytes(request.into_body(), usize::MAX).await.expect("a whole body");
        let mut seen = seen.lock().expect("no panic before");
        seen.push((length, bytes.len()));
        if seen.len() == 1 {
            return problem(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unavailable);
        }
        axum::Json(artifact(&bytes)).into_response()
    };
    let router = Router::new().route("/api/v1/firmware/{id}/artifacts/{name}", put(take)).with_state(Arc::clone(&seen));
    let client = client(&serve(router).await);
    let bytes = vec![7_u8; 3_000_000];
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.bin");
    std::fs::write(&file, &bytes).expect("written");
    let reported = Arc::new(Mutex::new(Vec::new()));
    let report = Arc::clone(&reported);
    let progress = Progress::new(move |done| report.lock().expect("no panic before").push(done));
    let id = FirmwareId::generate(Timestamp::from_micros(0), 1);
    let view = client.upload_artifact(id, "a.bin", &file, progress).await.expect("stored");
    assert_eq!(view.checksum, drover_trust::sha256(&bytes));
    let expected = (Some("3000000".to_owned()), 3_000_000);
    assert_eq!(*seen.lock().expect("no panic before"), [expected.clone(), expected]);
    let reported = reported.lock().expect("no panic before");
    assert_eq!(reported.last(), Some(&3_000_000));
    assert_eq!(reported.iter().filter(|done| **done == 0).count(), 2);
}
