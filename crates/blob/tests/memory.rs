//! Uploads take constant memory. In a program of its own, as memory is counted per process.

mod support;

use std::sync::Arc;

use drover_blob::conformance::Content;
use drover_blob::{BlobStore, OpenOptions, open};

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

#[tokio::test]
async fn an_upload_takes_constant_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    upload(&support::serve_folder(&folder.path().join("blobs")).await, "the folder").await;
    let url = std::env::var("DROVER_TEST_S3");
    let url = url.expect("DROVER_TEST_S3 names no S3 server: start one: scripts/s3-server.sh, or `make test`");
    let options =
        OpenOptions { public_url: String::new(), signing_key: [0; 32], reserve_bytes: None, s3_credentials: None };
    upload(&open(&url, options).expect("a store"), "S3").await;
}
