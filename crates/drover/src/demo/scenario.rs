//! The story: a good release lands everywhere, a bad one stops itself.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use drover_api::{
    DeviceFilter, Firmware, LoginRequest, ReleaseKeyCreate, Rollout, RolloutCreate, RolloutFilter, StageCreate,
    UpdateSession, UpdateSessionFilter,
};
use drover_app::FirstStart;
use drover_cli::{Client, ClientError, Progress as UploadProgress, ServerUrl};
use drover_sim::{ComponentConfig, Fleet, FleetOptions};
use drover_trust::PrivateKey;
use drover_types::{BreachAction, KeyAlgorithm, RolloutId, RolloutState, StageState, SystemClock};

use super::progress::Progress;
use super::releases::{self, DEVICE_TYPE, Demo, HELLO_OBJECT, WORN_SENSOR};
use super::summary::{DeviceOutcome, RolloutOutcome, Summary};
use crate::error::RunError;

/// Devices of the demo.
pub(super) const DEVICES: usize = 20;

/// No step takes this long on any machine that works.
const STEP_TIMEOUT: Duration = Duration::from_mins(2);

/// Pause between two looks at the server.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// One run of the demo.
pub(super) struct Scenario<'a> {
    client: Client,
    folder: &'a Path,
    key: PrivateKey,
    fleet: Fleet,
    progress: &'a Progress,
}

impl<'a> Scenario<'a> {
    /// Plays the whole story against the server at `url`.
    pub(super) async fn run(
        url: &str,
        folder: &'a Path,
        first: &FirstStart,
        progress: &'a Progress,
    ) -> Result<Summary, RunError> {
        let begun = Instant::now();
        let client = connect(url, first).await?;
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(demo_error("make a release key"))?;
        add_key(&client, &key).await?;
        put_hello(&client, folder).await?;
        let fleet = start_fleet(url, folder, first)?;
        let scenario = Scenario { client, folder, key, fleet, progress };
        let told = scenario.tell(begun).await;
        scenario.fleet.stop().await;
        told
    }

    async fn tell(&self, begun: Instant) -> Result<Summary, RunError> {
        self.progress.say(&format!("{DEVICES} devices register"));
        self.wait_for_devices().await?;

        self.progress.say("v1.0.0: the fleet gets its first release");
        let firmware = self.publish(Demo::First).await?;
        let initial = self.roll_out(&firmware, &[100]).await?;

        self.progress.say("v1.1.0: 20 % -> 50 % -> 100 %");
        let firmware = self.publish(Demo::Good).await?;
        let good = self.roll_out(&firmware, &[20, 50, 100]).await?;

        self.progress.say("v1.2.0: its self-test fails on every device with a worn sensor, half of the fleet");
        let firmware = self.publish(Demo::Bad).await?;
        let bad = self.roll_out_bad(&firmware).await?;
        let back = self.way_back(bad.id).await?;

        let rollouts = vec![
            outcome("v1.0.0 everywhere", &initial),
            outcome("v1.1.0 in stages", &good),
            outcome("v1.2.0 stops itself", &bad),
            outcome("the way back to v1.1.0", &back),
        ];
        let sessions = self.sessions(bad.id).await?;
        Ok(Summary::new(rollouts, self.devices(&sessions).await?, begun.elapsed()))
    }

    async fn wait_for_devices(&self) -> Result<(), RunError> {
        let filter = DeviceFilter { device_type: Some(DEVICE_TYPE.to_owned()), ..DeviceFilter::default() };
        self.wait("the devices to register", async || {
            let devices = self.client.devices(&filter, DEVICES + 1).await?;
            Ok((devices.items.len() == DEVICES).then_some(()))
        })
        .await
    }

    async fn publish(&self, demo: Demo) -> Result<Firmware, RunError> {
        releases::publish(&self.client, self.folder, &self.key, demo).await
    }

