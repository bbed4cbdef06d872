//! A server with more to do than it can.

use std::net::IpAddr;

use axum::body::Body;
use axum::http::Method;

use super::{Service, with_token};

#[tokio::test]
async fn a_busy_server_refuses_work_and_says_that_it_lives() {
    let service = Service::start().await;
    let get = |uri| with_token(Method::GET, uri, "").body(Body::empty()).expect("a request");
    let taken: Vec<_> = (0_u32..).map_while(|number| service.limits.begin(IpAddr::V4(number.into()))).collect();
    for probe in ["/healthz", "/health"] {
        assert_eq!(service.send(get(probe)).await.status, 200, "{probe}");
    }
    let refused = service.send(get("/api/v1/auth/me")).await;
    assert_eq!((refused.problem(503), refused.headers["retry-after"].as_bytes()), ("busy".to_owned(), &b"1"[..]));
    drop(taken);
    assert_eq!(service.send(get("/api/v1/auth/me")).await.problem(401), "unauthenticated");
}
