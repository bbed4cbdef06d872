//! Writes down when devices were last heard of.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::App;

const INTERVAL: Duration = Duration::from_secs(2);

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        app.write_due_sightings().await;
    }
}