    async fn create(&self, firmware: &Firmware, percentages: &[u8]) -> Result<Rollout, RunError> {
        let names = ["canary", "early", "everyone"];
        let stages = percentages.iter().enumerate().map(|(index, percentage)| StageCreate {
            name: if percentages.len() == 1 { None } else { names.get(index).map(|name| (*name).to_owned()) },
            percentage: Some(*percentage),
            ..StageCreate::default()
        });
        let body = RolloutCreate {
            name: format!("v{}", firmware.version),
            firmware_id: firmware.id,
            stages: stages.collect(),
            target_groups: Vec::new(),
            target_condition: None,
            success_threshold: Some(0.9),
            rollback_threshold: Some(0.5),
            min_sample: Some(4),
            on_breach: Some(BreachAction::Rollback),
            max_in_flight: None,
            session_timeout_ms: Some(60_000),
        };
        self.client.create_rollout(&body).await.map_err(demo_error("create a rollout"))
    }

    async fn roll_out(&self, firmware: &Firmware, percentages: &[u8]) -> Result<Rollout, RunError> {
        let rollout = self.create(firmware, percentages).await?;
        self.client.start_rollout(rollout.id).await.map_err(demo_error("start a rollout"))?;
        self.watch(rollout.id).await
    }

    /// Who has a worn sensor is decided when the canary is known, out of coverage: two of the four, and every second
    /// of the others. So the story is the same every time.
    async fn roll_out_bad(&self, firmware: &Firmware) -> Result<Rollout, RunError> {
        let rollout = self.create(firmware, &[20, 50, 100]).await?;
        self.fleet.set_coverage(false);
        self.client.start_rollout(rollout.id).await.map_err(demo_error("start a rollout"))?;
        self.wait("the canary to be chosen", async || {
            let rollout = self.client.rollout(rollout.id).await?;
            Ok((rollout.stages[0].status == StageState::Running).then_some(()))
        })
        .await?;
        let canary = self.sessions(rollout.id).await?;
        let (chosen, others): (Vec<_>, Vec<_>) =
            self.fleet.devices().iter().partition(|device| canary.contains_key(device.hardware_id()));
        for device in chosen.iter().step_by(2).chain(others.iter().step_by(2)) {
            std::fs::write(device.folder().join(WORN_SENSOR), "").map_err(RunError::io("wear a sensor"))?;
        }
        self.fleet.set_coverage(true);
        self.watch(rollout.id).await
    }

    /// Waits for a rollout's end.
    async fn watch(&self, id: RolloutId) -> Result<Rollout, RunError> {
        let ended = self
            .wait("a rollout to end", async || {
                let rollout = self.client.rollout(id).await?;
                self.progress.rollout(&rollout);
                let over = rollout.status.is_final() || rollout.status == RolloutState::Paused;
                Ok(over.then_some(rollout))
            })
            .await?;
        if let Some(reason) = &ended.reason {
            self.progress.say(&format!("   {}: {reason}", ended.status));
        }
        Ok(ended)
    }

    async fn way_back(&self, parent: RolloutId) -> Result<Rollout, RunError> {
        let filter = RolloutFilter { parent_id: Some(parent), ..RolloutFilter::default() };
        let children = self.client.rollouts(&filter, 2).await.map_err(demo_error("find the way back"))?;
        children.items.into_iter().next().ok_or_else(|| RunError::Demo("there was no way back".to_owned()))
    }

    /// The sessions of a rollout by hardware id.
    async fn sessions(&self, id: RolloutId) -> Result<BTreeMap<String, UpdateSession>, RunError> {
        let page = self.client.rollout_sessions(id, &UpdateSessionFilter::default(), 1_000).await;
        let page = page.map_err(demo_error("read the sessions"))?;
        Ok(page.items.into_iter().map(|session| (session.hardware_id.clone(), session)).collect())
    }

