//! Many virtual devices.

use std::path::PathBuf;
use std::sync::Arc;

use drover_agent::{Agent, AgentError, ComponentConfig, Config, NoObserver, Parts, Random, Secret};
use drover_types::{Clock, ComponentName};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::device::{VirtualDevice, live};

/// What a fleet is like.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// Address of the server.
    pub server: String,
    /// Folder that gets a folder per device.
    pub folder: PathBuf,
    /// How many devices.
    pub devices: usize,
    /// Serial numbers are this, a dash and a number.
    pub hardware_prefix: String,
    /// Their type.
    pub device_type: String,
    /// With what they register.
    pub enrolment_token: String,
    /// Time between checks, in milliseconds.
    pub poll_interval_ms: u64,
    /// How their component `main` is started and judged.
    pub main: ComponentConfig,
}

/// The fleet cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// A device's agent does not open.
    #[error("failed to open the agent of {hardware_id}")]
    Agent {
        /// Which device.
        hardware_id: String,
        /// Why.
        #[source]
        source: AgentError,
    },
}

/// Virtual devices that live until the fleet is stopped.
pub struct Fleet {
    devices: Vec<VirtualDevice>,
    coverage: watch::Sender<bool>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Fleet {
    /// Starts the devices: each registers and begins to ask for work.
    pub fn start(
        options: &FleetOptions,
        http: &reqwest::Client,
        clock: &Arc<dyn Clock>,
        random: &Random,
    ) -> Result<Self, FleetError> {
        let (coverage, covered) = watch::channel(true);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut devices = Vec::with_capacity(options.devices);
        for number in 1..=options.devices {
            let hardware_id = format!("{}-{number:03}", options.hardware_prefix);
            let folder = options.folder.join(&hardware_id);
            let parts = Parts {
                http: http.clone(),
                clock: Arc::clone(clock),
                random: Arc::clone(random),
                observer: Arc::new(NoObserver),
            };
            let agent = Agent::open(config(options, &hardware_id, folder.clone()), parts)
                .map_err(|source| FleetError::Agent { hardware_id: hardware_id.clone(), source })?;
            devices.push(VirtualDevice::new(hardware_id, folder, agent.subscribe()));
            tasks.spawn(live(agent, covered.clone(), stop.clone()));
        }
        tasks.close();
        Ok(Self { devices, coverage, stop, tasks })
    }

    /// The devices.
    pub fn devices(&self) -> &[VirtualDevice] {
        &self.devices
    }

    /// Takes all devices out of coverage or back into it: without, they finish their round and ask for no other.
    pub fn set_coverage(&self, covered: bool) {
        self.coverage.send_replace(covered);
    }

    /// Ends all devices and waits for them.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

fn config(options: &FleetOptions, hardware_id: &str, data_dir: PathBuf) -> Config {
    Config {
        server: options.server.clone(),
        data_dir,
        hardware_id: hardware_id.to_owned(),
        device_type: options.device_type.clone(),
        enrolment_token: Some(Secret(options.enrolment_token.clone())),
        enrolment_token_file: None,
        release_keys: Vec::new(),
        poll_interval_ms: Some(options.poll_interval_ms),
        heartbeat_interval_ms: 60_000,
        retry_min_ms: 200,
        retry_max_ms: 5_000,
        throttle_bytes_per_s: None,
        stall_timeout_ms: 30_000,
        download_give_up_ms: 3_600_000,
        // Thousands of devices share one disk.
        ballast_bytes: 0,
        blacklist_after: 2,
        components: [(ComponentName::main(), options.main.clone())].into(),
    }
}
