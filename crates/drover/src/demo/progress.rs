//! What the demo says while it runs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Mutex;

use drover_api::Rollout;
use drover_types::StageState;

/// Lines on standard output; the last one is redrawn when that is a terminal.
pub(super) struct Progress {
    shown: bool,
    redraws: bool,
    last: Mutex<String>,
}

impl Progress {
    pub(super) fn new(shown: bool) -> Self {
        Self { shown, redraws: std::io::stdout().is_terminal(), last: Mutex::new(String::new()) }
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        self.finish_line();
        self.print(&format!("{text}\n"));
    }

    /// How a rollout is doing.
    pub(super) fn rollout(&self, rollout: &Rollout) {
        let text = line(rollout);
        let Ok(mut last) = self.last.lock() else { return };
        if *last == text {
            return;
        }
        self.print(&if self.redraws { format!("\r\x1b[2K{text}") } else { format!("{text}\n") });
        *last = text;
    }

    fn finish_line(&self) {
        let Ok(mut last) = self.last.lock() else { return };
        if self.redraws && !last.is_empty() {
            self.print("\n");
        }
        last.clear();
    }

    fn print(&self, text: &str) {
        if !self.shown {
            return;
        }
        let mut out = std::io::stdout();
        // Nobody reads any more: the work goes on all the same.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

fn line(rollout: &Rollout) -> String {
    let counts = &rollout.counts;
    let total = counts.pending + counts.in_flight + counts.succeeded + counts.failed;
    let open = rollout.stages.iter().rev().find(|stage| stage.status != StageState::Waiting);
    let stage =
        open.map_or_else(String::new, |stage| format!("{} {:>3} %  ", stage.name, stage.percentage.unwrap_or(100)));
    format!(
        "   {stage}{:<12} {} of {total} chosen: {} done, {} failed, {} at work",
        rollout.status.as_str(),
        bar(counts.succeeded + counts.failed, total),
        counts.succeeded,
        counts.failed,
        counts.in_flight
    )
}

fn bar(done: u64, total: u64) -> String {
    let filled = (done * 20).checked_div(total).map_or(0, |filled| usize::try_from(filled).unwrap_or(20));
    format!("[{}{}]", "#".repeat(filled), ".".repeat(20 - filled))
}
