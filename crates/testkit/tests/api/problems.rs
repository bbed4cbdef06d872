//! Every error has one form.

use drover_api::{Group, Problem};
use drover_testkit::{Answer, Profile, TestServer, answer, on_both_profiles, on_the_local_profile, refused};
use drover_types::ErrorKind;
use reqwest::Method;
use serde_json::json;

async fn post_group(server: &TestServer, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = server.admin_request(Method::POST, "/api/v1/groups");
    answer(request.header("content-type", media_type).body(body)).await
}

on_both_profiles! {
    async fn a_creating_call_can_be_sent_again(profile: Profile) {
        let server = TestServer::start(profile).await;
        let create = |key: &str, name: &str| {
            let request = server.admin_request(Method::POST, "/api/v1/groups").header("idempotency-key", key);
            request.json(&json!({ "name": name }))
        };
        let first = answer(create("one", "lab")).await;
        let again = answer(create("one", "lab")).await;
        assert_eq!((first.status, again.status), (201, 201));
        assert_eq!(first.json::<Group>(), again.json::<Group>());
        refused(create("one", "field"), 422, "idempotency_key_reused").await;
        refused(create("two", "lab"), 409, "group_exists").await;
        // What failed left the key free.
        assert_eq!(answer(create("two", "field")).await.status, 201);
        for key in ["", "a b", &"x".repeat(201)] {
            let problem = refused(create(key, "third"), 422, "invalid").await;
            assert_eq!(problem.errors[0].field, "Idempotency-Key");
        }
        // Another caller's key is another key.
        let other = server.add_tenant("other").await;
        let theirs = server.request(Method::POST, "/api/v1/groups").bearer_auth(&other.token);
        let theirs = answer(theirs.header("idempotency-key", "one").json(&json!({ "name": "theirs" }))).await;
        assert_eq!(theirs.status, 201, "{}", theirs.text());
        assert_eq!(server.admin().groups(10).await.unwrap().items.len(), 2);
    }

    async fn one_creation_of_many_at_once(profile: Profile) {
        let server = TestServer::start(profile).await;
        let create = || {
            let request = server.admin_request(Method::POST, "/api/v1/groups").header("idempotency-key", "one");
            answer(request.json(&json!({ "name": "lab" })))
        };
        let answers = futures::future::join_all((0..8).map(|_| create())).await;
        let ids: std::collections::BTreeSet<_> = answers.iter().map(|answer| answer.json::<Group>().id).collect();
        assert_eq!(ids.len(), 1, "{answers:?}");
        assert_eq!(server.admin().groups(10).await.unwrap().items.len(), 1);
    }
}

on_the_local_profile! {
    async fn nothing_there_and_no_such_method(profile: Profile) {
        let server = TestServer::start(profile).await;
        for path in ["/", "/api/v1/nothing", "/api/v2/devices", "/api/v1/devices/"] {
            let problem = refused(server.admin_request(Method::GET, path), 404, "no_such_path").await;
            assert_eq!(problem.kind, ErrorKind::NotFound);
        }
        let answered = answer(server.admin_request(Method::DELETE, "/api/v1/devices")).await;
        answered.problem(405, "method_not_allowed");
        assert_eq!(answered.header("allow"), "GET,HEAD");
        let head = answer(server.request(Method::HEAD, "/api/v1/nothing")).await;
        assert_eq!((head.status, head.body.len()), (404, 0));
    }

    async fn what_is_wrong_with_a_body(profile: Profile) {
        let server = TestServer::start(profile).await;
        let json = "application/json";
        for broken in ["{", "", "{\"name\": \"a\"} x", "\u{0}"] {
            post_group(&server, json, broken).await.problem(400, "malformed_json");
        }
        let unknown = post_group(&server, json, r#"{"name": "a", "colour": "red"}"#).await.problem(422, "invalid");
        assert!(unknown.detail.unwrap().contains("colour"), "it names what is unknown");
        for (body, field) in [
            (r#"{"name": 7}"#, "name"),
            (r#"{"name": ""}"#, "name"),
            (r#"{"name":"a","description":null}"#, "description"),
        ] {
            let problem = post_group(&server, json, body).await.problem(422, "invalid");
            assert_eq!(problem.errors[0].field, field, "{body}");
        }
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/xml"] {
            let refused = post_group(&server, media_type, r#"{"name": "a"}"#).await;
            refused.problem(415, "unsupported_media_type");
        }
        let large = format!(r#"{{"name": "{}"}}"#, "x".repeat(2 << 20));
        post_group(&server, json, large).await.problem(413, "too_large");
        assert_eq!(server.admin().groups(10).await.unwrap().items, [], "nothing of it was done");
    }

    async fn what_is_wrong_with_a_path_or_a_query(profile: Profile) {
        let server = TestServer::start(profile).await;
        for path in ["/api/v1/devices/nonsense", "/api/v1/devices/%00", "/api/v1/rollouts/1/metrics"] {
            refused(server.admin_request(Method::GET, path), 404, "not_found").await;
        }
        let queries = [
            ("cursor=***", "cursor"),
            ("cursor=bm9uc2Vuc2U", "cursor"),
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=x", "limit"),
            ("status=happy", "status"),
            ("group_id=1", "group_id"),
        ];
        for (query, field) in queries {
            let path = format!("/api/v1/devices?{query}");
            let problem = refused(server.admin_request(Method::GET, &path), 422, "invalid").await;
            assert_eq!(problem.errors.first().map(|error| error.field.as_str()), Some(field), "{query}");
        }
        let unknown = server.admin_request(Method::GET, "/api/v1/devices?colour=red");
        assert!(refused(unknown, 422, "invalid").await.detail.unwrap().contains("colour"));
    }

    async fn a_request_keeps_its_id(profile: Profile) {
        let server = TestServer::start(profile).await;
        let request = || server.request(Method::GET, "/api/v1/nothing");
        let own = answer(request().header("x-request-id", "trace-1.2_3")).await;
        assert_eq!(own.header("x-request-id"), "trace-1.2_3");
        assert_eq!(own.json::<Problem>().request_id.as_deref(), Some("trace-1.2_3"));
        let strange = answer(request().header("x-request-id", "a b\"c")).await;
        assert!(strange.header("x-request-id").len() == 32, "{}", strange.header("x-request-id"));
        let fine = answer(server.request(Method::GET, "/healthz").header("x-request-id", "fine")).await;
        assert_eq!((fine.status, fine.header("x-request-id")), (200, "fine"));
    }
}
