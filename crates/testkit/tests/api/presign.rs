//! Source 000's presign API, and the probes beside it.

use std::sync::Arc;

use drover_api::{PresignReply, PresignRequest};
use drover_app::compose::compose;
use drover_app::{Origin, PresignKeys, Settings, SystemRandom};
use drover_testkit::{
    Profile, ServerOptions, TestServer, answer, eventually, on_both_profiles, on_the_local_profile, refused,
};
use drover_types::SystemClock;
use reqwest::Method;
use serde_json::json;

const KEY: &str = "dev-local-key";

async fn with_hello(options: ServerOptions) -> TestServer {
    let server = options.start().await;
    let put = server.admin_request(Method::PUT, "/api/v1/objects/firmware/v1/hello.bin").body("Hello.\n");
    assert_eq!(answer(put).await.status, 201);
    server
}

fn ask(server: &TestServer, object_key: &str) -> reqwest::RequestBuilder {
    server.request(Method::POST, "/v1/presign").json(&json!({ "object_key": object_key }))
}

on_both_profiles! {
    async fn the_documented_call_works_word_for_word(profile: Profile) {
        let server = with_hello(ServerOptions::new(profile).presign_keys(KEY)).await;
        // curl -sS -X POST http://localhost:8080/v1/presign -H "Authorization: Bearer dev-local-key"
        //   -H "Content-Type: application/json" -d '{"object_key":"firmware/v1/hello.bin"}'
        let call = |header: &str, value: &str| {
            let request = server.request(Method::POST, "/v1/presign").header(header, value);
            let request = request.header("Content-Type", "application/json");
            answer(request.body(r#"{"object_key":"firmware/v1/hello.bin"}"#))
        };
        for (header, value) in [("Authorization", "Bearer dev-local-key"), ("X-API-Key", "dev-local-key")] {
            let answered = call(header, value).await;
            assert_eq!(answered.status, 200, "{}", answered.text());
            let reply: PresignReply = answered.json();
            assert_eq!((reply.object_key.as_str(), reply.method.as_str()), ("firmware/v1/hello.bin", "GET"));
            assert_eq!(reply.expires_in, 900);
            let bytes = answer(server.raw().get(&reply.url)).await;
            assert_eq!((bytes.status, bytes.text().as_str()), (200, "Hello.\n"));
        }
        call("Authorization", "Bearer dev-local-kez").await.problem(401, "unauthenticated");
        call("X-API-Key", "").await.problem(401, "unauthenticated");
        // The key presigns and does nothing else.
        let devices = server.request(Method::GET, "/api/v1/devices").bearer_auth(KEY);
        refused(devices, 401, "unauthenticated").await;
    }

    async fn a_key_is_bound_to_its_tenant(profile: Profile) {
        let mut server = with_hello(ServerOptions::new(profile)).await;
        let tenant = async |server: &TestServer, name: &str| {
            let made = server.admin_request(Method::POST, "/api/v1/tenants").json(&json!({ "name": name }));
            answer(made).await.json::<serde_json::Value>()["id"].as_str().unwrap().to_owned()
        };
        let acme = tenant(&server, "acme").await;
        let second = tenant(&server, "second").await;
        server.restart_with(|options| options.presign_keys("dev-local-key, acme=their-local-key")).await;
        let ask = || ask(&server, "firmware/v1/hello.bin").bearer_auth("their-local-key");
        refused(ask(), 404, "not_found").await;
        let put = |tenant: &str, bytes: &'static str| {
            let put = server.admin_request(Method::PUT, "/api/v1/objects/firmware/v1/hello.bin");
            answer(put.header("drover-tenant", tenant).body(bytes))
        };
        assert_eq!(put(&acme, "Theirs.\n").await.status, 201);
        assert_eq!(put(&second, "Nobody's.\n").await.status, 201);
        let opens = async || {
            let reply: PresignReply = answer(ask()).await.json();
            answer(server.raw().get(reply.url)).await.text()
        };
        assert_eq!(opens().await, "Theirs.\n");
        // Whoever takes the name next does not get the key.
        for (id, name) in [(&acme, "acme-before"), (&second, "acme")] {
            let rename = server.admin_request(Method::PUT, &format!("/api/v1/tenants/{id}"));
            assert_eq!(answer(rename.json(&json!({ "name": name }))).await.status, 200);
        }
        assert_eq!(opens().await, "Theirs.\n");
        refused(ask().header("drover-tenant", &second), 404, "not_found").await;
        assert_eq!(answer(ask().header("drover-tenant", &acme)).await.status, 200);
    }

    async fn a_key_for_a_tenant_that_is_not_there_keeps_the_server_from_starting(profile: Profile) {
        let server = TestServer::start(profile).await;
        let presign_keys = PresignKeys::parse("dev-local-key, acme=their-local-key").unwrap();
        let settings = Settings { presign_keys, ..Settings::default() };
        let app = compose(server.backends(), settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await.unwrap();
        let error = app.bind_presign_keys().await.unwrap_err();
        let said = "key number 2 of PRESIGN_API_KEYS is for the tenant \"acme\", and there is none of that name; start \
                    without this key, make the tenant (`drover tenant create acme`), then start with it";
        assert_eq!((error.code, error.to_string().as_str()), ("unknown_tenant", said));
        for key in ["dev-local-key", "their-local-key"] {
            assert_eq!(app.authenticate_presign(key, None, Origin::default()).unwrap(), None, "none works");
        }
    }

    async fn an_address_expires(profile: Profile) {
        let server = with_hello(ServerOptions::new(profile)).await;
        let body = PresignRequest { object_key: "firmware/v1/hello.bin".into(), expires_in: Some(1) };
        let url = server.admin().presign(&body).await.unwrap().url;
        let refused = eventually("the address to expire", async || {
            Some(answer(server.raw().get(&url)).await).filter(|answered| answered.status != 200)
        })
        .await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        if profile == Profile::Local {
            refused.problem(403, "url_expired");
        }
        let url = server.admin().presign(&body).await.unwrap().url;
        assert_eq!(answer(server.raw().get(&url)).await.status, 200, "a new one works");
    }

    async fn probes_and_figures(profile: Profile) {
        let scene = crate::scene::Scene::new(profile, 2).await;
        for path in ["/healthz", "/health", "/readyz"] {
            let answered = answer(scene.server.request(Method::GET, path)).await;
            assert_eq!((answered.status, answered.text().as_str()), (200, "ok\n"), "{path}");
        }
        let figure = async |name: &str| {
            let answered = answer(scene.server.request(Method::GET, "/metrics")).await;
            assert!(answered.header("content-type").starts_with("application/openmetrics-text"));
            let text = answered.text();
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
            line.unwrap_or_else(|| panic!("no {name} in {text}"))
        };
        let (active, succeeded) = ("ota_active_campaigns", r#"ota_vehicle_updates_total{state="succeeded"}"#);
        assert_eq!((figure(active).await.as_str(), figure(succeeded).await.as_str()), ("0", "0"));
        let rollout = scene.roll_out(&[100], |_| ()).await;
        assert_eq!(figure(active).await, "1");
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        scene.becomes(rollout.id, drover_types::RolloutState::Completed).await;
        assert_eq!((figure(active).await.as_str(), figure(succeeded).await.as_str()), ("0", "2"));
        let text = answer(scene.server.request(Method::GET, "/metrics")).await.text();
        assert!(!text.contains("TRUCK") && !text.contains(&scene.devices[0].id.to_string()), "no device in a label");
    }
}

on_the_local_profile! {
    async fn names_that_are_tricks_are_refused(profile: Profile) {
        let server = with_hello(ServerOptions::new(profile).presign_keys(KEY)).await;
        let long = "x".repeat(1_025);
        let tricks = [
            "",
            "/",
            "/etc/passwd",
            "../secret",
            "firmware/../../secret",
            "firmware/./v1/hello.bin",
            "firmware//v1/hello.bin",
            "firmware/v1/",
            "%2e%2e/secret",
            "firmware%2fv1%2fhello.bin",
            "firmware\\v1\\hello.bin",
            "..%5c..%5csecret",
            "http://evil.example/x",
            "https://evil.example/x",
            "//evil.example/x",
            "file:///etc/passwd",
            "s3://bucket/x",
            "firmware/v1/hello.bin?x=1",
            "firmware/v1/hello.bin#x",
            "firmware/v1/hello.bin\0",
            "firmware/v1/hello.bin\n",
            "firmware/v1/h\u{e9}llo.bin",
            "\u{202e}nib",
            " firmware/v1/hello.bin",
            &long,
        ];
        for trick in tricks {
            let problem = refused(ask(&server, trick).bearer_auth(KEY), 422, "invalid").await;
            assert_eq!(problem.errors[0].field, "object_key", "{trick:?}");
        }
        refused(ask(&server, "firmware/v1/nothing.bin").bearer_auth(KEY), 404, "not_found").await;
        for body in [json!({}), json!({ "object_key": 7 }), json!({ "object_key": "a", "bucket": "b" })] {
            let request = server.request(Method::POST, "/v1/presign").bearer_auth(KEY).json(&body);
            refused(request, 422, "invalid").await;
        }
        for expires_in in [0, 3_601] {
            let body = json!({ "object_key": "firmware/v1/hello.bin", "expires_in": expires_in });
            let request = server.request(Method::POST, "/v1/presign").bearer_auth(KEY).json(&body);
            assert_eq!(refused(request, 422, "invalid").await.errors[0].field, "expires_in");
        }
    }

    async fn without_keys_it_is_off_for_programs(profile: Profile) {
        let server = with_hello(ServerOptions::new(profile)).await;
        refused(ask(&server, "firmware/v1/hello.bin").bearer_auth(KEY), 401, "unauthenticated").await;
        refused(ask(&server, "firmware/v1/hello.bin"), 401, "unauthenticated").await;
        let device = server.device("A", None).await;
        refused(ask(&server, "firmware/v1/hello.bin").bearer_auth(&device.token), 403, "forbidden").await;
        let body = PresignRequest { object_key: "firmware/v1/hello.bin".into(), expires_in: Some(60) };
        assert_eq!(server.admin().presign(&body).await.expect("people may").expires_in, 60);
    }
}
