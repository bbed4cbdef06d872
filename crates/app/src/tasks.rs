//! What runs in the background of every node: level-triggered, idempotent, safe to run on many nodes.

mod archive;
mod audit_sequencer;
mod change_feed;
mod housekeeping;
mod last_seen;
mod ring;
mod rollout_driver;
mod stage_opening;
mod token_reader;
mod upload_driver;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::App;

/// Cleans up once, now: what the background task does every hour.
pub async fn clean_up(app: &App) {
    housekeeping::round(app, &CancellationToken::new()).await;
}

/// Starts all background tasks. They end soon after `stop` is cancelled; the tracker tells when.
pub fn start(app: &Arc<App>, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    tasks.spawn(change_feed::run(Arc::clone(app), stop.clone()).instrument(span("change_feed")));
    tasks.spawn(token_reader::run(Arc::clone(app), stop.clone()).instrument(span("token_reader")));
    tasks.spawn(last_seen::run(Arc::clone(app), stop.clone()).instrument(span("last_seen")));
    tasks.spawn(rollout_driver::run(Arc::clone(app), stop.clone()).instrument(span("rollout_driver")));
    tasks.spawn(audit_sequencer::run(Arc::clone(app), stop.clone()).instrument(span("audit_sequencer")));
    tasks.spawn(housekeeping::run(Arc::clone(app), stop.clone()).instrument(span("housekeeping")));
    tasks.spawn(upload_driver::run(Arc::clone(app), stop.clone()).instrument(span("upload_driver")));
    tasks.close();
    tasks
}

/// What every line of a task is marked with. Of the highest level, so that it is there whatever is logged.
fn span(task: &'static str) -> tracing::Span {
    tracing::error_span!("task", task, lease = Empty)
}

/// Marks the lines that follow with the lease under which the task works.
fn note_lease(lease: Option<&drover_db::Lease>) {
    if let Some(lease) = lease {
        tracing::Span::current().record("lease", lease.token);
    }
}
