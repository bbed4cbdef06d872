//! Lines about requests that were refused or failed: of each kind so many in a second, the others are counted. Whoever
//! floods a server must not fill its log, nor keep it busy with writing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const LINES_MAX: u32 = 100;
const PERIOD: Duration = Duration::from_secs(1);

/// Requests that failed.
pub(crate) static FAILED: LogLimit = LogLimit::new("requests failed");
/// Log-ins that were refused.
pub(crate) static LOG_INS: LogLimit = LogLimit::new("log-ins were refused");
/// How requests were answered that were refused or failed.
pub(crate) static ANSWERED: LogLimit = LogLimit::new("requests were answered with an error");

/// The lines of one kind.
pub(crate) struct LogLimit {
    what: &'static str,
    period: Mutex<Option<Period>>,
}

#[derive(Clone, Copy)]
struct Period {
    since: Instant,
    lines: u32,
}

impl LogLimit {
    const fn new(what: &'static str) -> Self {
        Self { what, period: Mutex::new(None) }
    }

    /// Whether there is room for one more line.
    pub(crate) fn has_room(&self) -> bool {
        let (has_room, passed_over) = self.count(Instant::now());
        if passed_over > 0 {
            // Not in the span of a request that has nothing to do with it.
            tracing::warn!(parent: None, lines = passed_over, "more {} than the log has room for", self.what);
        }
        has_room
    }

    /// Whether there is room, and how many lines there were too many in a period that is over.
    fn count(&self, now: Instant) -> (bool, u32) {
        let mut period = self.period.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *period;
        let current = before.filter(|before| now.saturating_duration_since(before.since) < PERIOD);
        let current = current.map_or(Period { since: now, lines: 1 }, |current| Period {
            lines: current.lines.saturating_add(1),
            ..current
        });
        *period = Some(current);
        let over = before.filter(|_| current.lines == 1).map_or(0, |before| before.lines.saturating_sub(LINES_MAX));
        (current.lines <= LINES_MAX, over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_line_that_tells_how_much_it_was() {
        let (limit, start) = (LogLimit::new("requests failed"), Instant::now());
        let lines = (0..LINES_MAX + 50).filter(|_| limit.count(start) == (true, 0)).count();
        assert_eq!(lines, LINES_MAX as usize);
        assert_eq!(limit.count(start + PERIOD), (true, 50));
        assert_eq!(limit.count(start + PERIOD), (true, 0), "told once");
        assert_eq!(limit.count(start + 9 * PERIOD), (true, 0));
    }
}
