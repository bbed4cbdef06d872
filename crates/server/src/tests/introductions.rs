//! What it costs to listen to somebody without a credential.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;

use axum::body::{Body, Bytes};
use axum::http::{Method, Request};
use futures::{FutureExt as _, StreamExt as _, stream};
use serde_json::json;

use super::{Service, with_token};
use crate::config::HttpConfig;
use crate::limits::INTRODUCTIONS_MAX;

const LOGINS: [&str; 2] = ["/api/v1/auth/login", "/api/v1/auth/session"];

fn post(uri: &str, token: &str, body: Body) -> Request<Body> {
    with_token(Method::POST, uri, token).header("content-type", "application/json").body(body).expect("a request")
}

/// The beginning of a body, and never its end.
fn unfinished() -> Body {
    let beginning = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{\"username\": \""))]);
    Body::from_stream(beginning.chain(stream::pending()))
}

#[tokio::test]
async fn whoever_logs_in_is_counted_before_a_byte_of_its_body_is_read() {
    for uri in LOGINS {
        let service = Service::with(HttpConfig { stranger_per_minute: 1, ..HttpConfig::default() }).await;
        let mut first = pin!(service.send(post(uri, "", unfinished())));
        assert!(first.as_mut().now_or_never().is_none(), "it waits for the body");
        assert_eq!(service.send(post(uri, "", unfinished())).await.problem(429), "rate_limited");
    }
}

#[tokio::test]
async fn who_talks_slowly_from_one_address_keeps_nobody_out() {
    let service = Service::start().await;
    let slow: Vec<_> = (0..INTRODUCTIONS_MAX).map(|_| service.limits.listen(IpAddr::from([10, 0, 0, 1]))).collect();
    for uri in LOGINS {
        let mut alone = pin!(service.send(post(uri, "", unfinished())));
        assert!(alone.as_mut().now_or_never().is_none(), "it waits for the body");
        assert!(slow[0].is_cut_off().now_or_never().is_some());
        service.log_in().await;
        assert!(alone.as_mut().now_or_never().is_none(), "it is still listened to");
    }
}

#[tokio::test]
async fn only_so_many_strangers_are_listened_to_at_once() {
    for uri in LOGINS {
        let service = Service::start().await;
        let mut first = pin!(service.send(post(uri, "", unfinished())));
        assert!(first.as_mut().now_or_never().is_none(), "it waits for the body");
        let others = (1..=u32::try_from(INTRODUCTIONS_MAX).expect("few"))
            .map(|number| service.limits.listen(IpAddr::V4(number.into())));
        let _others: Vec<_> = others.collect();
        assert_eq!(first.await.problem(503), "too_many_logins");
        // Whoever has a credential is not held back.
        service.register("A").await;
    }
}

#[tokio::test]
async fn a_login_that_does_not_end_is_given_up_soon() {
    let service = Service::with(HttpConfig { header_read_timeout_ms: 20, ..HttpConfig::default() }).await;
    assert_eq!(service.send(post(LOGINS[0], "", unfinished())).await.problem(504), "timeout");
}

#[tokio::test]
async fn whoever_is_not_known_well_says_little() {
    let service = Service::start().await;
    let long = |bytes: usize| Body::from(json!({ "username": "a", "password": "x".repeat(bytes) }).to_string());
    for uri in LOGINS {
        assert_eq!(service.send(post(uri, "", long(16 * 1024))).await.problem(413), "too_large");
    }
    assert_eq!(service.send(post(LOGINS[0], "", long(15 * 1024))).await.problem(401), "login_failed");
    for (uri, token) in [("/api/v1/devices/register", &*service.enrolment_token), ("/v1/presign", "dev-local-key")] {
        assert_eq!(service.send(post(uri, token, long(64 * 1024))).await.problem(413), "too_large");
    }
}

#[tokio::test]
async fn a_credential_is_looked_at_before_the_body() {
    let service = Service::start().await;
    // The same token as a login's.
    let wrong = service.enrolment_token.replace("ft1.", "dl1.");
    assert_ne!(wrong, service.enrolment_token);
    for uri in ["/api/v1/devices/register", "/v1/presign", "/api/v1/heartbeat"] {
        for token in ["", "nonsense", &wrong] {
            assert_eq!(service.send(post(uri, token, unfinished())).await.problem(401), "unauthenticated", "{uri}");
        }
    }
}

#[tokio::test]
async fn a_device_that_reports_too_often_is_refused_before_its_body() {
    let service = Service::with(HttpConfig { report_per_minute: 1, ..HttpConfig::default() }).await;
    let (id, token) = service.register("A").await;
    assert_eq!(service.post("/api/v1/heartbeat", &token, json!({ "components": [] })).await.status, 200);
    let own = format!("/api/v1/devices/{id}/status");
    for uri in ["/api/v1/heartbeat", "/api/v1/status", "/api/v1/validation", &own] {
        assert_eq!(service.send(post(uri, &token, unfinished())).await.problem(429), "rate_limited", "{uri}");
    }
}
