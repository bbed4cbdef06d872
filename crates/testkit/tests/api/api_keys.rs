//! Keys for programs.

use std::sync::Arc;
use std::time::Duration;

use drover_api::{ApiKey, ApiKeyCreate, ApiKeyCreated};
use drover_testkit::{
    Profile, ServerOptions, SimClock, TestServer, answer, on_both_profiles, on_the_local_profile, refused,
};
use drover_types::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::json;

use crate::scene::assert_refused;

fn key(name: &str) -> ApiKeyCreate {
    ApiKeyCreate { name: name.to_owned(), ..ApiKeyCreate::default() }
}

on_both_profiles! {
    async fn a_key_works_until_it_is_revoked(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        let created = admin.create_api_key(&key("ci")).await.unwrap();
        let client = server.stranger().with_token(&created.token);
        let me = client.whoami().await.unwrap();
        assert_eq!((me.kind.as_str(), me.name.as_str()), ("api_key", "ci"));
        let by_header = server.request(Method::GET, "/api/v1/auth/me").header("x-api-key", &created.token);
        assert_eq!(answer(by_header).await.status, 200);
        assert_refused!(client.logout().await, 403, "forbidden");

        let listed = admin.api_keys(10).await.unwrap().items;
        assert!(listed[0].last_used_at.is_some());
        assert_eq!(listed, [ApiKey { last_used_at: listed[0].last_used_at, ..created.api_key.clone() }]);
        let list = answer(server.admin_request(Method::GET, "/api/v1/api-keys")).await.text();
        assert!(!list.contains(&created.token), "the secret is shown once");

        admin.revoke_api_key(created.api_key.id).await.unwrap();
        assert_refused!(client.whoami().await, 401, "unauthenticated");
        assert!(admin.api_keys(10).await.unwrap().items[0].revoked_at.is_some());
        assert_refused!(admin.revoke_api_key(created.api_key.id).await, 404, "not_found");
    }

    async fn a_key_expires(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let hour = Duration::from_hours(1);
        let body = ApiKeyCreate { expires_at: Some(clock.now().plus(hour)), ..key("short") };
        let created = server.admin().create_api_key(&body).await.unwrap();
        let client = server.stranger().with_token(&created.token);
        clock.advance(Duration::from_mins(59));
        assert!(client.whoami().await.is_ok());
        clock.advance(Duration::from_secs(61));
        assert_refused!(client.whoami().await, 401, "unauthenticated");
        assert_refused!(server.admin().create_api_key(&body).await, 422, "invalid");
    }

    async fn a_repeated_request_never_shows_the_secret_again(profile: Profile) {
        let server = TestServer::start(profile).await;
        let create = |name: &str| {
            let request = server.admin_request(Method::POST, "/api/v1/api-keys");
            request.header("idempotency-key", "one").json(&json!({ "name": name }))
        };
        let first = answer(create("ci")).await;
        assert_eq!(first.status, 201);
        let token = first.json::<ApiKeyCreated>().token;
        refused(create("ci"), 409, "created_before").await;
        refused(create("other"), 422, "idempotency_key_reused").await;
        assert_eq!(server.admin().api_keys(10).await.unwrap().items.len(), 1);
        assert!(server.stranger().with_token(token).whoami().await.is_ok());
    }
}

on_the_local_profile! {
    async fn a_key_needs_a_name_and_a_future(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        for name in ["", "  ", "tab\u{7}", &"x".repeat(101)] {
            assert_refused!(admin.create_api_key(&key(name)).await, 422, "invalid");
        }
        let past = ApiKeyCreate { expires_at: Some(SystemClock.now()), ..key("x") };
        assert_refused!(admin.create_api_key(&past).await, 422, "invalid");
    }
}
