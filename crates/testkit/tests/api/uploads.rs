//! Uploads in parts: what was announced, whole, or nothing.

use std::sync::Arc;
use std::time::Duration;

use drover_api::{Firmware, PartUrls, PresignRequest, Upload, UploadPart};
use drover_testkit::{
    Answer, Profile, ReleaseBuilder, ServerOptions, SimClock, TestServer, answer, eventually, on_both_profiles,
    on_the_local_profile, private_key, refused,
};
use drover_trust::sha256;
use drover_types::{KeyAlgorithm, UploadId, UploadState};
use reqwest::Method;
use serde_json::{Value, json};

const MIB: usize = 1024 * 1024;
/// The shortest that is allowed.
const PART: usize = 5 * MIB;

/// Bytes that differ everywhere.
fn content(size: usize) -> Vec<u8> {
    (0_u32..).flat_map(|word| word.wrapping_mul(0x9E37_79B9).to_le_bytes()).take(size).collect()
}

fn announce(name: &str, bytes: &[u8]) -> Value {
    let sha256 = sha256(bytes);
    json!({ "kind": "object", "name": name, "size_bytes": bytes.len(), "sha256": sha256, "part_size_bytes": PART })
}

/// What an upload of no importance is of.
pub(crate) const NO_MATTER: &str = "bytes";

/// Begins an upload of no importance.
pub(crate) async fn begin(server: &TestServer, token: &str, name: &str) -> Upload {
    let create = server.request(Method::POST, "/api/v1/uploads").bearer_auth(token);
    let created = answer(create.json(&announce(name, NO_MATTER.as_bytes()))).await;
    assert_eq!(created.status, 201, "{}", created.text());
    created.json()
}

async fn create(server: &TestServer, body: &Value) -> Upload {
    let created = answer(server.admin_request(Method::POST, "/api/v1/uploads").json(body)).await;
    assert_eq!(created.status, 201, "{}", created.text());
    created.json()
}

fn part(bytes: &[u8], number: usize) -> &[u8] {
    &bytes[(number - 1) * PART..bytes.len().min(number * PART)]
}

async fn send(server: &TestServer, id: UploadId, number: usize, bytes: &[u8]) -> Answer {
    let path = format!("/api/v1/uploads/{id}/parts/{number}");
    answer(server.admin_request(Method::PUT, &path).body(bytes.to_vec())).await
}

async fn send_all(server: &TestServer, id: UploadId, bytes: &[u8]) {
    for number in 1..=bytes.len().div_ceil(PART) {
        assert_eq!(send(server, id, number, part(bytes, number)).await.status, 200);
    }
}

async fn complete(server: &TestServer, id: UploadId) -> Answer {
    answer(server.admin_request(Method::POST, &format!("/api/v1/uploads/{id}/complete"))).await
}

async fn abort(server: &TestServer, id: UploadId) -> Answer {
    answer(server.admin_request(Method::DELETE, &format!("/api/v1/uploads/{id}"))).await
}

async fn view(server: &TestServer, id: UploadId) -> Upload {
    answer(server.admin_request(Method::GET, &format!("/api/v1/uploads/{id}"))).await.json()
}

async fn ends(server: &TestServer, id: UploadId) -> Upload {
    eventually("the upload to end", async || Some(view(server, id).await).filter(|upload| upload.state.is_final()))
        .await
}

/// What the name stands for; none when there is no such name.
async fn download(server: &TestServer, name: &str) -> Option<Vec<u8>> {
    let body = PresignRequest { object_key: name.to_owned(), expires_in: None };
    let url = server.admin().presign(&body).await.ok()?.url;
    let fetched = answer(server.raw().get(url)).await;
    (fetched.status == 200).then_some(fetched.body)
}

/// Parts that are still there, on the folder.
fn parts_left(server: &TestServer) -> usize {
    fn files(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }
    files(&server.folder().join("blobs/uploads")) + files(&server.folder().join("blobs/tmp"))
}

async fn cleared(server: &TestServer) {
    eventually("the parts to be removed", async || (parts_left(server) == 0).then_some(())).await;
}

async fn with_clock(profile: Profile) -> (TestServer, Arc<SimClock>) {
    let clock = Arc::new(SimClock::default());
    (ServerOptions::new(profile).clock(&clock).start().await, clock)
}

