//! How long devices wait between checks.

use std::time::Duration;

use crate::App;

/// A device whose offer waits for a free place comes back after this share of the usual time …
const SOONER: u32 = 4;
/// … but not before this: its limit of checks per minute shall not stop it.
const SOONEST: Duration = Duration::from_secs(8);

impl App {
    /// The usual time, for one device.
    pub(crate) fn poll_interval_ms(&self) -> u64 {
        self.spread(self.settings.poll_interval)
    }

    /// For a device that was chosen and waits for a free place.
    pub(crate) fn poll_soon_ms(&self) -> u64 {
        let usual = self.settings.poll_interval;
        self.spread((usual / SOONER).max(SOONEST).min(usual))
    }

    fn spread(&self, interval: Duration) -> u64 {
        spread(interval, u32::try_from(self.draw(PARTS)).unwrap_or(0))
    }
}

const PARTS: u32 = 201;

/// A tenth to either side, so that a fleet that started together does not stay together. `drawn`: 0 to 200.
fn spread(interval: Duration, drawn: u32) -> u64 {
    let interval = interval.saturating_mul(900 + drawn) / 1_000;
    u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_to_either_side() {
        let spread = |drawn| spread(Duration::from_secs(30), drawn);
        assert_eq!((spread(0), spread(100), spread(PARTS - 1)), (27_000, 30_000, 33_000));
    }
}
