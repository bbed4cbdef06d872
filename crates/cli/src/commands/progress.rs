//! Progress bars of transfers, on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::client::Progress;
use crate::output::{Output, Terminal};

const TEMPLATE: &str = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";

/// A bar, or an invisible one with `--json` or without a terminal.
pub(super) fn bar(out: &Output<'_>, what: &str, size_bytes: u64) -> ProgressBar {
    bar_for(out.terminal, out.json, what, size_bytes)
}

/// The same where the output itself cannot be shared.
pub(super) fn bar_for(terminal: Terminal, json: bool, what: &str, size_bytes: u64) -> ProgressBar {
    let is_shown = terminal.error && !json;
    let target = if is_shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(size_bytes), target).with_message(what.to_owned());
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// What moves a bar.
pub(super) fn into(bar: &ProgressBar) -> Progress {
    let bar = bar.clone();
    Progress::new(move |done_bytes| bar.set_position(done_bytes))
}
