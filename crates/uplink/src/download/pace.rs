//! A server that hands out a byte now and then does not keep a device for ever.

use std::time::Duration;

/// A download is given up when it gets fewer bytes than this in a period of waiting for them. A throttle of the
/// device's own does not count: while it holds back, nothing is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    /// So many bytes in each period.
    pub bytes: u64,
    /// Length of the period: time spent waiting for bytes.
    pub period: Duration,
}

impl MinRate {
    /// 64 KiB in 10 minutes: less than any link that firmware can be expected to come over.
    pub const DEFAULT: Self = Self { bytes: 64 * 1024, period: Duration::from_mins(10) };
}

/// Measures a download against its least rate.
pub(super) struct Pace {
    min_rate: MinRate,
    bytes: u64,
    waited: Duration,
}

impl Pace {
    pub(super) const fn new(min_rate: MinRate) -> Self {
        Self { min_rate, bytes: 0, waited: Duration::ZERO }
    }

    /// How long the next bytes may take before the period is over.
    pub(super) const fn left(&self) -> Duration {
        self.min_rate.period.saturating_sub(self.waited)
    }

    /// Counts bytes that were waited for. Enough of them begin a new period.
    pub(super) fn count(&mut self, bytes: u64, waited: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        if self.bytes >= self.min_rate.bytes {
            *self = Self::new(self.min_rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_period_ends_with_its_bytes_or_with_its_time() {
        let mut pace = Pace::new(MinRate { bytes: 10, period: 5 * SECOND });
        pace.count(9, 4 * SECOND);
        assert_eq!(pace.left(), SECOND);
        pace.count(1, SECOND / 2);
        assert_eq!(pace.left(), 5 * SECOND);
        for _ in 0..9 {
            pace.count(1, SECOND);
        }
        assert_eq!(pace.left(), Duration::ZERO);
    }
}
