//! Parts of uploads: to the object store when it can be used, past it when it cannot.

use std::sync::{Arc, Mutex};

use drover_api::{PartUrl, PartUrls, Upload, UploadCreate, UploadPart};
use drover_cli::{Client, ClientError, Progress, RetryPolicy, ServerTrust};
use drover_trust::sha256;
use drover_trust::testing::TestAuthority;
use drover_types::{Backoff, Timestamp, UploadId, UploadKind, UploadState};
use reqwest::Certificate;
use serde::Serialize;
use serde_json::json;

const BYTES: &[u8] = b"bytes of a firmware";
const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// Bodies that came.
type Came = Arc<Mutex<Vec<Vec<u8>>>>;

fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn json_of(status: &str, body: &impl Serialize) -> Vec<u8> {
    response(status, "content-type: application/json\r\n", &serde_json::to_vec(body).expect("JSON"))
}

fn upload(state: UploadState) -> Upload {
    Upload {
        id: UploadId::generate(NOW, 1),
        kind: UploadKind::Object,
        firmware_id: None,
        name: "a.bin".to_owned(),
        size_bytes: BYTES.len() as u64,
        sha256: sha256(BYTES),
        part_size_bytes: 1 << 24,
        parts_total: 1,
        parts_received: 0,
        bytes_received: 0,
        direct: true,
        state,
        reason: None,
        created_at: NOW,
        updated_at: NOW,
        expires_at: None,
        ended_at: None,
        parts: Vec::new(),
    }
}

/// A server that sends parts to `store`, which it gives no address of when that is empty.
fn server(authority: &TestAuthority, store: &str) -> (String, Came) {
    let (came, store) = (Came::default(), store.to_owned());
    let log = Arc::clone(&came);
    let url = authority.serve(move |head, body| {
        let (size_bytes, part) = (BYTES.len() as u64, sha256(BYTES));
        let part = UploadPart { number: 1, size_bytes, sha256: Some(part), uploaded_at: NOW };
        match head.split([' ', '?']).take(2).collect::<Vec<_>>()[..] {
            ["get", "/api/v1/uploads"] => json_of("200 OK", &json!({ "items": [] })),
            ["post", "/api/v1/uploads"] => json_of("201 Created", &upload(UploadState::Open)),
            ["post", path] if path.ends_with("/parts/urls") && store.is_empty() => {
                let problem = json!({ "type": "urn:drover:problem:upload_closed", "title": "closed", "status": 409,
                    "kind": "conflict" });
                json_of("409 Conflict", &problem)
            }
            ["post", path] if path.ends_with("/parts/urls") => {
                let place = PartUrl { number: 1, url: store.clone(), size_bytes, expires_at: NOW };
                json_of("200 OK", &PartUrls { items: vec![place] })
            }
            ["post", path] if path.ends_with("/complete") => json_of("200 OK", &upload(UploadState::Complete)),
            ["put", path] if path.ends_with("/parts/1/done") => json_of("200 OK", &part),
            ["put", path] if path.ends_with("/parts/1") => {
                log.lock().expect("whole").push(body.to_vec());
                json_of("200 OK", &part)
            }
            _ => response("404 Not Found", "", head.as_bytes()),
        }
    });
    (url, came)
}

/// A client that pins the server, and for other places knows the authority of `store`.
async fn send(server: &str, pinned: &TestAuthority, store: &TestAuthority) -> Result<Upload, ClientError> {
    let known = Certificate::from_der(&store.der()).expect("a certificate");
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([known]).build().expect("a network client");
    let backoff = Backoff { min: std::time::Duration::from_millis(1), max: std::time::Duration::from_millis(2) };
    let client =
        Client::new(http, server.parse().expect("an address")).with_retry(RetryPolicy { attempts: 2, backoff });
    let client = client.trusting(&ServerTrust::Pinned(pinned.pin())).expect("a client");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), BYTES).expect("written");
    let what = UploadCreate {
        kind: UploadKind::Object,
        firmware_id: None,
        name: "a.bin".to_owned(),
        size_bytes: BYTES.len() as u64,
        sha256: sha256(BYTES),
        part_size_bytes: None,
    };
    client.upload_in_parts(&what, file.path(), Progress::none()).await
}

#[tokio::test]
async fn what_vouches_for_the_server_is_not_asked_of_the_store() {
    let (ours, theirs) = (TestAuthority::default(), TestAuthority::default());
    let stored = Came::default();
    let log = Arc::clone(&stored);
    let store = theirs.serve(move |head, body| {
        assert!(!head.contains("authorization"));
        log.lock().expect("whole").push(body.to_vec());
        response("200 OK", "etag: \"e\"\r\n", b"")
    });
    let (server, passed) = server(&ours, &format!("{store}/part"));
    let done = send(&server, &ours, &theirs).await.expect("it is uploaded");
    assert_eq!(done.state, UploadState::Complete);
    assert_eq!(*stored.lock().expect("whole"), [BYTES]);
    assert!(passed.lock().expect("whole").is_empty(), "no part passed the server");
}

#[tokio::test]
async fn a_store_that_cannot_be_used_is_passed_by() {
    let (ours, theirs, unknown) = (TestAuthority::default(), TestAuthority::default(), TestAuthority::default());
    let html = |status: &'static str| move |_: &str, _: &[u8]| response(status, "", b"<html>no</html>");
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        format!("https://{}", listener.local_addr().expect("bound"))
    };
    let stores = [
        ("plain HTTP", "http://192.0.2.1:9000/part".to_owned()),
        ("a proxy that forbids", theirs.serve(html("403 Forbidden"))),
        ("a proxy that fails", theirs.serve(html("500 Internal Server Error"))),
        ("a store out of breath", theirs.serve(html("503 Service Unavailable"))),
        ("a page that says yes to everything", theirs.serve(html("200 OK"))),
        ("a page with a tag of its own", theirs.serve(|_, _| response("200 OK", "etag: W/\"1 2\"\r\n", b"hello"))),
        ("a store that hangs up", theirs.serve(|_, _| Vec::new())),
        ("another certificate", unknown.serve(html("200 OK"))),
        ("nobody", nobody),
    ];
    for (what, store) in stores {
        let (server, passed) = server(&ours, &store);
        let done = send(&server, &ours, &theirs).await;
        assert!(done.is_ok(), "{what}: {done:?}");
        assert_eq!(*passed.lock().expect("whole"), [BYTES], "{what}");
    }
    let (server, passed) = server(&ours, "");
    let refused = send(&server, &ours, &theirs).await.expect_err("the server has the last word");
    assert!(matches!(refused, ClientError::Problem(_)), "{refused:?}");
    assert!(passed.lock().expect("whole").is_empty());
}
