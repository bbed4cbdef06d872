//! Answers that nobody takes: how much memory they may cost.
//!
//! A connection has an allowance; what goes beyond it counts, of all connections together. When that is too much, whoever
//! has not taken enough gets no further answers, and those with most are cut off (`crowd.rs`). So memory is bounded by
//! the places times the allowance and one answer, and by the excess.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all connections may leave untaken beyond their allowances.
const EXCESS_MAX_BYTES: usize = 128 * 1024 * 1024;

/// So much is left when those who cause it were cut off.
pub(super) const EXCESS_LOW_BYTES: usize = EXCESS_MAX_BYTES / 4 * 3;

/// Whoever proved a credential may take one download at its own pace, a stranger some small answers.
const KNOWN_ALLOWANCE_BYTES: usize = 144 * 1024;
const STRANGER_ALLOWANCE_BYTES: usize = 16 * 1024;

/// What an answer costs besides its body.
pub(super) const ANSWER_BYTES: usize = 2 * 1024;

/// The excess of all connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Total(AtomicUsize);

impl Total {
    pub(super) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn is_too_much(&self) -> bool {
        self.bytes() > EXCESS_MAX_BYTES
    }
}

/// What one client has not taken.
pub(super) struct Untaken {
    bytes: usize,
    allowance_bytes: usize,
    /// Of this connection, as it is in the total.
    excess_bytes: usize,
    total: Arc<Total>,
}

impl Untaken {
    pub(super) fn nothing(total: Arc<Total>) -> Self {
        Self { bytes: 0, allowance_bytes: STRANGER_ALLOWANCE_BYTES, excess_bytes: 0, total }
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.count();
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.count();
    }

    pub(super) fn allow_a_download(&mut self) {
        self.allowance_bytes = self.allowance_bytes.max(KNOWN_ALLOWANCE_BYTES);
        self.count();
    }

    /// From now on it has none, whatever there is.
    pub(super) fn write_off(&mut self) {
        self.allowance_bytes = usize::MAX;
        self.count();
    }

    /// Whether its answers are among those that are too much.
    pub(super) fn must_take(&self) -> bool {
        self.excess_bytes > 0 && self.total.is_too_much()
    }

    pub(super) const fn excess_bytes(&self) -> usize {
        self.excess_bytes
    }

    fn count(&mut self) {
        let excess_bytes = self.bytes.saturating_sub(self.allowance_bytes);
        if excess_bytes > self.excess_bytes {
            self.total.0.fetch_add(excess_bytes - self.excess_bytes, Ordering::Relaxed);
        } else {
            self.total.0.fetch_sub(self.excess_bytes - excess_bytes, Ordering::Relaxed);
        }
        self.excess_bytes = excess_bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_goes_beyond_the_allowance_counts() {
        let total = Arc::new(Total::default());
        let (mut one, mut other) = (Untaken::nothing(Arc::clone(&total)), Untaken::nothing(Arc::clone(&total)));
        one.add(STRANGER_ALLOWANCE_BYTES);
        assert_eq!(total.bytes(), 0);
        one.add(5);
        other.add(STRANGER_ALLOWANCE_BYTES + 7);
        assert_eq!((total.bytes(), one.excess_bytes()), (12, 5));
        other.allow_a_download();
        assert_eq!(total.bytes(), 5, "it may take a download");
        one.remove(9);
        assert_eq!((total.bytes(), one.excess_bytes()), (0, 0));
    }

    #[test]
    fn whoever_is_cut_off_counts_no_more() {
        let total = Arc::new(Total::default());
        let mut untaken = Untaken::nothing(Arc::clone(&total));
        untaken.add(1_000_000);
        untaken.write_off();
        untaken.allow_a_download();
        untaken.add(1_000_000);
        assert_eq!((total.bytes(), untaken.excess_bytes()), (0, 0));
        untaken.remove(2_000_000);
        assert_eq!(total.bytes(), 0);
    }
}