on_both_profiles! {
    async fn parts_come_in_any_order_and_again(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(2 * PART + 77);
        let upload = create(&server, &announce("a/b.bin", &bytes)).await;
        assert_eq!((upload.parts_total, upload.state, upload.parts.len()), (3, UploadState::Open, 0));
        assert_eq!(upload.direct, profile == Profile::Cluster);

        let wrong = send(&server, upload.id, 3, &[7; 77]).await;
        assert_eq!(wrong.json::<UploadPart>().sha256, Some(sha256(&[7; 77])));
        let missing = complete(&server, upload.id).await.problem(409, "parts_missing");
        assert!(missing.detail.unwrap().contains("parts 1, 2;"));
        let sent = futures::future::join_all([3, 1, 2].map(|n| send(&server, upload.id, n, part(&bytes, n)))).await;
        assert!(sent.iter().all(|answer| answer.status == 200), "{sent:?}");
        let there = view(&server, upload.id).await;
        assert_eq!((there.parts_received, there.bytes_received), (3, bytes.len() as u64));
        let digests: Vec<_> = there.parts.iter().map(|part| part.sha256).collect();
        assert_eq!(digests, [1, 2, 3].map(|n| Some(sha256(part(&bytes, n)))));
        assert!(download(&server, "a/b.bin").await.is_none(), "nothing has a name before the end");

        let first = complete(&server, upload.id).await;
        assert_eq!(first.json::<Upload>().state, UploadState::Complete, "{}", first.text());
        assert!(download(&server, "a/b.bin").await.unwrap() == bytes, "other bytes came back");
        assert_eq!(complete(&server, upload.id).await.status, 200, "again is fine");
        send(&server, upload.id, 1, part(&bytes, 1)).await.problem(409, "upload_closed");
        abort(&server, upload.id).await.problem(409, "upload_complete");
        cleared(&server).await;

        let again = server.admin_request(Method::POST, "/api/v1/uploads").json(&announce("a/b.bin", &bytes));
        refused(again, 409, "object_uploaded").await;
        let other = server.admin_request(Method::POST, "/api/v1/uploads").json(&announce("a/b.bin", b"other"));
        refused(other, 409, "object_exists").await;
    }

    async fn a_long_one_is_verified_in_the_background(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(3 * PART + 2 * MIB);
        let upload = create(&server, &announce("long.bin", &bytes)).await;
        send_all(&server, upload.id, &bytes).await;
        let answers = futures::future::join_all((0..3).map(|_| complete(&server, upload.id))).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 202)), "{answers:?}");
        assert_eq!(ends(&server, upload.id).await.state, UploadState::Complete);
        assert!(download(&server, "long.bin").await.unwrap() == bytes, "other bytes came back");
        cleared(&server).await;
    }

    async fn other_bytes_than_announced_get_no_name(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(PART + 5);
        let mut body = announce("wrong.bin", &bytes);
        body["sha256"] = json!(sha256(b"other"));
        let upload = create(&server, &body).await;
        send_all(&server, upload.id, &bytes).await;
        complete(&server, upload.id).await.problem(422, "upload_failed");
        let failed = view(&server, upload.id).await;
        assert_eq!(failed.state, UploadState::Failed);
        assert!(failed.reason.unwrap().contains("SHA-256"));
        assert!(download(&server, "wrong.bin").await.is_none());
        complete(&server, upload.id).await.problem(422, "upload_failed");
        send(&server, upload.id, 1, part(&bytes, 1)).await.problem(409, "upload_closed");
        assert_eq!(abort(&server, upload.id).await.status, 204);
        assert_eq!(view(&server, upload.id).await.state, UploadState::Failed);
        cleared(&server).await;
        // The name is free.
        let right = create(&server, &announce("wrong.bin", &bytes)).await;
        send_all(&server, right.id, &bytes).await;
        assert_eq!(complete(&server, right.id).await.status, 200);
    }

    async fn a_firmware_is_published_when_its_parts_are_verified(profile: Profile) {
        let server = TestServer::start(profile).await;
        let key = private_key(KeyAlgorithm::EcdsaP256);
        server.trust(&key).await;
        let bytes = content(PART + 1);
        let release = ReleaseBuilder::new("1.0.0", 1).artifact("app.bin", &bytes[..]).sign(&key);
        let draft: Firmware = server.admin().create_firmware(&release.create_body()).await.unwrap();
        let mut body = announce("app.bin", &bytes);
        body["kind"] = json!("artifact");
        let post = |body: &Value| server.admin_request(Method::POST, "/api/v1/uploads").json(body);
        refused(post(&body), 422, "invalid").await;
        body["firmware_id"] = json!(draft.id);
        for (field, value, status, code) in [
            ("size_bytes", json!(bytes.len() + 1), 422, "size_mismatch"),
            ("sha256", json!(sha256(b"other")), 422, "digest_mismatch"),
            ("name", json!("other.bin"), 404, "not_found"),
            ("firmware_id", json!(UploadId::generate(drover_types::Timestamp::from_micros(0), 1)), 404, "not_found"),
        ] {
            let mut wrong = body.clone();
            wrong[field] = value;
            refused(post(&wrong), status, code).await;
        }
        let upload = create(&server, &body).await;
        send_all(&server, upload.id, &bytes).await;
        let publish = || server.admin_request(Method::POST, &format!("/api/v1/firmware/{}/publish", draft.id));
        refused(publish(), 409, "artifacts_missing").await;
        assert_eq!(complete(&server, upload.id).await.status, 200);
        assert_eq!(answer(publish()).await.status, 200);
        refused(post(&body), 409, "artifact_uploaded").await;
        let name = format!("{}/app.bin", draft.storage_path);
        assert!(download(&server, &name).await.unwrap() == bytes, "other bytes came back");
    }

    async fn what_belongs_to_a_deleted_firmware_fails(profile: Profile) {
        let server = TestServer::start(profile).await;
        let key = private_key(KeyAlgorithm::EcdsaP256);
        server.trust(&key).await;
        let release = ReleaseBuilder::new("1.0.0", 1).artifact("app.bin", b"bytes").sign(&key);
        let draft = server.admin().create_firmware(&release.create_body()).await.unwrap();
        let mut body = announce("app.bin", b"bytes");
        (body["kind"], body["firmware_id"]) = (json!("artifact"), json!(draft.id));
        let upload = create(&server, &body).await;
        send_all(&server, upload.id, b"bytes").await;
        server.admin().delete_firmware(draft.id).await.unwrap();
        complete(&server, upload.id).await.problem(422, "upload_failed");
        cleared(&server).await;
    }

    async fn what_is_given_up_is_gone(profile: Profile) {
        let (server, clock) = with_clock(profile).await;
        let bytes = content(PART + 5);
        let upload = create(&server, &announce("gone.bin", &bytes)).await;
        send_all(&server, upload.id, &bytes).await;
        for _ in 0..2 {
            assert_eq!(abort(&server, upload.id).await.status, 204);
        }
        assert_eq!(view(&server, upload.id).await.state, UploadState::Aborted);
        send(&server, upload.id, 1, part(&bytes, 1)).await.problem(409, "upload_closed");
        complete(&server, upload.id).await.problem(409, "upload_closed");
        cleared(&server).await;

        let forgotten = create(&server, &announce("gone.bin", &bytes)).await;
        assert_eq!(send(&server, forgotten.id, 2, part(&bytes, 2)).await.status, 200);
        clock.advance(Duration::from_hours(7 * 24 + 1));
        let server = relogin(server).await;
        let expired = ends(&server, forgotten.id).await;
        assert_eq!((expired.state, expired.reason.as_deref()), (UploadState::Aborted, Some("not completed within 7 days")));
        cleared(&server).await;
        clock.advance(Duration::from_hours(31 * 24));
        let server = relogin(server).await;
        eventually("the upload to be forgotten", async || {
            let path = format!("/api/v1/uploads/{}", forgotten.id);
            (answer(server.admin_request(Method::GET, &path)).await.status == 404).then_some(())
        })
        .await;
    }

    async fn completing_and_giving_up_at_once_leave_one_truth(profile: Profile) {
        let server = TestServer::start(profile).await;
        for round in 0..6 {
            let bytes = content(PART + round);
            let name = format!("race/{round}.bin");
            let upload = create(&server, &announce(&name, &bytes)).await;
            send_all(&server, upload.id, &bytes).await;
            let (completed, aborted) = tokio::join!(complete(&server, upload.id), abort(&server, upload.id));
            let ended = ends(&server, upload.id).await;
            let there = download(&server, &name).await;
            match ended.state {
                UploadState::Complete => {
                    assert_eq!(aborted.status, 409, "{}", aborted.text());
                    assert!(there.unwrap() == bytes, "other bytes came back");
                }
                UploadState::Aborted => {
                    assert_eq!(aborted.status, 204);
                    assert!(matches!(completed.status, 409), "{}", completed.text());
                    assert!(there.is_none(), "it was given up");
                }
                other => panic!("{other}: {} {}", completed.text(), aborted.text()),
            }
        }
        cleared(&server).await;
    }

    async fn what_makes_no_sense_is_refused(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(PART + 5);
        let body = announce("x.bin", &bytes);
        for (field, value, code) in [
            ("size_bytes", json!(0), "invalid"),
            ("part_size_bytes", json!(PART - 1), "invalid"),
            ("part_size_bytes", json!(2_u64 << 30), "invalid"),
            ("name", json!("../x"), "invalid"),
            ("kind", json!("other"), "invalid"),
            ("more", json!(1), "invalid"),
        ] {
            let mut wrong = body.clone();
            wrong[field] = value;
            refused(server.admin_request(Method::POST, "/api/v1/uploads").json(&wrong), 422, code).await;
        }
        let mut large = body.clone();
        large["size_bytes"] = json!(1_u64 << 40);
        large["part_size_bytes"] = json!(1_u64 << 30);
        refused(server.admin_request(Method::POST, "/api/v1/uploads").json(&large), 413, "too_large").await;

        let upload = create(&server, &body).await;
        for number in [0, 3] {
            send(&server, upload.id, number, b"x").await.problem(422, "invalid");
        }
        send(&server, upload.id, 1, &bytes).await.problem(422, "size_mismatch");
        let path = format!("/api/v1/uploads/{}/parts/2", upload.id);
        for cut in [&b"1234"[..], b"123456"] {
            let chunks = futures::stream::iter([Ok::<_, std::io::Error>(cut.to_vec())]);
            let streamed = server.admin_request(Method::PUT, &path).body(reqwest::Body::wrap_stream(chunks));
            refused(streamed, 422, "size_mismatch").await;
        }
        assert_eq!(view(&server, upload.id).await.parts, []);
        for unfinished in 1..100 {
            create(&server, &announce(&format!("y/{unfinished}"), b"y")).await;
        }
        let more = server.admin_request(Method::POST, "/api/v1/uploads").json(&announce("y/more", b"y"));
        refused(more, 409, "too_many_uploads").await;
        assert_eq!(abort(&server, upload.id).await.status, 204);
        create(&server, &announce("y/more", b"y")).await;
        let open = answer(server.admin_request(Method::GET, "/api/v1/uploads?state=open&limit=500")).await;
        assert_eq!(open.json::<Value>()["items"].as_array().unwrap().len(), 100);
        let list = format!("/api/v1/uploads?sha256={}", upload.sha256);
        let of_content = answer(server.admin_request(Method::GET, &list)).await.json::<drover_api::Page<Upload>>();
        assert_eq!(of_content.items.iter().map(|one| one.id).collect::<Vec<_>>(), [upload.id]);
    }

    async fn a_killed_server_ends_what_was_completed(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let mut server = ServerOptions::new(profile).clock(&clock).start().await;
        for round in 0..4 {
            let bytes = content(3 * PART + 2 * MIB + round);
            let name = format!("kill/{round}.bin");
            let body = announce(&name, &bytes);
            let keyed = |server: &TestServer| {
                let post = server.admin_request(Method::POST, "/api/v1/uploads");
                post.header("idempotency-key", format!("kill-{round}")).json(&body)
            };
            let upload: Upload = answer(keyed(&server)).await.json();
            assert_eq!(send(&server, upload.id, 4, part(&bytes, 4)).await.status, 200);
            assert_eq!(send(&server, upload.id, 2, part(&bytes, 2)).await.status, 200);
            server.kill_and_restart().await;
            let again: Upload = answer(keyed(&server)).await.json();
            assert_eq!(again.id, upload.id);
            let there: Vec<_> = again.parts.iter().map(|part| part.number).collect();
            assert_eq!(there, [2, 4], "what was acknowledged is there");
            for number in [1, 3] {
                assert_eq!(send(&server, upload.id, number, part(&bytes, number)).await.status, 200);
            }
            assert!(matches!(complete(&server, upload.id).await.status, 200 | 202));
            // At once, while it is read back, or after that.
            for _ in 0..round {
                view(&server, upload.id).await;
            }
            server.kill_and_restart().await;
            clock.advance(Duration::from_secs(31));
            assert_eq!(ends(&server, upload.id).await.state, UploadState::Complete);
            assert!(download(&server, &name).await.unwrap() == bytes, "other bytes came back");
            clock.advance(Duration::from_secs(31));
            cleared(&server).await;
        }
    }

    async fn one_that_was_not_begun_whole_goes_on(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(PART + 5);
        let upload = create(&server, &announce("half.bin", &bytes)).await;
        // As if the server had been killed before it had told the object store.
        server.sql("UPDATE uploads SET token = NULL").await;
        if profile == Profile::Local {
            std::fs::remove_dir_all(server.folder().join("blobs/uploads")).unwrap();
        }
        let sent = futures::future::join_all([1, 2].map(|n| send(&server, upload.id, n, part(&bytes, n)))).await;
        assert!(sent.iter().all(|answer| answer.status == 200), "{sent:?}");
        assert_eq!(complete(&server, upload.id).await.status, 200);
        assert!(download(&server, "half.bin").await.unwrap() == bytes, "other bytes came back");
        cleared(&server).await;
    }

    async fn a_kind_that_a_key_may_not_see_is_not_there(profile: Profile) {
        let server = TestServer::start(profile).await;
        let key = async |scopes: Value| {
            let create = server.admin_request(Method::POST, "/api/v1/api-keys");
            let made: Value = answer(create.json(&json!({ "name": "ci", "scopes": scopes }))).await.json();
            made["token"].as_str().unwrap().to_owned()
        };
        let blind = key(json!(["firmware:read", "firmware:write"])).await;
        let reader = key(json!(["firmware:write", "objects:read"])).await;
        let writer = key(json!(["objects:write"])).await;
        let upload = begin(&server, server.admin_token(), "x.bin").await;
        let path = format!("/api/v1/uploads/{}", upload.id);
        let call = |method, path: &str, token: &str| server.request(method, path).bearer_auth(token);
        let part = format!("{path}/parts/1");
        for (method, path) in [(Method::GET, &path), (Method::DELETE, &path), (Method::PUT, &part)] {
            refused(call(method, path, &blind), 404, "not_found").await;
        }
        refused(call(Method::PUT, &part, &reader), 403, "forbidden").await;
        assert_eq!(answer(call(Method::DELETE, &path, &writer)).await.status, 204);
    }

    async fn parts_go_to_the_object_store_directly(profile: Profile) {
        let server = TestServer::start(profile).await;
        let bytes = content(PART + 99);
        let upload = create(&server, &announce("direct.bin", &bytes)).await;
        let path = format!("/api/v1/uploads/{}/parts/urls", upload.id);
        let urls = |numbers: Vec<u32>| server.admin_request(Method::POST, &path).json(&json!({ "numbers": numbers }));
        let done = |number: u32, etag: &str| {
            let path = format!("/api/v1/uploads/{}/parts/{number}/done", upload.id);
            server.admin_request(Method::PUT, &path).json(&json!({ "etag": etag }))
        };
        if !upload.direct {
            refused(urls(vec![1]), 409, "upload_not_direct").await;
            refused(done(1, "x"), 409, "upload_not_direct").await;
            return;
        }
        for wrong in [vec![], vec![0], vec![3], vec![1; 101]] {
            refused(urls(wrong), 422, "invalid").await;
        }
        refused(done(1, "<x/>"), 422, "invalid").await;
        let given: PartUrls = answer(urls(vec![2, 1])).await.json();
        for item in given.items {
            let body = part(&bytes, item.number as usize).to_vec();
            assert_eq!(item.size_bytes, body.len() as u64);
            assert!(!item.url.starts_with(&server.url()), "it goes past the server");
            let sent = answer(server.raw().put(&item.url).body(body)).await;
            assert_eq!(sent.status, 200, "{}", sent.text());
            assert_eq!(answer(done(item.number, sent.header("etag"))).await.status, 200);
        }
        assert_eq!(view(&server, upload.id).await.parts_received, 2);
        assert_eq!(complete(&server, upload.id).await.json::<Upload>().state, UploadState::Complete);
        assert!(download(&server, "direct.bin").await.unwrap() == bytes, "other bytes came back");
    }
}

