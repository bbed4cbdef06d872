//! Whether a transfer moves fast enough to be meant.

use std::time::Duration;

use tokio::time::Instant;

/// Less than this in a period serves nobody: the same limit as devices have for their downloads.
const LEAST_BYTES: u64 = 64 * 1024;
const PERIOD: Duration = Duration::from_mins(10);

/// The bytes of the period that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// A transfer begins.
    pub(crate) const fn begin(now: Instant) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Bytes moved.
    pub(crate) const fn count(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Whether a period is over in which too little moved; begins the next one.
    pub(crate) fn is_too_slow(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) < PERIOD {
            return false;
        }
        let too_slow = self.bytes < LEAST_BYTES;
        *self = Self::begin(now);
        too_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_now_and_then_is_not_enough() {
        let began = Instant::now();
        let mut pace = Pace::begin(began);
        let after = |minutes| began + Duration::from_mins(minutes);
        pace.count(60_000);
        assert!(!pace.is_too_slow(after(9)), "the period runs");
        pace.count(10_000);
        assert!(!pace.is_too_slow(after(10)));
        pace.count(60_000);
        assert!(pace.is_too_slow(after(20)), "each period counts for itself");
    }
}
