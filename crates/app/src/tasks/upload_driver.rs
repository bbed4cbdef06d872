//! Looks at uploads when their time has come: verifies, gives up, clears away.
//!
//! Every node does; a claim keeps two from doing the same at once, and nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use drover_store::uploads;
use tokio_util::sync::CancellationToken;

use crate::{App, Result};

/// How often a node looks when nobody pokes it.
const INTERVAL: Duration = Duration::from_secs(5);
/// Uploads per round.
const UPLOADS_MAX: i64 = 100;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            looked = round(&app) => {
                if let Err(error) = looked {
                    tracing::warn!(error = &error as &dyn std::error::Error, "failed to look at uploads; trying again");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = app.poke_uploads.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn round(app: &App) -> Result<()> {
    for due in uploads::due(&app.db, app.now(), UPLOADS_MAX).await? {
        // One that cannot be finished must not stop the others.
        if let Err(error) = app.look_at_upload(due).await {
            tracing::warn!(error = &error as &dyn std::error::Error, upload = %due.id, "failed to end an upload");
        }
    }
    Ok(())
}