on_the_local_profile! {
    async fn one_that_cannot_be_read_back_is_given_up(profile: Profile) {
        let (server, clock) = with_clock(profile).await;
        let bytes = content(PART + 5);
        let upload = create(&server, &announce("lost.bin", &bytes)).await;
        send_all(&server, upload.id, &bytes).await;
        std::fs::remove_dir_all(server.folder().join("blobs/uploads")).unwrap();
        let answered = complete(&server, upload.id).await;
        assert_eq!(answered.status, 202, "it may come back: {}", answered.text());
        let waiting = answered.json::<Upload>();
        assert!(waiting.reason.as_deref().unwrap().ends_with("; trying again"), "{waiting:?}");
        assert_eq!((waiting.parts_received, waiting.parts.len()), (2, 0), "nobody needs their list now");
        clock.advance(Duration::from_hours(8 * 24 + 1));
        let server = relogin(server).await;
        let ended = ends(&server, upload.id).await;
        let reason = ended.reason.unwrap();
        assert_eq!(ended.state, UploadState::Failed);
        assert!(reason.starts_with("not verified within 8 days: ") && !reason.contains("again"), "{reason}");
        complete(&server, upload.id).await.problem(422, "upload_failed");
    }
}

/// Logins do not last for weeks.
async fn relogin(mut server: TestServer) -> TestServer {
    server.log_in_again().await;
    server
}
