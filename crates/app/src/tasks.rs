//! What runs in the background of every node: level-triggered, idempotent, safe to run on many nodes.

mod archive;
mod audit_sequencer;
mod change_feed;
mod housekeeping;
mod last_seen;
mod rollout_driver;
mod stage_opening;
mod upload_driver;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{App, Result};

/// Cleans up once, now: what the background task does every hour.
pub async fn clean_up(app: &App) -> Result<()> {
    housekeeping::round(app, &CancellationToken::new()).await
}

/// Starts all background tasks. They end soon after `stop` is cancelled; the tracker tells when.
pub fn start(app: &Arc<App>, stop: &CancellationToken) -> TaskTracker {
    let tasks = TaskTracker::new();
    tasks.spawn(change_feed::run(Arc::clone(app), stop.clone()));
    tasks.spawn(last_seen::run(Arc::clone(app), stop.clone()));
    tasks.spawn(rollout_driver::run(Arc::clone(app), stop.clone()));
    tasks.spawn(audit_sequencer::run(Arc::clone(app), stop.clone()));
    tasks.spawn(housekeeping::run(Arc::clone(app), stop.clone()));
    tasks.spawn(upload_driver::run(Arc::clone(app), stop.clone()));
    tasks.close();
    tasks
}
