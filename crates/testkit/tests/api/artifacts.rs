//! Uploads: the signed bytes or nothing.

use drover_api::{Firmware, ObjectFilter};
use drover_testkit::{
    Profile, ReleaseBuilder, ServerOptions, TestServer, answer, eventually, on_both_profiles, private_key, refused,
};
use drover_types::KeyAlgorithm;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BYTES: &[u8] = b"0123456789abcdef";

async fn draft(server: &TestServer) -> Firmware {
    let key = private_key(KeyAlgorithm::EcdsaP256);
    server.trust(&key).await;
    let release = ReleaseBuilder::new("1.0.0", 1).artifact("app.bin", BYTES).sign(&key);
    server.admin().create_firmware(&release.create_body()).await.unwrap()
}

async fn is_uploaded(server: &TestServer, firmware: &Firmware) -> bool {
    let artifacts = server.admin().firmware(firmware.id).await.unwrap().artifacts;
    artifacts[0].uploaded_at.is_some()
}

/// Announces 16 bytes, sends 8, and cuts the connection, or only its own half of it.
async fn cut_upload(server: &TestServer, path: &str, half_only: bool) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        server.address(),
        server.admin_token(),
        BYTES.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&BYTES[..8]).await.unwrap();
    let mut text = String::new();
    if half_only {
        stream.shutdown().await.unwrap();
        // What the server still says, if it does.
        let _ = stream.read_to_string(&mut text).await;
    }
    text
}

/// Files of the folder back-end that are not whole objects.
fn leftovers(server: &TestServer) -> Vec<std::path::PathBuf> {
    fn files(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() { files(&entry.path(), found) } else { found.push(entry.path()) }
        }
    }
    let mut found = Vec::new();
    files(&server.folder().join("blobs"), &mut found);
    found
}

