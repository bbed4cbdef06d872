//! What most tests of updates start with: a server, a trusted key, devices.

use std::sync::Arc;

use drover_api::{Firmware, Rollout, RolloutCreate, StageCreate, UpdateSession, UpdateSessionFilter};
use drover_cli::{Client, ClientError};
use drover_protocol::Offer;
use drover_testkit::{Device, Profile, ReleaseBuilder, ServerOptions, SimClock, TestServer, private_key};
use drover_trust::PrivateKey;
use drover_types::{KeyAlgorithm, RolloutId, RolloutState, StageState};

/// A fleet of hand-played devices that run version 1.0.0.
pub(crate) struct Scene {
    pub(crate) server: TestServer,
    pub(crate) admin: Client,
    pub(crate) key: PrivateKey,
    /// Version 1.0.0.
    pub(crate) first: Firmware,
    pub(crate) devices: Vec<Device>,
}

impl Scene {
    pub(crate) async fn new(profile: Profile, devices: usize) -> Self {
        Self::on(TestServer::start(profile).await, devices).await
    }

    pub(crate) async fn with_clock(profile: Profile, devices: usize) -> (Self, Arc<SimClock>) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        (Self::on(server, devices).await, clock)
    }

    pub(crate) async fn on(server: TestServer, devices: usize) -> Self {
        let key = private_key(KeyAlgorithm::EcdsaP256);
        server.trust(&key).await;
        let first = server.publish(&ReleaseBuilder::new("1.0.0", 1).sign(&key)).await;
        let devices = server.devices(devices, Some(&first)).await;
        Self { admin: server.admin(), server, key, first, devices }
    }

    /// Publishes a version of the component `main`.
    pub(crate) async fn publish(&self, version: &str, release_counter: u64) -> Firmware {
        self.server.publish(&ReleaseBuilder::new(version, release_counter).sign(&self.key)).await
    }

    /// Publishes version 1.1.0 and starts to roll it out; waits until the first stage offers.
    pub(crate) async fn roll_out(&self, percentages: &[u8], change: impl FnOnce(&mut RolloutCreate)) -> Rollout {
        let firmware = self.publish("1.1.0", 2).await;
        self.start(&firmware, percentages, change).await
    }

    /// Starts to roll a firmware out; waits until the first stage offers.
    pub(crate) async fn start(
        &self,
        firmware: &Firmware,
        percentages: &[u8],
        change: impl FnOnce(&mut RolloutCreate),
    ) -> Rollout {
        let draft = self.draft(firmware, percentages, change).await;
        self.admin.start_rollout(draft.id).await.expect("it starts");
        self.running(draft.id, 0).await
    }

    pub(crate) async fn draft(
        &self,
        firmware: &Firmware,
        percentages: &[u8],
        change: impl FnOnce(&mut RolloutCreate),
    ) -> Rollout {
        let mut body = plan(firmware, percentages);
        change(&mut body);
        self.admin.create_rollout(&body).await.expect("the plan is accepted")
    }

    /// Waits until this stage has chosen its devices.
    pub(crate) async fn running(&self, id: RolloutId, stage: usize) -> Rollout {
        let what = format!("stage {stage} to run");
        self.server.rollout_when(&what, id, |rollout| rollout.stages[stage].status == StageState::Running).await
    }

    /// Waits until the rollout has this state.
    pub(crate) async fn becomes(&self, id: RolloutId, state: RolloutState) -> Rollout {
        self.server.rollout_when(&format!("the rollout to be {state}"), id, |rollout| rollout.status == state).await
    }

    /// All devices ask; those that are told something, with what.
    pub(crate) async fn offers(&self) -> Vec<(&Device, Offer)> {
        let mut offers = Vec::new();
        for device in &self.devices {
            if let Some(offer) = device.check().await {
                offers.push((device, offer));
            }
        }
        offers
    }

    pub(crate) async fn sessions(&self, id: RolloutId) -> Vec<UpdateSession> {
        let page = self.admin.rollout_sessions(id, &UpdateSessionFilter::default(), 1_000).await;
        page.expect("the sessions are listed").items
    }
}

/// A plan with these cumulative percentages; in doubt it waits for nobody.
pub(crate) fn plan(firmware: &Firmware, percentages: &[u8]) -> RolloutCreate {
    let stage = |percentage: &u8| StageCreate { percentage: Some(*percentage), ..StageCreate::default() };
    RolloutCreate {
        name: format!("v{}", firmware.version),
        firmware_id: firmware.id,
        stages: percentages.iter().map(stage).collect(),
        target_groups: Vec::new(),
        target_condition: None,
        success_threshold: Some(0.9),
        rollback_threshold: Some(0.6),
        min_sample: Some(2),
        on_breach: None,
        max_in_flight: None,
        session_timeout_ms: None,
    }
}

/// Status and code of a refusal.
pub(crate) fn refusal<T>(result: Result<T, ClientError>) -> (u16, String) {
    match result {
        Err(ClientError::Problem(problem)) => {
            (problem.status, problem.type_uri.trim_start_matches("urn:drover:problem:").to_owned())
        }
        Err(other) => panic!("expected a problem, got {other}"),
        Ok(_) => panic!("expected a problem, but it was done"),
    }
}

/// [`refusal`] as a pair that is easily written.
macro_rules! assert_refused {
    ($result:expr, $status:literal, $code:literal) => {
        assert_eq!($crate::scene::refusal($result), ($status, $code.to_owned()))
    };
}
pub(crate) use assert_refused;
