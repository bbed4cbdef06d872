//! Who may call, and how often.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use serde_json::json;

use super::{Service, with_token};
use crate::config::HttpConfig;

#[tokio::test]
async fn a_login_opens_the_api_until_it_is_logged_out() {
    let service = Service::start().await;
    let wrong = service.post("/api/v1/auth/login", "", json!({ "username": "admin", "password": "guess" })).await;
    assert_eq!(wrong.problem(401), "login_failed");
    let token = service.log_in().await;
    let me = service.get("/api/v1/auth/me", &token).await;
    assert_eq!((me.status, me.json()["name"].clone()), (StatusCode::OK, json!("admin")));
    assert_eq!(me.headers["cache-control"], "no-store");
    let out = service.post("/api/v1/auth/logout", &token, json!({})).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    service.get("/api/v1/auth/me", &token).await.problem(401);
}

#[tokio::test]
async fn the_same_creating_call_creates_once() {
    let service = Service::start().await;
    let token = service.log_in().await;
    let create = async |name: &str| {
        let request = with_token(Method::POST, "/api/v1/groups", &token).header("content-type", "application/json");
        let body = json!({ "name": name }).to_string();
        service.send(request.header("idempotency-key", "retry-1").body(Body::from(body)).expect("a request")).await
    };
    let (one, again) = (create("lab").await, create("lab").await);
    assert_eq!((one.status, again.status), (StatusCode::CREATED, StatusCode::CREATED), "{}", again.text());
    assert_eq!(one.json()["id"], again.json()["id"]);
    assert_eq!(create("other").await.problem(422), "idempotency_key_reused");
    let groups = service.get("/api/v1/groups", &token).await.json();
    assert_eq!(groups["items"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn strangers_are_slowed_down_and_nobody_else() {
    let config = HttpConfig { stranger_per_minute: 3, trust_forwarded_for: true, ..HttpConfig::default() };
    let service = Service::with(config).await;
    let token = service.log_in().await;
    for _ in 0..2 {
        service.get("/api/v1/devices", "dd1.not.a.token").await.problem(401);
    }
    let limited = service.get("/api/v1/devices", "").await;
    assert_eq!(limited.problem(429), "rate_limited");
    let seconds: u64 = limited.headers["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=60).contains(&seconds), "{seconds}");
    service.post("/api/v1/auth/login", "", json!({ "username": "admin", "password": "guess" })).await.problem(429);
    service.get("/blobs/t/x?method=GET", "").await.problem(429);
    assert_eq!(service.get("/api/v1/devices", &token).await.status, StatusCode::OK, "a known caller is let through");

    let elsewhere = with_token(Method::GET, "/api/v1/devices", "").header("x-forwarded-for", "203.0.113.7");
    service.send(elsewhere.body(Body::empty()).expect("a request")).await.problem(401);
}

#[tokio::test]
async fn each_device_may_ask_ten_times_a_minute() {
    let service = Service::start().await;
    let (_, token) = service.register("VIN-1").await;
    for left in (0..10).rev() {
        let answer = service.get("/api/v1/updates/check", &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        assert_eq!(answer.headers["ratelimit-limit"], "10");
        assert_eq!(answer.headers["ratelimit-remaining"], left.to_string());
    }
    assert_eq!(service.get("/api/v1/updates/check", &token).await.problem(429), "rate_limited");
    let (_, other) = service.register("VIN-2").await;
    assert_eq!(service.get("/api/v1/updates/check", &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_device_speaks_for_itself_only() {
    let service = Service::start().await;
    let (own, token) = service.register("VIN-1").await;
    let (other, _) = service.register("VIN-2").await;
    let heartbeat = || json!({ "components": [{ "version": "1.0.0" }] });
    let beat = service.post(&format!("/api/v1/devices/{own}/status"), &token, heartbeat()).await;
    assert_eq!(beat.status, StatusCode::OK, "{}", beat.text());
    service.post(&format!("/api/v1/devices/{other}/status"), &token, heartbeat()).await.problem(404);
    service.get("/api/v1/devices", &token).await.problem(403);

    let admin = service.log_in().await;
    let device = service.get(&format!("/api/v1/devices/{own}"), &admin).await.json();
    assert_eq!(device["current_version"], "1.0.0");
    service.post("/api/v1/heartbeat", &admin, heartbeat()).await.problem(403);
}

#[tokio::test]
async fn enrolment_tokens_only_register() {
    let service = Service::start().await;
    service.get("/api/v1/devices", &service.enrolment_token).await.problem(401);
    let body = json!({ "hardware_id": "VIN-1", "device_type": "truck" });
    let admin = service.log_in().await;
    service.post("/api/v1/devices/register", &admin, body).await.problem(401);
}
