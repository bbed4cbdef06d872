//! Durations such as `10m` and `1h30m`.

use std::time::Duration;

use super::Unreadable;

const EXPECTED: &str = "a duration such as 90s, 10m, 1h30m or 2d";
/// Longest unit first, as they are written.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A duration in whole milliseconds, up to some 500 million years: the server knows the limit of each use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HumanDuration {
    ms: u64,
}

impl HumanDuration {
    /// In milliseconds.
    pub(crate) const fn as_ms(self) -> u64 {
        self.ms
    }

    /// As the standard library has it.
    pub(crate) const fn as_duration(self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

impl From<Duration> for HumanDuration {
    fn from(duration: Duration) -> Self {
        Self { ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX) }
    }
}

impl std::str::FromStr for HumanDuration {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map(|ms| Self { ms }).ok_or_else(|| Unreadable::new(EXPECTED, text))
    }
}

/// Each unit at most once, the longer before the shorter.
fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total_ms = 0_u64;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits_end = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits_end].parse().ok()?;
        let tail = &rest[digits_end..];
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (_, unit_ms) = units.find(|(unit, _)| *unit == &tail[..unit_end])?;
        total_ms = total_ms.checked_add(number.checked_mul(*unit_ms)?)?;
        rest = &tail[unit_end..];
    }
    (!text.is_empty()).then_some(total_ms)
}

impl std::fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.ms == 0 {
            return f.pad("0s");
        }
        let mut rest_ms = self.ms;
        let mut text = String::new();
        for (unit, unit_ms) in UNITS {
            let count = rest_ms / unit_ms;
            rest_ms %= unit_ms;
            if count > 0 {
                text.push_str(&count.to_string());
                text.push_str(unit);
            }
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_usual_spellings() {
        let ms = |text: &str| text.parse::<HumanDuration>().map(HumanDuration::as_ms);
        assert_eq!(ms("10m"), Ok(600_000));
        assert_eq!(ms("1h30m"), Ok(5_400_000));
        assert_eq!(ms("2d"), Ok(172_800_000));
        assert_eq!(ms("1s500ms"), Ok(1_500));
        for bad in ["", "10", "m", "10 m", "-1s", "1m1h", "1m1m", "1.5h", "1w", "99999999999999999999s", "1é"] {
            assert!(ms(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_and_back(ms: u64) {
            let duration = HumanDuration { ms };
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }

        #[test]
        fn no_text_is_too_strange(text: String) {
            let _ = text.parse::<HumanDuration>();
        }
    }
}
