//! How often anybody may call.

use drover_testkit::{Profile, ServerOptions, answer, on_the_local_profile};
use reqwest::Method;
use serde_json::json;

on_the_local_profile! {
    async fn each_device_has_its_own_checks(profile: Profile) {
        let mut options = ServerOptions::new(profile);
        options.http.check_per_minute = 10;
        let server = options.start().await;
        let [one, other] = [server.device("A", None).await, server.device("B", None).await];
        let check = |token: &str| answer(server.request(Method::GET, "/api/v1/updates/check").bearer_auth(token));
        for remaining in (0..10).rev() {
            let answered = check(&one.token).await;
            assert_eq!(answered.status, 200);
            assert_eq!(
                (answered.header("ratelimit-limit"), answered.header("ratelimit-remaining")),
                ("10", remaining.to_string().as_str())
            );
        }
        let refused = check(&one.token).await;
        refused.problem(429, "rate_limited");
        let seconds: u64 = refused.header("retry-after").parse().expect("it says when to come back");
        assert!((1..=6).contains(&seconds), "{seconds}");
        assert_eq!(check(&other.token).await.status, 200, "others are not held back");
        // Reports have an account of their own.
        one.heartbeat(Vec::new()).await;
    }

    async fn each_device_has_its_own_reports(profile: Profile) {
        let mut options = ServerOptions::new(profile);
        options.http.report_per_minute = 3;
        let server = options.start().await;
        let [one, other] = [server.device("A", None).await, server.device("B", None).await];
        let own_path = format!("/api/v1/devices/{}/status", one.id);
        let post = |path: &str, token: &str| {
            answer(server.request(Method::POST, path).bearer_auth(token).json(&json!({ "components": [] })))
        };
        for path in ["/api/v1/heartbeat", &own_path, "/api/v1/heartbeat"] {
            assert_eq!(post(path, &one.token).await.status, 200);
        }
        post("/api/v1/heartbeat", &one.token).await.problem(429, "rate_limited");
        let session_id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let validation = json!({ "session_id": session_id, "outcome": "succeeded", "component": "main" });
        for (path, body) in [
            ("/api/v1/status", json!({ "session_id": session_id, "state": "downloading", "progress": 1 })),
            ("/api/v1/validation", validation),
        ] {
            let request = server.request(Method::POST, path).bearer_auth(&one.token).json(&body);
            answer(request).await.problem(429, "rate_limited");
        }
        assert_eq!(post("/api/v1/heartbeat", &other.token).await.status, 200, "others are not held back");
        assert!(one.check().await.is_none(), "checks have an account of their own");
    }

    async fn strangers_are_counted_by_address(profile: Profile) {
        let mut options = ServerOptions::new(profile);
        options.http.trust_forwarded_for = true;
        options.http.stranger_per_minute = 5;
        let server = options.start().await;
        let ask = |address: &str, token: &str| {
            let request = server.request(Method::GET, "/api/v1/auth/me").header("x-forwarded-for", address);
            answer(request.bearer_auth(token))
        };
        for _ in 0..5 {
            ask("192.0.2.1", "nonsense").await.problem(401, "unauthenticated");
        }
        let refused = ask("192.0.2.1", "nonsense").await;
        refused.problem(429, "rate_limited");
        assert!(refused.header("retry-after").parse::<u64>().expect("seconds") >= 1);
        ask("192.0.2.2", "nonsense").await.problem(401, "unauthenticated");
        assert_eq!(ask("192.0.2.1", server.admin_token()).await.status, 200, "who is known is no stranger");
        // Guessing passwords is counted before it is tried.
        let login = || {
            let request = server.request(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", "192.0.2.3");
            answer(request.json(&json!({ "username": "admin", "password": "guess" })))
        };
        for _ in 0..5 {
            login().await.problem(401, "login_failed");
        }
        login().await.problem(429, "rate_limited");
        // Enrolment tokens and presign keys are no way around it.
        let register = server.request(Method::POST, "/api/v1/devices/register").header("x-forwarded-for", "192.0.2.3");
        let body = json!({ "hardware_id": "A", "device_type": "truck" });
        answer(register.bearer_auth("nonsense").json(&body)).await.problem(429, "rate_limited");
        let presign = server.request(Method::POST, "/v1/presign").header("x-forwarded-for", "192.0.2.3");
        answer(presign.bearer_auth("nonsense").json(&json!({ "object_key": "a" }))).await.problem(429, "rate_limited");
    }
}
