//! Objects with names of one's own choice.

use drover_api::{ObjectFilter, StoredObject};
use drover_testkit::{Answer, Profile, TestServer, answer, on_both_profiles, on_the_local_profile};
use reqwest::Method;

async fn put(server: &TestServer, name: &str, bytes: &str) -> Answer {
    let request = server.admin_request(Method::PUT, &format!("/api/v1/objects/{name}"));
    answer(request.body(bytes.to_owned())).await
}

on_both_profiles! {
    async fn a_name_stands_for_its_bytes_for_ever(profile: Profile) {
        let server = TestServer::start(profile).await;
        let first = put(&server, "firmware/v1/hello.bin", "hello").await;
        assert_eq!(first.status, 201, "{}", first.text());
        let stored: StoredObject = first.json();
        assert_eq!((stored.object_key.as_str(), stored.size_bytes), ("firmware/v1/hello.bin", 5));
        assert_eq!(stored.checksum, drover_trust::sha256(b"hello"));
        assert_eq!(put(&server, "firmware/v1/hello.bin", "hello").await.json::<StoredObject>(), stored);
        put(&server, "firmware/v1/hello.bin", "other").await.problem(409, "object_exists");
        assert_eq!(put(&server, "firmware/v2/hello.bin", "hello").await.status, 201, "two names for the same bytes");
        assert_eq!(put(&server, "empty.bin", "").await.json::<StoredObject>().size_bytes, 0);
    }

    async fn lists_go_by_name(profile: Profile) {
        let server = TestServer::start(profile).await;
        for name in ["b/1", "a/2", "a/10", "B/1", "a/1"] {
            assert_eq!(put(&server, name, name).await.status, 201);
        }
        let names = async |prefix: Option<&str>| {
            let filter = ObjectFilter { prefix: prefix.map(str::to_owned), ..ObjectFilter::default() };
            let items = server.admin().objects(&filter, 10).await.unwrap().items;
            items.into_iter().map(|object| object.object_key).collect::<Vec<_>>()
        };
        assert_eq!(names(None).await, ["B/1", "a/1", "a/10", "a/2", "b/1"]);
        assert_eq!(names(Some("a/1")).await, ["a/1", "a/10"]);
        assert_eq!(names(Some("%")).await, [""; 0]);
        let first: drover_api::Page<StoredObject> =
            answer(server.admin_request(Method::GET, "/api/v1/objects?limit=3")).await.json();
        let next = format!("/api/v1/objects?limit=3&cursor={}", first.next_cursor.unwrap());
        let last: drover_api::Page<StoredObject> = answer(server.admin_request(Method::GET, &next)).await.json();
        let last: Vec<_> = last.items.into_iter().map(|object| object.object_key).collect();
        assert_eq!(last, ["a/2", "b/1"]);
    }
}

on_the_local_profile! {
    async fn names_are_narrow(profile: Profile) {
        let server = TestServer::start(profile).await;
        for name in ["a//b", ".hidden", "a/..b", "a%20b", "a%2F..%2Fb", "%2e%2e/secret", "a/", &"x".repeat(129)] {
            let answered = put(&server, name, "x").await;
            assert!(matches!(answered.status, 404 | 422), "{name}: {}", answered.text());
            assert_eq!(answered.header("content-type"), "application/problem+json");
        }
        assert_eq!(server.admin().objects(&ObjectFilter::default(), 10).await.unwrap().items, []);
    }
}
