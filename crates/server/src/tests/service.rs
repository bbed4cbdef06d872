//! What is around the API.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpListener;

use super::{Service, with_token};
use crate::config::{ConfigError, HttpConfig};
use crate::serve::ServeError;
use crate::testing::{PATIENCE, read_to_end};

#[tokio::test]
async fn probes_tell_life_and_readiness() {
    let service = Service::start().await;
    for uri in ["/healthz", "/health", "/readyz"] {
        let answer = service.get(uri, "").await;
        assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "ok\n"), "{uri}");
    }
    service.shutdown.cancel();
    assert_eq!(service.get("/readyz", "").await.problem(503), "shutting_down");
    assert_eq!(service.get("/healthz", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn figures_and_the_document_are_served() {
    let service = Service::start().await;
    let metrics = service.get("/metrics", "").await;
    assert!(metrics.text().contains("ota_active_campaigns 0"), "{}", metrics.text());
    assert!(metrics.text().ends_with("# EOF\n"));
    // A proxy asks for somebody else, who learns nothing: neither figures nor that there are any.
    let asked = |uri: &str| with_token(Method::GET, uri, "").header("x-forwarded-for", "127.0.0.1");
    for uri in ["/metrics", "/nothing-here"] {
        let answer = service.send(asked(uri).body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.problem(404), "no_such_path", "{uri}");
    }
    let document = service.get("/openapi.json", "").await;
    assert_eq!(document.json(), serde_json::to_value(crate::openapi()).expect("a document"));
}

#[tokio::test]
async fn figures_are_served_elsewhere_with_their_own_token() {
    let metrics_token = crate::MetricsToken::new("0123456789abcdef").ok();
    let service = Service::with(HttpConfig { metrics_token, ..HttpConfig::default() }).await;
    for (token, status) in [("0123456789abcdef", 200), (&*service.log_in().await, 404), ("", 404)] {
        let request = with_token(Method::GET, "/metrics", token).header("forwarded", "for=10.0.0.7");
        let answer = service.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
    assert_eq!(service.get("/api/v1/auth/me", "0123456789abcdef").await.problem(401), "unauthenticated");
}

#[tokio::test]
async fn text_that_no_database_takes_is_refused() {
    let service = Service::start().await;
    let token = service.log_in().await;
    for query in ["audit?action=a%00", "devices?hardware_id=%00", "objects?prefix=x%00y", "devices?%00=1"] {
        assert_eq!(service.get(&format!("/api/v1/{query}"), &token).await.problem(422), "invalid", "{query}");
    }
}

#[tokio::test]
async fn bodies_of_json_are_small() {
    let service = Service::start().await;
    let token = service.log_in().await;
    let answer = service.post("/api/v1/groups", &token, json!({ "name": "x".repeat(2 << 20) })).await;
    assert_eq!(answer.problem(413), "too_large");
    let unknown = service.post("/api/v1/groups", &token, json!({ "name": "lab", "colour": "red" })).await;
    assert_eq!(unknown.problem(422), "invalid");
    let wrong_method = with_token(Method::PATCH, "/api/v1/groups", &token).body(Body::empty()).expect("a request");
    assert_eq!(service.send(wrong_method).await.problem(405), "method_not_allowed");
}

/// The credential is looked at first: a stranger learns nothing about bodies.
#[tokio::test]
async fn strangers_are_refused_before_their_bodies() {
    let service = Service::start().await;
    service.post("/api/v1/groups", "", json!({ "colour": "red" })).await.problem(401);
    service.get("/api/v1/devices?limit=nonsense", "").await.problem(401);
}

#[tokio::test]
async fn it_serves_on_loopback_until_it_is_told_to_stop() {
    use tokio::io::AsyncWriteExt as _;
    let service = Service::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (app, stop) = (service.app.clone(), service.shutdown.clone());
    let task = tokio::spawn(crate::serve(app, HttpConfig::default(), None, listener, stop));
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.expect("sent");
    assert!(read_to_end(&mut stream).await.ends_with("ok\n"));
    service.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("without a panic");
    assert!(ended.is_ok(), "{ended:?}");
}

/// Most clients write all they have before they read.
#[tokio::test]
async fn who_is_refused_learns_why_also_with_a_large_body() {
    use tokio::io::AsyncWriteExt as _;
    let service = Service::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(crate::serve(
        service.app.clone(),
        HttpConfig::default(),
        None,
        listener,
        service.shutdown.clone(),
    ));
    let body = vec![b' '; 8 << 20];
    for call in ["POST /api/v1/groups", "PUT /api/v1/objects/large.bin"] {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let length = body.len();
        let head = format!("{call} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("sent");
        stream.write_all(&body).await.expect("the server still listens");
        let answer = read_to_end(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{call}: {answer}");
    }
    service.shutdown.cancel();
    let ended = tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("without a panic");
    assert!(ended.is_ok(), "{ended:?}");
}

#[tokio::test]
async fn it_does_not_serve_the_network() {
    let service = Service::start().await;
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a free port");
    let served =
        crate::serve(service.app.clone(), HttpConfig::default(), None, listener, service.shutdown.clone()).await;
    assert!(matches!(served, Err(ServeError::Config(ConfigError::NotLoopback { .. }))), "{served:?}");
}
