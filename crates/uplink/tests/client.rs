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

async fn check_against(status: StatusCode, content_type: &'static str, body: impl Into<String>) -> CallError {
    let body = body.into();
    let answer = move || async move { (status, [(header::CONTENT_TYPE, content_type)], body) };
    client(&serve(axum::Router::new().route(CHECK_PATH, get(answer))).await).check().await.expect_err("no reply")
}

const PROBLEM: &str = "application/problem+json";

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
async fn what_holds_still_is_not_sent_again() {
    async fn check(headers: HeaderMap) -> Response {
        match headers.get(header::IF_NONE_MATCH).map(|tag| tag.to_str().expect("text")) {
            None => ([(header::ETAG, "W/\"none\"")], r#"{"poll_interval_ms": 5}"#).into_response(),
            Some("W/\"none\"") => {
                (StatusCode::NOT_MODIFIED, [("drover-poll-interval-ms", "7"), ("etag", "W/\"later\"")]).into_response()
            }
            // Something in between took the header away.
            Some("W/\"later\"") => StatusCode::NOT_MODIFIED.into_response(),
            other => panic!("{other:?}"),
        }
    }
    let client = client(&serve(axum::Router::new().route(CHECK_PATH, get(check))).await);
    let (reply, first) = client.check_since(None).await.expect("a reply");
    assert!(reply.offer.is_none() && reply.poll_interval_ms == 5);
    let (reply, second) = client.check_since(first.as_ref()).await.expect("a reply");
    assert!(reply.offer.is_none() && reply.poll_interval_ms == 7);
    let (reply, third) = client.check_since(second.as_ref()).await.expect("a reply");
    assert!(reply.offer.is_none() && reply.poll_interval_ms == 7, "what was said last holds");
    assert!(third.is_none(), "an answer without a tag is not compared with");
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_none() {
    let error = check_against(StatusCode::NOT_MODIFIED, "text/plain", "").await;
    assert!(matches!(error, CallError::Unavailable { status: 304, .. }) && error.is_temporary(), "{error}");
}

#[tokio::test]
async fn the_server_says_how_long_to_leave_it_alone() {
    for (value, seconds) in [("7", Some(7)), ("Wed, 21 Oct 2026 07:28:00 GMT", None)] {
        let answer = move || async move { (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, value)]) };
        let address = serve(axum::Router::new().route(CHECK_PATH, get(answer))).await;
        let error = client(&address).check().await.expect_err("no reply");
        assert_eq!(error.retry_after(), seconds.map(std::time::Duration::from_secs));
    }
}

#[tokio::test]
async fn the_problem_of_the_server_is_told() {
    let problem = r#"{"type": "urn:drover:problem:conflict", "title": "No", "detail": "the rollout is\npaused"}"#;
    for content_type in [PROBLEM, "Application/Problem+JSON; charset=utf-8"] {
        let error = check_against(StatusCode::CONFLICT, content_type, problem).await;
        assert!(matches!(error, CallError::Refused { status: 409, .. }), "{error}");
        assert!(error.to_string().contains("the rollout is paused") && !error.is_temporary(), "{error}");
    }
    let revoked = r#"{"type": "urn:drover:problem:unauthenticated", "title": "revoked"}"#;
    let error = check_against(StatusCode::UNAUTHORIZED, PROBLEM, revoked).await;
    assert!(matches!(&error, CallError::Unauthenticated { message, .. } if message == "revoked"), "{error}");
    let busy = r#"{"type": "urn:drover:problem:rate_limited", "title": "slow down"}"#;
    for status in [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT, StatusCode::BAD_GATEWAY] {
        let error = check_against(status, PROBLEM, busy).await;
        assert!(error.is_temporary() && error.to_string().contains("slow down"), "{error}");
        let error = check_against(status, "text/plain", "").await;
        assert!(error.is_temporary() && error.to_string().contains("no reason given"), "{error}");
    }
}

#[tokio::test]
async fn what_stands_between_refuses_nothing() {
    let ours = r#"{"type": "urn:drover:problem:not_found", "title": "Not Found"}"#;
    let statuses = [301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 418];
    for status in statuses.map(|status| StatusCode::from_u16(status).expect("a status")) {
        for (content_type, body) in [
            ("text/html", "<h1>Not Found</h1>"),
            ("text/html", ours),
            ("application/json", ours),
            (PROBLEM, r#"{"type": "about:blank", "title": "Not Found"}"#),
            (PROBLEM, r#"{"type": "https://waf.example.com/urn:drover:problem:", "title": "Not Found"}"#),
            (PROBLEM, r#"{"title": "Not Found"}"#),
            (PROBLEM, "Not Found"),
        ] {
            let error = check_against(status, content_type, body).await;
            let is_told = matches!(&error, CallError::Unavailable { status: told, .. } if *told == status.as_u16());
            assert!(is_told && error.is_temporary(), "{status} {content_type} {body}: {error}");
            assert!(error.to_string().contains("Not Found"), "{error}");
        }
    }
    // No Drover server redirects.
    let error = check_against(StatusCode::TEMPORARY_REDIRECT, PROBLEM, ours).await;
    assert!(error.is_temporary(), "{error}");
}

#[tokio::test]
async fn replies_that_make_no_sense_or_have_no_end_are_refused() {
    let error = check_against(StatusCode::OK, "text/html", "<html>a captive portal").await;
    assert!(matches!(error, CallError::Unreadable { .. }) && !error.is_temporary(), "{error}");
    let error = check_against(StatusCode::OK, "text/html", " ".repeat(2_000_000)).await;
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
    let error = client(&address).status(&report).await.expect_err("not followed");
    assert!(matches!(error, CallError::Unavailable { status: 307, .. }) && error.is_temporary(), "{error}");
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
