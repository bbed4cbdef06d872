//! Objects: stored, presigned, fetched.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;

use super::{PUBLIC_URL, Service, with_token};

const NAME: &str = "firmware/v1/hello.bin";
const CONTENT: &[u8] = b"hello, fleet";

impl Service {
    async fn store_hello(&self) {
        let token = self.log_in().await;
        let uri = format!("/api/v1/objects/{NAME}");
        let request = with_token(Method::PUT, &uri, &token).header("content-length", CONTENT.len());
        let answer = self.send(request.body(Body::from(CONTENT)).expect("a request")).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        assert_eq!(answer.json()["size_bytes"], CONTENT.len());
    }

    /// Path and query of a signed address of the object.
    async fn presign_hello(&self) -> String {
        let answer = self.post("/v1/presign", "dev-local-key", json!({ "object_key": NAME })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let url = answer.json()["url"].as_str().expect("an address").to_owned();
        url.strip_prefix(PUBLIC_URL).expect("ours").to_owned()
    }
}

fn fetch(method: Method, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let request = headers
        .iter()
        .fold(Request::builder().method(method).uri(uri), |request, (name, value)| request.header(*name, *value));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_presigned_address_yields_the_bytes() {
    let service = Service::start().await;
    service.store_hello().await;
    let with_key = Request::post("/v1/presign").header("content-type", "application/json");
    let body = json!({ "object_key": NAME }).to_string();
    let answer = service.send(with_key.header("x-api-key", "dev-local-key").body(Body::from(body)).expect("one")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());

    let uri = service.presign_hello().await;
    let whole = service.send(fetch(Method::GET, &uri, &[])).await;
    assert_eq!((whole.status, whole.body.as_slice()), (StatusCode::OK, CONTENT));
    assert_eq!(whole.headers["content-disposition"], "attachment; filename=\"hello.bin\"");
    assert_eq!(whole.headers["content-length"], CONTENT.len().to_string());
    assert_eq!(whole.headers["accept-ranges"], "bytes");
    assert_eq!(whole.headers["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn parts_and_versions_are_told_apart() {
    let service = Service::start().await;
    service.store_hello().await;
    let uri = service.presign_hello().await;
    let head = service.send(fetch(Method::HEAD, &uri, &[])).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.headers["content-length"], CONTENT.len().to_string());
    let etag = head.headers["etag"].to_str().expect("text").to_owned();

    let part = service.send(fetch(Method::GET, &uri, &[("range", "bytes=7-"), ("if-range", &etag)])).await;
    assert_eq!((part.status, part.body.as_slice()), (StatusCode::PARTIAL_CONTENT, b"fleet".as_slice()));
    assert_eq!(part.headers["content-range"], "bytes 7-11/12");
    let other = service.send(fetch(Method::GET, &uri, &[("range", "bytes=7-"), ("if-range", "\"other\"")])).await;
    assert_eq!((other.status, other.body.as_slice()), (StatusCode::OK, CONTENT));
    let known = service.send(fetch(Method::GET, &uri, &[("if-none-match", &etag)])).await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(known.headers.get("content-length"), None, "it would be taken for the object's");
    let behind = service.send(fetch(Method::GET, &uri, &[("range", "bytes=12-")])).await;
    assert_eq!(behind.problem(416), "range_not_satisfiable");
    assert_eq!(behind.headers["content-range"], "bytes */12");
}

#[tokio::test]
async fn a_changed_address_opens_nothing() {
    let service = Service::start().await;
    service.store_hello().await;
    let uri = service.presign_hello().await;
    for changed in [uri.replace("expires=", "expires=9"), format!("{uri}0"), uri.replace("hello.bin", "other.bin")] {
        assert_ne!(changed, uri);
        assert_eq!(service.send(fetch(Method::GET, &changed, &[])).await.problem(403), "url_refused", "{changed}");
    }
    let path = uri.split_once('?').expect("a query").0;
    assert_eq!(service.send(fetch(Method::GET, path, &[])).await.problem(403), "url_refused");
}

#[tokio::test]
async fn names_that_could_lead_elsewhere_are_refused() {
    let service = Service::start().await;
    for name in ["../secret", "firmware/../../x", "/etc/passwd", "http://evil.example/x", "a%2e%2e/b", "a//b", ""] {
        let answer = service.post("/v1/presign", "dev-local-key", json!({ "object_key": name })).await;
        answer.problem(422);
    }
    let token = service.log_in().await;
    for uri in ["/api/v1/objects/a/%2e%2e/b", "/api/v1/objects/a%2F..%2Fb", "/api/v1/objects/a//b"] {
        let answer = service.send(with_token(Method::PUT, uri, &token).body(Body::from("x")).expect("one")).await;
        assert!(answer.status.is_client_error(), "{uri}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_presign_key_does_nothing_else() {
    let service = Service::start().await;
    service.get("/api/v1/devices", "dev-local-key").await.problem(401);
    service.post("/v1/presign", "wrong-local-key", json!({ "object_key": NAME })).await.problem(401);
    service.post("/v1/presign", "dev-local-key", json!({ "object_key": "no/such.bin" })).await.problem(404);
}
