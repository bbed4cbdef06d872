//! A clock that tests can move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use drover_types::{Clock, SystemClock, Timestamp};

/// The machine's clock, moved by what a test says. It goes on by itself, so that things that are made one after the
/// other have different times.
#[derive(Debug, Default)]
pub struct SimClock {
    offset_micros: AtomicI64,
}

impl SimClock {
    /// Moves it ahead.
    pub fn advance(&self, duration: Duration) {
        self.offset_micros.fetch_add(micros(duration), Ordering::SeqCst);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).expect("tests do not move time by ages")
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().as_micros() + self.offset_micros.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_when_it_is_told_to() {
        let clock = SimClock::default();
        let early = clock.now();
        clock.advance(Duration::from_hours(1));
        let moved = clock.now().since(early);
        assert!((3_600..3_700).contains(&moved.as_secs()), "{moved:?}");
    }
}
