//! How long a URL lives.

use std::time::Duration;

use drover_types::Timestamp;

use crate::PresignError;

/// The longest that S3 allows; the folder keeps to it, so that both are alike.
const MAX_SECONDS: u64 = 7 * 24 * 3600;

/// Whole seconds of `ttl`, 1 s to 7 days.
pub(crate) fn seconds(ttl: Duration) -> Result<u64, PresignError> {
    let seconds = ttl.as_secs();
    let whole_range = 1..=MAX_SECONDS;
    if whole_range.contains(&seconds) { Ok(seconds) } else { Err(PresignError::Ttl { ttl }) }
}

/// The second in which a URL made at `now` expires, as S3 counts: both numbers in whole seconds.
pub(crate) fn expiry(now: Timestamp, ttl_seconds: u64) -> Timestamp {
    let whole = Timestamp::from_micros(now.as_micros() - now.as_micros().rem_euclid(1_000_000));
    whole.plus(Duration::from_secs(ttl_seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_seconds_within_the_limits() {
        assert_eq!(expiry(Timestamp::from_micros(5_900_000), 2), Timestamp::from_micros(7_000_000));
        assert_eq!(seconds(Duration::from_millis(1999)).expect("in range"), 1);
        assert!(seconds(Duration::from_millis(999)).is_err());
        assert!(seconds(Duration::from_secs(MAX_SECONDS + 1)).is_err());
    }
}
