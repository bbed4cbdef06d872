//! The suite that every back-end passes. It panics with what is wrong.

mod content;
mod objects;
mod refusals;
mod staging;
mod urls;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use drover_types::{Clock, TenantId};

use crate::{BlobStore, ObjectKey};

pub use content::Content;

/// Tells what is in the store that is no object: temporary files, unfinished uploads.
pub type LeftBehind = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Vec<String>> + Send>> + Send + Sync>;

/// A store under test, which nobody else uses.
pub struct Harness {
    /// The store. Its presigned URLs must be served while the suite runs.
    pub store: Arc<dyn BlobStore>,
    /// Fetches presigned URLs.
    pub http: reqwest::Client,
    /// The owner of what the suite stores.
    pub tenant: TenantId,
    /// Somebody else.
    pub other_tenant: TenantId,
    /// The clock that whoever serves the URLs goes by.
    pub clock: Arc<dyn Clock>,
    /// What is left behind.
    pub left_behind: LeftBehind,
}

/// Runs every case. `harness.store` must be empty.
///
/// # Panics
///
/// When the store breaks its contract, with what is wrong.
pub async fn blob_suite(harness: &Harness) {
    harness.store.check().await.expect("the store is ready");
    objects::stored_content_comes_back(harness).await;
    objects::ranges_are_exact(harness).await;
    objects::a_second_put_is_success(harness).await;
    objects::a_large_upload_streams(harness).await;
    objects::what_is_deleted_is_gone(harness).await;
    refusals::wrong_uploads_leave_nothing(harness).await;
    refusals::an_upload_that_is_given_up_leaves_nothing(harness).await;
    staging::parts_come_in_any_order(harness).await;
    staging::the_last_of_a_part_counts(harness).await;
    staging::wrong_parts_change_nothing(harness).await;
    staging::what_is_not_as_announced_gets_no_name(harness).await;
    staging::nothing_stays_of_what_is_given_up(harness).await;
    staging::parts_go_to_urls(harness).await;
    urls::a_url_opens_its_object(harness).await;
    urls::a_changed_url_opens_nothing(harness).await;
    urls::an_expired_url_opens_nothing(harness).await;
    urls::what_cannot_be_signed_is_refused(harness).await;
    harness.store.check().await.expect("the store is still ready");
    harness.assert_nothing_left("the whole suite").await;
}

impl Harness {
    /// Stores `content` and returns its key.
    async fn put(&self, tenant: TenantId, content: &Content) -> ObjectKey {
        let stored = self.store.put(tenant, Some(&content.expected()), u64::MAX, content.stream()).await;
        stored.expect("the content is stored").key
    }

    /// Waits until nothing is left behind: an upload that is dropped is cleared in the background.
    async fn assert_nothing_left(&self, after: &str) {
        let mut left = Vec::new();
        let clean = wait_for(async || {
            left = (self.left_behind)().await;
            left.is_empty()
        })
        .await;
        assert!(clean, "after {after} there is left: {left:?}");
    }
}

/// Polls `condition` for up to 20 s.
async fn wait_for(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let polled = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), polled).await.is_ok()
}
