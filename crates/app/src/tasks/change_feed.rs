//! Reads what changed, so that what this node keeps in memory stays right. Ends the node when the installation was moved
//! away: what it did here would be lost there.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;

/// How often this node looks when nobody pokes it: how late it hears of what other nodes changed.
const INTERVAL: Duration = Duration::from_millis(500);

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut failed = false;
    while !stop.is_cancelled() {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = app.look_at_changes() => looked,
        };
        if let Some(moved) = app.feed.moved() {
            tracing::error!(target = %moved.target, moved_at = %moved.moved_at, "this installation was moved; this server ends");
            stop.cancel();
            return;
        }
        match looked {
            Ok(()) if failed => tracing::info!("changes can be read again"),
            Err(ref error) if !failed => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "failed to read what changed; this node soon offers nothing; trying again");
            }
            Ok(()) | Err(_) => {}
        }
        failed = looked.is_err();
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.feed.poke.notified(), if !failed => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}
