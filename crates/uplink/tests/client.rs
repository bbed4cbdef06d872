//! Calls to a server, and what becomes of its answers.

use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use drover_protocol::{CHECK_PATH, Heartbeat, STATUS_PATH, StatusReport};
use drover_types::{SessionState, UpdateSessionId};
use drover_uplink::{CallError, Client, http_client};

async fn serve(router: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
    address
}

fn client(address: &str) -> Client {
    Client::new(http_client().expect("a client"), address, "canary-token").expect("loopback")
}

async fn check_against(status: StatusCode, body: impl Into<String>) -> CallError {
    let body = body.into();
    let answer = move || async move { (status, body) };
    client(&serve(axum::Router::new().route(CHECK_PATH, get(answer))).await).check().await.expect_err("no reply")
}

#[tokio::test]
async fn the_token_goes_to_the_server_and_its_path_may_have_a_prefix() {
    async fn check(headers: HeaderMap) -> Response {
        assert_eq!(headers[header::AUTHORIZATION], "Bearer canary-token");
        r#"{"poll_interval_ms": 5, "later": true}"#.into_response()
    }
    let router = axum::Router::new().nest("/fleet", axum::Router::new().route(CHECK_PATH, get(check)));
    let address = format!("{}/fleet/", serve(router).await);
    assert_eq!(client(&address).check().await.expect("a reply").poll_interval_ms, 5);
    assert!(!format!("{:?}", client(&address)).contains("canary"));
}

#[tokio::test]
async fn the_problem_of_the_server_is_told() {
    let problem = r#"{"title": "Not now", "detail": "the rollout is\npaused", "status": 409}"#;
    let error = check_against(StatusCode::CONFLICT, problem).await;
    assert!(matches!(error, CallError::Refused { status: 409, .. }), "{error}");
    assert!(error.to_string().contains("the rollout is paused") && !error.is_temporary(), "{error}");
    let error = check_against(StatusCode::BAD_REQUEST, "<h1>plain").await;
    assert!(error.to_string().contains("<h1>plain"), "{error}");
    let error = check_against(StatusCode::UNAUTHORIZED, r#"{"title": "revoked"}"#).await;
    assert!(matches!(&error, CallError::Unauthenticated { message, .. } if message == "revoked"), "{error}");
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::BAD_GATEWAY] {
        let error = check_against(status, "").await;
        assert!(error.is_temporary() && error.to_string().contains("no reason given"), "{error}");
    }
}

#[tokio::test]
async fn replies_that_make_no_sense_or_have_no_end_are_refused() {
    let error = check_against(StatusCode::OK, "<html>a captive portal").await;
    assert!(matches!(error, CallError::Unreadable { .. }) && !error.is_temporary(), "{error}");
    let error = check_against(StatusCode::OK, " ".repeat(2_000_000)).await;
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[tokio::test]
async fn a_redirect_never_takes_the_token_along() {
    async fn other() -> Response {
        panic!("the token went to another place");
    }
    let elsewhere = serve(axum::Router::new().route("/x", get(other).post(other))).await;
    let redirect =
        move || async move { (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, format!("{elsewhere}/x"))]) };
    let address = serve(axum::Router::new().route(STATUS_PATH, post(redirect))).await;
    let report = StatusReport {
        session_id: UpdateSessionId("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().expect("an id")),
        state: SessionState::Downloading,
        progress: 0,
        failure: None,
        device_time: None,
    };
    let error = client(&address).status(&report).await.expect_err("refused");
    assert!(matches!(error, CallError::Refused { status: 307, .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_temporary() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let heartbeat = Heartbeat { agent_version: None, components: Vec::new() };
    let error = client(&address).heartbeat(&heartbeat).await.expect_err("nobody");
    assert!(matches!(error, CallError::Transport { .. }) && error.is_temporary(), "{error}");
}
