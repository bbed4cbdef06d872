//! One virtual device.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_agent::{Agent, AgentState};
use drover_types::Backoff;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Waits after a failed round.
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(5) };

/// A device whose agent runs in this process.
#[derive(Debug)]
pub struct VirtualDevice {
    hardware_id: String,
    folder: PathBuf,
    state: watch::Receiver<AgentState>,
}

impl VirtualDevice {
    pub(crate) fn new(hardware_id: String, folder: PathBuf, state: watch::Receiver<AgentState>) -> Self {
        Self { hardware_id, folder, state }
    }

    /// Its serial number.
    pub fn hardware_id(&self) -> &str {
        &self.hardware_id
    }

    /// Its folder: `DROVER_DEVICE_DIR` of its hooks.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What its agent is doing.
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.state.clone()
    }

    /// The content of what its component `main` runs.
    pub fn running_root(&self) -> PathBuf {
        self.folder.join("components/main/CURRENT/root")
    }
}

/// Rounds of the agent while the device has coverage.
pub(crate) async fn live(mut agent: Agent, mut coverage: watch::Receiver<bool>, stop: CancellationToken) {
    let mut failures = 0;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            covered = coverage.wait_for(|covered| *covered) => if covered.is_err() { return },
        }
        let wait = match agent.tick().await {
            Ok(wait) => {
                failures = 0;
                wait
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "a virtual device failed a round");
                failures += 1;
                BACKOFF.delay(failures, 0.5)
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