on_both_profiles! {
    async fn only_the_signed_bytes_are_kept(profile: Profile) {
        let server = TestServer::start(profile).await;
        let firmware = draft(&server).await;
        let upload = async |bytes: &[u8]| server.upload(&firmware, "app.bin", bytes).await;
        upload(b"0123456789abcdeX").await.problem(422, "digest_mismatch");
        upload(b"short").await.problem(422, "size_mismatch");
        upload(b"0123456789abcdefg").await.problem(422, "size_mismatch");
        server.upload(&firmware, "other.bin", BYTES).await.problem(404, "not_found");
        // Without an announced length it is counted while it streams.
        let path = format!("/api/v1/firmware/{}/artifacts/app.bin", firmware.id);
        for bytes in [&b"short"[..], b"0123456789abcdef and so on"] {
            let chunks = futures::stream::iter([Ok::<_, std::io::Error>(bytes.to_vec())]);
            let request = server.admin_request(Method::PUT, &path).body(reqwest::Body::wrap_stream(chunks));
            let answered = answer(request).await;
            assert!(matches!(answered.status, 413 | 422), "{}", answered.text());
        }
        assert!(!is_uploaded(&server, &firmware).await);
        assert_eq!(leftovers(&server), [""; 0].map(std::path::PathBuf::from));

        assert_eq!(upload(BYTES).await.status, 200);
        assert!(is_uploaded(&server, &firmware).await);
        // Again is fine, whatever comes: what is there stays.
        assert_eq!(upload(BYTES).await.status, 200);
    }

    async fn a_cut_upload_leaves_nothing_and_can_be_repeated(profile: Profile) {
        let server = TestServer::start(profile).await;
        let firmware = draft(&server).await;
        let path = format!("/api/v1/firmware/{}/artifacts/app.bin", firmware.id);
        for half_only in [true, false] {
            let answered = cut_upload(&server, &path, half_only).await;
            assert!(!answered.starts_with("HTTP/1.1 200"), "{answered}");
        }
        let object = cut_upload(&server, "/api/v1/objects/cut.bin", true).await;
        assert!(!object.starts_with("HTTP/1.1 201"), "{object}");
        eventually("what was half written to be removed", async || leftovers(&server).is_empty().then_some(())).await;
        assert!(!is_uploaded(&server, &firmware).await);
        assert_eq!(server.admin().objects(&ObjectFilter::default(), 10).await.unwrap().items, []);

        assert_eq!(server.upload(&firmware, "app.bin", BYTES).await.status, 200);
        let published = server.admin().publish_firmware(firmware.id).await.unwrap();
        let download =
            answer(server.admin_request(Method::GET, &format!("/api/v1/firmware/{}/download", published.id))).await;
        assert_eq!(answer(server.raw().get(download.header("location"))).await.body, BYTES);
    }

    async fn too_large_is_refused_before_it_is_stored(profile: Profile) {
        let mut options = ServerOptions::new(profile);
        options.settings.upload_max_bytes = 8;
        let server = options.start().await;
        let firmware = draft(&server).await;
        server.upload(&firmware, "app.bin", BYTES).await.problem(413, "too_large");
        refused(server.admin_request(Method::PUT, "/api/v1/objects/large.bin").body(BYTES), 413, "too_large").await;
        let chunks = futures::stream::iter([Ok::<_, std::io::Error>(BYTES.to_vec())]);
        let streamed =
            server.admin_request(Method::PUT, "/api/v1/objects/large.bin").body(reqwest::Body::wrap_stream(chunks));
        refused(streamed, 413, "too_large").await;
        assert_eq!(leftovers(&server), [""; 0].map(std::path::PathBuf::from));
        let fits = server.admin_request(Method::PUT, "/api/v1/objects/small.bin").body("12345678");
        assert_eq!(answer(fits).await.status, 201);
    }

    async fn devices_get_whole_files_parts_and_nothing_new(profile: Profile) {
        let server = TestServer::start(profile).await;
        let firmware = draft(&server).await;
        assert_eq!(server.upload(&firmware, "app.bin", BYTES).await.status, 200);
        let path = format!("/api/v1/firmware/{}/download", firmware.id);
        let url = answer(server.admin_request(Method::GET, &path)).await.header("location").to_owned();
        let get = || server.raw().get(&url);
        let whole = answer(get()).await;
        assert_eq!((whole.status, whole.body.as_slice()), (200, BYTES));
        assert_eq!((whole.header("accept-ranges"), whole.header("content-length")), ("bytes", "16"));
        let etag = whole.header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.len() > 2, "{etag}");

        let part = answer(get().header("range", "bytes=4-7")).await;
        assert_eq!((part.status, part.text().as_str(), part.header("content-range")), (206, "4567", "bytes 4-7/16"));
        let rest = answer(get().header("range", "bytes=10-").header("if-range", &etag)).await;
        assert_eq!((rest.status, rest.text().as_str()), (206, "abcdef"));
        let end = answer(get().header("range", "bytes=-3")).await;
        assert_eq!((end.status, end.text().as_str()), (206, "def"));
        let behind = answer(get().header("range", "bytes=16-")).await;
        assert_eq!((behind.status, behind.header("content-range")), (416, "bytes */16"));
        assert_eq!(answer(get().header("if-none-match", &etag)).await.status, 304);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_own_addresses_answer_head_and_are_bound_to_their_object() {
    let server = TestServer::start(Profile::Local).await;
    let firmware = draft(&server).await;
    assert_eq!(server.upload(&firmware, "app.bin", BYTES).await.status, 200);
    let path = format!("/api/v1/firmware/{}/download", firmware.id);
    let url = answer(server.admin_request(Method::GET, &path)).await.header("location").to_owned();
    let head = answer(server.raw().head(&url)).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "16", 0));
    // A range of another object's tag is the whole object.
    let other = server.raw().get(&url).header("range", "bytes=4-7").header("if-range", "\"other\"");
    assert_eq!(answer(other).await.status, 200);

    let parsed = reqwest::Url::parse(&url).unwrap();
    let without_query = {
        let mut url = parsed.clone();
        url.set_query(None);
        url
    };
    let other_object = {
        let mut url = parsed.clone();
        url.set_path(&format!("{}0", parsed.path()));
        url
    };
    let query = parsed.query().unwrap();
    let longer = {
        let mut url = parsed.clone();
        url.set_query(Some(&query.replacen("expires=", "expires=9", 1)));
        url
    };
    let twice = {
        let mut url = parsed.clone();
        url.set_query(Some(&format!("{query}&{query}")));
        url
    };
    for forged in [without_query, other_object, longer, twice] {
        refused(server.raw().get(forged), 403, "url_refused").await;
    }
    assert_eq!(answer(server.raw().put(&url).body("x")).await.status, 405);
}