    /// What the server believes and what really lies on each device.
    async fn devices(&self, bad: &BTreeMap<String, UpdateSession>) -> Result<Vec<DeviceOutcome>, RunError> {
        let filter = DeviceFilter { device_type: Some(DEVICE_TYPE.to_owned()), ..DeviceFilter::default() };
        let page = self.client.devices(&filter, DEVICES + 1).await.map_err(demo_error("list the devices"))?;
        let known: BTreeMap<_, _> = page.items.into_iter().map(|device| (device.hardware_id.clone(), device)).collect();
        let outcomes = self.fleet.devices().iter().map(|device| {
            let on_disk = std::fs::read_to_string(device.running_root().join("version")).unwrap_or_default();
            let reported = known.get(device.hardware_id()).and_then(|known| known.current_version.clone());
            DeviceOutcome {
                hardware_id: device.hardware_id().to_owned(),
                worn_sensor: device.folder().join(WORN_SENSOR).exists(),
                reported: reported.map(|version| version.to_string()).unwrap_or_default(),
                on_disk,
                bad_release: bad.get(device.hardware_id()).map(|session| session.state),
                reason: bad.get(device.hardware_id()).and_then(|session| session.error_message.clone()),
            }
        });
        Ok(outcomes.collect())
    }

    /// Looks until there is an answer.
    async fn wait<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, ClientError>,
    ) -> Result<T, RunError> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(answer) = look().await.map_err(demo_error(what))? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                return Err(RunError::Demo(format!("waited {} s for {what}", STEP_TIMEOUT.as_secs())));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

fn outcome(what: &str, rollout: &Rollout) -> RolloutOutcome {
    RolloutOutcome { what: what.to_owned(), status: rollout.status, counts: rollout.counts.clone() }
}

fn demo_error<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> RunError {
    let what = what.to_owned();
    move |error| RunError::Demo(format!("{what}: {error}"))
}

async fn connect(url: &str, first: &FirstStart) -> Result<Client, RunError> {
    let server: ServerUrl = url.parse().map_err(demo_error("read the address"))?;
    let client = Client::new(Client::http().map_err(demo_error("make a client"))?, server);
    let login = LoginRequest { tenant: None, username: first.username.clone(), password: first.password.clone() };
    let reply = client.login(&login).await.map_err(demo_error("log in"))?;
    Ok(client.with_token(reply.token))
}

async fn add_key(client: &Client, key: &PrivateKey) -> Result<(), RunError> {
    let body = ReleaseKeyCreate { name: "demo".to_owned(), public_key: key.public_key().to_pem() };
    client.add_release_key(&body).await.map(drop).map_err(demo_error("add the release key"))
}

async fn put_hello(client: &Client, folder: &Path) -> Result<(), RunError> {
    let file = folder.join("hello.bin");
    std::fs::write(&file, "Hello from Drover.\n").map_err(RunError::io("write hello.bin"))?;
    client
        .put_object(HELLO_OBJECT, &file, UploadProgress::none())
        .await
        .map(drop)
        .map_err(demo_error("store hello.bin"))
}

fn start_fleet(url: &str, folder: &Path, first: &FirstStart) -> Result<Fleet, RunError> {
    let shell = |script: &str| vec!["/bin/sh".to_owned(), script.to_owned()];
    let options = FleetOptions {
        server: url.to_owned(),
        folder: folder.join("devices"),
        devices: DEVICES,
        hardware_prefix: "TRUCK".to_owned(),
        device_type: DEVICE_TYPE.to_owned(),
        enrolment_token: first.enrolment_token.clone(),
        poll_interval_ms: 300,
        main: ComponentConfig { self_test: shell("self-test"), ..ComponentConfig::default() },
    };
    let http = drover_sim::http_client().map_err(demo_error("make a client"))?;
    // Nothing secret: it spreads the devices' polls.
    let random = || {
        let mut bytes = [0; 4];
        drover_app::Random::fill(&drover_app::SystemRandom, &mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    };
    let clock: Arc<dyn drover_types::Clock> = Arc::new(SystemClock);
    let random: drover_sim::Random = Arc::new(random);
    Fleet::start(&options, &http, &clock, &random).map_err(demo_error("start the devices"))
}
