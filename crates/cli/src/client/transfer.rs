//! How far a transfer has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::ClientError;

/// A transfer that does not move for this long is given up.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_mins(2);

/// Is told how many bytes of a transfer are done. A repeated attempt starts again at 0.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(u64) + Send + Sync>);

impl Progress {
    /// Calls `report` with the number of bytes that are done.
    pub fn new(report: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Arc::new(report))
    }

    /// Tells nobody.
    pub fn none() -> Self {
        Self::new(|_| ())
    }
}

/// Counts a transfer that several attempts are parts of.
#[derive(Clone)]
pub(crate) struct Total {
    done_bytes: Arc<AtomicU64>,
    progress: Progress,
}

impl Total {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { done_bytes: Arc::default(), progress }
    }

    pub(crate) fn add(&self, bytes: u64) {
        let done = self.done_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        (self.progress.0)(done);
    }

    /// An attempt failed: what it sent does not count.
    pub(crate) fn take_back(&self, bytes: u64) {
        let done = self.done_bytes.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        (self.progress.0)(done);
    }
}

/// Counts one attempt of a transfer.
#[derive(Clone)]
pub(crate) struct Meter {
    done_bytes: Arc<AtomicU64>,
    progress: Progress,
}

impl Meter {
    pub(crate) fn new(progress: &Progress) -> Self {
        (progress.0)(0);
        Self { done_bytes: Arc::default(), progress: progress.clone() }
    }

    pub(crate) fn add(&self, bytes: usize) {
        let added = u64::try_from(bytes).unwrap_or(u64::MAX);
        let done = self.done_bytes.fetch_add(added, Ordering::Relaxed).saturating_add(added);
        (self.progress.0)(done);
    }

    pub(crate) fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Ends with an error once nothing moves any more.
    pub(crate) async fn stalled(&self) -> ClientError {
        let mut seen_bytes = self.done_bytes();
        loop {
            tokio::time::sleep(STALL_TIMEOUT).await;
            let done_bytes = self.done_bytes();
            if done_bytes == seen_bytes {
                return ClientError::Stalled { after: STALL_TIMEOUT };
            }
            seen_bytes = done_bytes;
        }
    }
}
