//! Logging in, and what each credential reaches.

use std::sync::Arc;
use std::time::Duration;

use drover_api::{LoginReply, LoginRequest};
use drover_testkit::{
    Profile, ServerOptions, SimClock, TestServer, answer, on_both_profiles, on_the_local_profile, refused,
};
use drover_types::{Clock as _, ErrorKind};
use reqwest::Method;
use serde_json::json;

use crate::openapi::operations;
use crate::scene::{Scene, assert_refused};

/// Calls that devices make for themselves.
const DEVICE_CALLS: [&str; 5] = ["update_check", "status_report", "validation_report", "heartbeat", "device_status"];

on_both_profiles! {
    async fn a_login_lives_until_it_is_ended(profile: Profile) {
        let server = TestServer::start(profile).await;
        let first = server.first_start();
        let body = json!({ "username": first.username, "password": first.password });
        let answered = answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await;
        assert_eq!(answered.status, 200, "{}", answered.text());
        assert_eq!(answered.header("cache-control"), "no-store");
        let reply: LoginReply = answered.json();
        let client = server.stranger().with_token(&reply.token);
        let me = client.whoami().await.unwrap();
        assert_eq!((me.kind.as_str(), me.name.as_str()), ("user", "admin"));

        client.logout().await.unwrap();
        assert_refused!(client.whoami().await, 401, "unauthenticated");
        assert!(server.admin().whoami().await.is_ok(), "the other login of the same user goes on");
    }

    async fn a_login_ends_by_itself(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let first = server.first_start();
        let login = LoginRequest { tenant: None, username: first.username.clone(), password: first.password.clone() };
        let reply = server.stranger().login(&login).await.unwrap();
        let client = server.stranger().with_token(&reply.token);
        let ttl = reply.expires_at.minus(Duration::from_mins(1)).since(clock.now());
        clock.advance(ttl);
        assert!(client.whoami().await.is_ok());
        clock.advance(Duration::from_secs(61));
        assert_refused!(client.whoami().await, 401, "unauthenticated");
    }

    async fn the_token_of_a_deleted_device_is_refused(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let [gone, other] = &scene.devices[..] else { panic!("two devices") };
        assert!(gone.check().await.is_none());
        scene.admin.delete_device(gone.id).await.unwrap();
        let refused = gone.client.check().await.unwrap_err();
        assert!(matches!(refused, drover_uplink::CallError::Unauthenticated { .. }), "{refused}");
        assert!(other.client.check().await.is_ok());
        assert_refused!(scene.admin.device(gone.id).await, 404, "not_found");
    }
}

on_the_local_profile! {
    async fn a_wrong_login_does_not_tell_what_was_wrong(profile: Profile) {
        let server = TestServer::start(profile).await;
        let first = server.first_start();
        let attempts = [
            json!({ "username": "admin", "password": "wrong" }),
            json!({ "username": "nobody", "password": first.password }),
            json!({ "tenant": "nobody", "username": "admin", "password": first.password }),
            json!({ "username": "admin", "password": "x".repeat(5_000) }),
        ];
        let mut details = Vec::new();
        for body in attempts {
            let problem =
                refused(server.request(Method::POST, "/api/v1/auth/login").json(&body), 401, "login_failed").await;
            assert_eq!(problem.kind, ErrorKind::Unauthenticated);
            details.push(problem.detail);
        }
        details.dedup();
        assert_eq!(details.len(), 1, "{details:?}");
    }

    async fn nothing_is_reached_without_a_credential(profile: Profile) {
        let server = TestServer::start(profile).await;
        let token = server.admin_token();
        let (head, _) = token.rsplit_once('.').unwrap();
        let wrong_secret = format!("{head}.{}", "A".repeat(43));
        let mut checked = 0;
        for operation in operations(&server).await.iter().filter(|operation| operation.needs_credential) {
            let request = || operation.request(&server);
            let problem = refused(request(), 401, "unauthenticated").await;
            assert!(problem.detail.unwrap().contains("Authorization: Bearer"), "{}", operation.id);
            for credential in ["nonsense", &wrong_secret] {
                let answered = answer(request().bearer_auth(credential)).await;
                answered.problem(401, "unauthenticated");
                assert_eq!(answered.header("www-authenticate"), "Bearer", "{}", operation.id);
            }
            let basic = request().basic_auth("admin", Some(token));
            refused(basic, 401, "unauthenticated").await;
            checked += 1;
        }
        assert!(checked > 40, "{checked}");
    }

    async fn devices_and_operators_do_not_reach_each_others_calls(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let device = &scene.devices[0];
        let (mut for_devices, mut for_operators) = (0, 0);
        for operation in operations(&scene.server).await.iter().filter(|operation| operation.needs_credential) {
            let request = operation.request(&scene.server);
            let id = operation.id.as_str();
            match id {
                // Answered to anybody who is known; those that have rules of their own have tests of their own.
                "auth_me" | "auth_session" | "device_register" | "firmware_download" => {}
                _ if DEVICE_CALLS.contains(&id) => {
                    refused(request.bearer_auth(scene.server.admin_token()), 403, "forbidden").await;
                    for_devices += 1;
                }
                _ => {
                    refused(request.bearer_auth(&device.token), 403, "forbidden").await;
                    for_operators += 1;
                }
            }
        }
        assert!(for_devices == DEVICE_CALLS.len() && for_operators > 40, "{for_devices} {for_operators}");
        // An enrolment token is no caller at all.
        let me = scene.server.request(Method::GET, "/api/v1/auth/me");
        refused(me.bearer_auth(&scene.server.first_start().enrolment_token), 401, "unauthenticated").await;
    }
}
