//! Lines about requests that were refused or failed: so many in a second, the others are counted. Whoever floods a server
//! must not fill its log, nor keep it busy with writing.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const LINES_MAX: u32 = 200;
const PERIOD: Duration = Duration::from_secs(1);

/// Whether there is room for one more line about a refusal.
pub(crate) fn has_room() -> bool {
    static LIMIT: LogLimit = LogLimit::new();
    let (has_room, passed_over) = LIMIT.count(Instant::now());
    if passed_over > 0 {
        tracing::warn!(lines = passed_over, "more requests were refused or failed than the log has room for");
    }
    has_room
}

struct LogLimit {
    period: Mutex<Option<Period>>,
}

#[derive(Clone, Copy)]
struct Period {
    since: Instant,
    lines: u32,
}

impl LogLimit {
    const fn new() -> Self {
        Self { period: Mutex::new(None) }
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
        let (limit, start) = (LogLimit::new(), Instant::now());
        let lines = (0..LINES_MAX + 50).filter(|_| limit.count(start) == (true, 0)).count();
        assert_eq!(lines, LINES_MAX as usize);
        assert_eq!(limit.count(start + PERIOD), (true, 50));
        assert_eq!(limit.count(start + PERIOD), (true, 0), "told once");
        assert_eq!(limit.count(start + 9 * PERIOD), (true, 0));
    }
}
