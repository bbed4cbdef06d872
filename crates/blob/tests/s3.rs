//! A bucket passes the suite, on a real server.

use std::sync::Arc;
use std::time::Duration;

use drover_blob::conformance::{Harness, LeftBehind, blob_suite};
use drover_blob::{OpenOptions, open};
use drover_types::{SystemClock, TenantId, Timestamp};
use futures::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};

/// A bucket under a prefix that no other test uses.
fn url_with_prefix(prefix: &str) -> String {
    let url = std::env::var("DROVER_TEST_S3");
    let url = url.expect("DROVER_TEST_S3 names no S3 server: start one: scripts/s3-server.sh, or `make test`");
    let (bucket, options) = url.split_once('?').expect("s3://bucket?endpoint=…");
    format!("{bucket}/{prefix}?{options}")
}

fn options() -> OpenOptions {
    OpenOptions { public_url: String::new(), signing_key: [0; 32], reserve_bytes: None, s3_credentials: None }
}

fn random() -> u128 {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("randomness");
    u128::from_be_bytes(bytes)
}

/// Looks into the bucket past the store.
fn raw_client(url: &str) -> AmazonS3 {
    let parsed = url::Url::parse(url).expect("a URL");
    let endpoint = parsed.query_pairs().find(|(name, _)| name == "endpoint").expect("an endpoint").1.into_owned();
    AmazonS3Builder::from_env()
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_bucket_name(parsed.host_str().expect("a bucket"))
        .build()
        .expect("a client")
}

/// Temporary objects, and uploads in parts that were neither completed nor aborted.
fn left_behind(url: &str, prefix: String, http: reqwest::Client) -> LeftBehind {
    let client = raw_client(url);
    Box::new(move || {
        let (client, prefix, http) = (client.clone(), prefix.clone(), http.clone());
        Box::pin(async move {
            let mut left = Vec::new();
            for folder in ["tmp", "uploads"] {
                let found = client.list(Some(&Path::from(format!("{prefix}/{folder}"))));
                let objects: Vec<_> = found.try_collect().await.expect("a list of objects");
                left.extend(objects.into_iter().map(|object| object.location.to_string()));
            }
            let query = SignedUrlOptions::default().with_query([("uploads", "")]);
            let signed = client.signed_url_opts(Method::GET, &Path::from(""), Duration::from_mins(1), &query).await;
            let answer = http.get(signed.expect("a URL")).send().await.expect("an answer");
            assert!(answer.status().is_success(), "uploads cannot be listed: {}", answer.status());
            let uploads = answer.text().await.expect("a list of uploads");
            assert!(uploads.contains("<ListMultipartUploadsResult"), "{uploads}");
            left.extend(uploads.split("<Key>").skip(1).filter(|key| key.starts_with(&prefix)).map(str::to_owned));
            left
        })
    })
}

#[tokio::test]
async fn a_bucket_passes_the_suite() {
    let prefix = format!("suite-{:032x}", random());
    let url = url_with_prefix(&prefix);
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let harness = Harness {
        store: open(&url, options()).expect("a store"),
        http: http.clone(),
        tenant: TenantId::generate(Timestamp::from_micros(0), random()),
        other_tenant: TenantId::generate(Timestamp::from_micros(0), random()),
        clock: Arc::new(SystemClock),
        left_behind: left_behind(&url, prefix, http),
    };
    blob_suite(&harness).await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_not_ready() {
    let url = url_with_prefix("x").replace("s3://", "s3://no-such-");
    let error = open(&url, options()).expect("opening sends nothing").check().await;
    assert!(error.is_err());
}

#[tokio::test]
async fn urls_name_the_public_endpoint() {
    let url = format!("{}&public_endpoint=https://s3.example.org", url_with_prefix("x"));
    let store = open(&url, options()).expect("a store");
    let tenant = TenantId::generate(Timestamp::from_micros(0), random());
    let key = drover_blob::ObjectKey::content(tenant, drover_types::Sha256Digest::from_bytes([1; 32]));
    let now = Timestamp::from_micros(0);
    let signed = store.presign(drover_blob::PresignMethod::Get, &key, Duration::from_mins(1), now, None).await;
    let url = signed.expect("a URL").url;
    assert!(url.starts_with(&format!("https://s3.example.org/drover-test/x/{key}?")), "{url}");
}
