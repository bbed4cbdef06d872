use super::*;
use crate::conformance::Content;
use crate::location::Location;
use crate::{StagedUpload, StagingStore};

fn store(prefix: String) -> S3Store {
    store_at(prefix, None)
}

fn store_at(prefix: String, endpoint: Option<String>) -> S3Store {
    let url = std::env::var("DROVER_TEST_S3");
    let url = url.expect("DROVER_TEST_S3 names no S3 server: start one: scripts/s3-server.sh, or `make test`");
    let Ok(Location::S3(mut location)) = url.parse() else { panic!("DROVER_TEST_S3 is no s3:// URL") };
    location.prefix = prefix;
    location.endpoint = endpoint.or(location.endpoint);
    let read = |name| std::env::var(name).expect("credentials of the S3 server");
    let credentials = S3Credentials {
        access_key_id: read("AWS_ACCESS_KEY_ID"),
        secret_access_key: read("AWS_SECRET_ACCESS_KEY"),
        session_token: None,
    };
    S3Store::new(&location, &credentials).expect("a store")
}

#[test]
fn only_our_own_names_are_swept() {
    let id = uuid::Uuid::from_u128(1);
    let token = random::token().expect("randomness");
    let content = ObjectKey::content(TenantId(id), drover_types::Sha256Digest::from_bytes([1; 32]));
    for prefix in ["", "a/b"] {
        let store = store(prefix.to_owned());
        let key = |name: &str| store.below_prefix(name).to_string();
        for ours in [format!("tmp/{token}"), format!("uploads/{id}/{id}"), content.to_string()] {
            assert!(store.is_ours(&key(&ours)), "{ours}");
            assert!(!store.is_ours(&format!("other/{}", key(&ours))), "{ours}");
        }
        for theirs in ["tmp/report.pdf", "uploads/2026/photo.jpg", "uploads/x", "t/x", "tmp", "backup/tmp"] {
            assert!(!store.is_ours(&key(theirs)), "{theirs}");
        }
    }
}

/// Stands for an object beyond what S3 copies in one request: the limit is set low, the way is the same.
#[tokio::test]
async fn an_object_too_long_to_be_copied_passes_through() {
    let mut store = store(format!("copy-{}", random::token().expect("randomness")));
    store.copy_limit_bytes = 1024;

    let content = Content { seed: 6, size_bytes: 17 * 1024 * 1024 + 3 };
    let expected = content.expected();
    let tenant = TenantId(uuid::Uuid::from_u128(1));
    let stored = store.put(tenant, None, content.size_bytes, content.stream()).await.expect("it is stored");
    assert_eq!((stored.sha256, stored.already_there), (expected.sha256, false));
    let body = store.get(&stored.key, None).await.expect("it is there");
    let other_tenant = TenantId(uuid::Uuid::from_u128(2));
    let checked = store.put(other_tenant, Some(&expected), u64::MAX, body).await;
    assert!(checked.is_ok(), "what comes back is not what was stored: {checked:?}");
    let temporary = object_store::ObjectStore::list(&store.client, Some(&store.below_prefix("tmp")));
    assert_eq!(temporary.count().await, 0, "the temporary object stays");
}

const SILENCE: Duration = Duration::from_millis(200);

fn staged(token: String) -> StagedUpload {
    let id = uuid::Uuid::from_u128(7);
    StagedUpload { tenant: TenantId(id), id: drover_types::UploadId(id), token }
}

/// A sender on a slow line: it is silent for longer than S3 may be.
#[tokio::test]
async fn a_part_may_come_slowly() {
    let mut store = store(format!("slow-{}", random::token().expect("randomness")));
    store.silence_max = SILENCE;
    let chunk = bytes::Bytes::from_static(&[7; 1000]);
    let slowly = futures::stream::unfold(0, move |sent| {
        let chunk = chunk.clone();
        async move {
            let pause = if sent == 1 { SILENCE * 2 } else { SILENCE / 2 };
            tokio::time::sleep(pause).await;
            (sent < 6).then_some((Ok(chunk), sent + 1))
        }
    });
    let upload = staged(String::new());
    let token = store.stage(upload.tenant, upload.id, 6000).await.expect("it is begun");
    let upload = StagedUpload { token, ..upload };
    let part = store.put_part(&upload, 1, 6000, Box::pin(slowly)).await.expect("it is taken");
    assert_eq!(part.size_bytes, 6000);
    store.unstage(upload.tenant, upload.id).await.expect("it is cleared away");
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let mut store = store_at(String::new(), Some(endpoint));
    store.silence_max = SILENCE;
    let whole = Content { seed: 1, size_bytes: 8 * 1024 * 1024 };
    let refused = store.put_part(&staged("token".to_owned()), 1, whole.size_bytes, whole.stream()).await;
    let Err(PutError::Unavailable { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("neither took more"), "{source}");
}
