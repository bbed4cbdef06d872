use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get as on_get;
use drover_app::Error;
use drover_types::ErrorKind;

use super::*;
use crate::problem::Result;
use crate::testing::{ask, get, refused, text};

#[expect(clippy::panic, reason = "a handler that panics is what is tested")]
fn panics() -> &'static str {
    panic!("a secret")
}

async fn fails() -> Result<()> {
    Err(Error::new(ErrorKind::Unauthenticated, "unauthenticated", "log in").into())
}

fn service() -> Router {
    Router::new()
        .route("/fine", on_get(|| async { "fine" }))
        .route("/fails", on_get(fails))
        .route("/panics", on_get(|| async { panics() }))
        .route(
            "/slow",
            on_get(std::future::pending::<()>).layer(from_fn_with_state(Duration::from_millis(20), limit_time)),
        )
        .fallback(nothing_here)
}

#[tokio::test]
async fn whatever_goes_wrong_is_a_problem() {
    for (uri, status, code) in [
        ("/nowhere", 404, "no_such_path"),
        ("/fails", 401, "unauthenticated"),
        ("/panics", 500, "internal"),
        ("/slow", 504, "timeout"),
    ] {
        let (headers, problem) = refused(service(), get(uri)).await;
        assert_eq!((problem.status, problem.type_uri), (status, format!("urn:drover:problem:{code}")), "{uri}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
    let (_, problem) = refused(service(), get("/panics")).await;
    assert!(!format!("{problem:?}").contains("secret"), "{problem:?}");
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones() {
    let request = Request::delete("/fine").body(Body::empty()).expect("a request");
    let (headers, problem) = refused(service(), request).await;
    assert_eq!(problem.status, 405);
    assert_eq!(headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn refusals_say_how_to_prove_who_one_is() {
    let (headers, _) = refused(service(), get("/fails")).await;
    assert_eq!(headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_head_request_gets_no_body_with_its_error() {
    let request = Request::head("/fails").body(Body::empty()).expect("a request");
    let response = ask(service(), request).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn the_request_id_is_echoed_or_made() {
    let with = |id: &str| Request::get("/fine").header("x-request-id", id).body(Body::empty()).expect("a request");
    let response = ask(service(), with("trace-1")).await;
    assert_eq!(response.headers()["x-request-id"], "trace-1");
    let response = ask(service(), with("no blanks")).await;
    assert_eq!(response.headers()["x-request-id"].len(), 32);
}

#[tokio::test]
async fn only_named_origins_may_call() {
    let config = HttpConfig { cors_origins: vec!["https://fleet.example.org".to_owned()], ..HttpConfig::default() };
    let preflight = |origin: &str| {
        let request = Request::options("/fine").header("origin", origin).header("access-control-request-method", "GET");
        request.body(Body::empty()).expect("a request")
    };
    let answer = async |config: &HttpConfig, origin: &str| {
        let router = wrap(service(), config, std::sync::Arc::default()).expect("good settings");
        let response = tower::ServiceExt::oneshot(router, preflight(origin)).await.expect("infallible");
        response.headers().get("access-control-allow-origin").cloned()
    };
    let allowed = answer(&config, "https://fleet.example.org").await;
    assert_eq!(allowed.expect("a header"), "https://fleet.example.org");
    assert_eq!(answer(&config, "https://evil.example.org").await, None);
    assert_eq!(answer(&HttpConfig::default(), "https://fleet.example.org").await, None);
    // What a page of such an origin needs to work in a tenant below its own.
    let router = wrap(service(), &config, std::sync::Arc::default()).expect("good settings");
    let response =
        tower::ServiceExt::oneshot(router, preflight("https://fleet.example.org")).await.expect("infallible");
    let headers = response.headers()["access-control-allow-headers"].to_str().expect("text");
    for name in ["authorization", "drover-tenant", "if-none-match", "idempotency-key"] {
        assert!(headers.split(',').any(|allowed| allowed.eq_ignore_ascii_case(name)), "{name} in {headers}");
    }
}
