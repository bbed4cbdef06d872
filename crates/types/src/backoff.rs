//! How long to wait before the next try.

use std::time::Duration;

/// Exponential backoff with full jitter, bounded on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The shortest wait, and the base of the growth.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Backoff {
    /// The wait before try number `attempt` (0 is the first retry). `random` in `0.0..1.0` spreads a
    /// fleet that failed together: the wait lies between `min` and the doubled-per-attempt ceiling.
    pub fn delay(self, attempt: u32, random: f64) -> Duration {
        let ceiling = self.min.saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX)).min(self.max);
        let spread = ceiling.saturating_sub(self.min);
        self.min.min(self.max) + spread.mul_f64(random.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_delay_stays_between_its_bounds(attempt in 0_u32..1000, random in 0.0_f64..1.0) {
            let backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_mins(1) };
            let delay = backoff.delay(attempt, random);
            proptest::prop_assert!(delay >= backoff.min && delay <= backoff.max);
        }
    }

    #[test]
    fn the_ceiling_doubles() {
        let backoff = Backoff { min: Duration::from_secs(1), max: Duration::from_mins(1) };
        assert_eq!(backoff.delay(0, 1.0), Duration::from_secs(1));
        assert_eq!(backoff.delay(3, 1.0), Duration::from_secs(8));
        assert_eq!(backoff.delay(9, 1.0), Duration::from_mins(1));
    }
}
