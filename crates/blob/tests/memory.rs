//! Uploads take constant memory. In a program of its own, as memory is counted per process.

mod support;

use std::sync::Arc;

use drover_blob::conformance::Content;
use drover_blob::{BlobStore, ExpectedContent, OpenOptions, PutError, StagedUpload, open};
use drover_types::UploadId;

const MIB: u64 = 1024 * 1024;
const GROWTH_LIMIT_BYTES: u64 = 60 * MIB;

/// The most memory that this process has held so far.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the state of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024
}

async fn upload(store: &Arc<dyn BlobStore>, what: &str) {
    let tenant = support::new_tenant();
    let warm_up = Content { seed: 1, size_bytes: MIB };
    store.put(tenant, None, u64::MAX, warm_up.stream()).await.expect("it is stored");
    let before_bytes = peak_bytes();
    let content = Content { seed: 2, size_bytes: 256 * MIB };
    let stored = store.put(tenant, None, 5 * 1024 * MIB, content.stream()).await.expect("it is stored");
    let grown_bytes = peak_bytes() - before_bytes;
    assert!(grown_bytes < GROWTH_LIMIT_BYTES, "{what}: an upload of 256 MiB took {grown_bytes} bytes of memory");
    store.delete(&stored.key).await.expect("it is removed");
    println!("{what}: grown by {} KiB", grown_bytes / 1024);
}

/// The same in parts of 64 MiB: neither a part nor the whole is ever held.
async fn upload_in_parts(store: &Arc<dyn BlobStore>, what: &str) {
    let (tenant, id) = (support::new_tenant(), UploadId(support::new_tenant().0));
    let part = Content { seed: 3, size_bytes: 64 * MIB };
    let token = store.stage(tenant, id, 4 * part.size_bytes).await.expect("it is staged");
    let upload = StagedUpload { tenant, id, token };
    let before_bytes = peak_bytes();
    let mut parts = Vec::new();
    for number in 1..=4 {
        parts.push(store.put_part(&upload, number, part.size_bytes, part.stream()).await.expect("it is kept"));
    }
    // Another digest than the parts have: everything is read back before that shows.
    let announced = ExpectedContent { size_bytes: 4 * part.size_bytes, sha256: part.expected().sha256 };
    let error = store.publish(&upload, &parts, &announced).await.expect_err("other bytes were announced");
    assert!(matches!(error, PutError::DigestMismatch { .. }), "{error:?}");
    let grown_bytes = peak_bytes() - before_bytes;
    assert!(grown_bytes < GROWTH_LIMIT_BYTES, "{what}: four parts of 64 MiB took {grown_bytes} bytes of memory");
    store.unstage(tenant, id).await.expect("it is cleared away");
    println!("{what}, in parts: grown by {} KiB", grown_bytes / 1024);
}

#[tokio::test]
async fn an_upload_takes_constant_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = support::serve_folder(&folder.path().join("blobs")).await;
    upload(&store, "the folder").await;
    upload_in_parts(&store, "the folder").await;
    let url = std::env::var("DROVER_TEST_S3");
    let url = url.expect("DROVER_TEST_S3 names no S3 server: start one: scripts/s3-server.sh, or `make test`");
    let options =
        OpenOptions { public_url: String::new(), signing_key: [0; 32], reserve_bytes: None, s3_credentials: None };
    let store = open(&url, options).expect("a store");
    upload(&store, "S3").await;
    upload_in_parts(&store, "S3").await;
}
