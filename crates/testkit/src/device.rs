//! A device that a test plays by hand.

use std::sync::Mutex;

use drover_api::Firmware;
use drover_protocol::{
    ComponentReport, Directive, Failure, Heartbeat, Offer, RegisterReply, RegisterRequest, ReportReply, StatusReport,
    ValidationOutcome, ValidationReport,
};
use drover_trust::Manifest;
use drover_types::{ComponentName, DeviceId, FailureClass, SessionState, UpdateSessionId};
use drover_uplink::{CallError, Client};

use crate::TestServer;

/// The type of all hand-played devices.
pub const DEVICE_TYPE: &str = "truck";

/// A device without an agent: it says what the test wants it to say.
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Its serial number.
    pub hardware_id: String,
    /// Its bearer token.
    pub token: String,
    /// Its calls.
    pub client: Client,
    running: Mutex<ComponentReport>,
}

/// A failure of this class.
pub fn failure(class: FailureClass) -> Failure {
    Failure { class, code: format!("test_{class}"), message: "as the test wants it".to_owned() }
}

/// That the device runs this firmware.
fn report_of(firmware: &Firmware) -> ComponentReport {
    ComponentReport {
        component: firmware.component.clone(),
        version: Some(firmware.version.clone()),
        manifest_sha256: Some(firmware.checksum),
    }
}

impl TestServer {
    /// The device API with this credential.
    pub fn device_client(&self, token: &str) -> Client {
        Client::new(self.raw().clone(), &self.url(), token).expect("a loopback address")
    }

    /// Registers with this enrolment token.
    pub async fn register(&self, token: &str, request: &RegisterRequest) -> Result<RegisterReply, CallError> {
        self.device_client(token).register(request).await
    }

    /// A new device; what it runs is `firmware`, or nothing.
    pub async fn device(&self, hardware_id: &str, firmware: Option<&Firmware>) -> Device {
        self.device_with(&self.first_start().enrolment_token, hardware_id, firmware).await
    }

    /// A new device that registers with this enrolment token: it is of the token's tenant.
    pub async fn device_with(&self, enrolment_token: &str, hardware_id: &str, firmware: Option<&Firmware>) -> Device {
        let components: Vec<_> = firmware.map(report_of).into_iter().collect();
        let nothing = ComponentReport { component: ComponentName::main(), version: None, manifest_sha256: None };
        let running = components.first().cloned().unwrap_or(nothing);
        let (hardware_id, device_type) = (hardware_id.to_owned(), DEVICE_TYPE.to_owned());
        let request = RegisterRequest { hardware_id: hardware_id.clone(), device_type, components };
        let reply = self.register(enrolment_token, &request).await.expect("it is registered");
        let client = self.device_client(&reply.token);
        Device { id: reply.device_id, hardware_id, token: reply.token, client, running: Mutex::new(running) }
    }

    /// New devices `TRUCK-01` and so on.
    pub async fn devices(&self, count: usize, firmware: Option<&Firmware>) -> Vec<Device> {
        let mut devices = Vec::with_capacity(count);
        for number in 1..=count {
            devices.push(self.device(&format!("TRUCK-{number:02}"), firmware).await);
        }
        devices
    }
}

impl Device {
    /// Asks for work.
    pub async fn check(&self) -> Option<Offer> {
        self.client.check().await.expect("the check is answered").offer
    }

    /// Says that it lives and what it runs.
    pub async fn heartbeat(&self, components: Vec<ComponentReport>) {
        let heartbeat = Heartbeat { agent_version: Some("1.0.0".to_owned()), components };
        self.client.heartbeat(&heartbeat).await.expect("the heartbeat is answered");
    }

    /// Reports a state; the answer is the test's.
    pub async fn report(&self, session: UpdateSessionId, state: SessionState) -> Result<ReportReply, CallError> {
        self.report_failure(session, state, None).await
    }

    /// Reports a state with a reason.
    pub async fn report_failure(
        &self,
        session_id: UpdateSessionId,
        state: SessionState,
        failure: Option<Failure>,
    ) -> Result<ReportReply, CallError> {
        self.client.status(&StatusReport { session_id, state, progress: 0, failure, device_time: None }).await
    }

    /// Gets as far as `state` and may go on.
    pub async fn proceed(&self, offer: &Offer, state: SessionState) {
        let reply = self.report(offer.session_id, state).await.expect("the report is taken");
        assert_eq!((reply.directive, reply.state), (Directive::Continue, state), "{}", self.hardware_id);
    }

    /// Fails before the switch.
    pub async fn fail(&self, offer: &Offer, class: FailureClass) -> ReportReply {
        let reply = self.report_failure(offer.session_id, SessionState::Failed, Some(failure(class))).await;
        reply.expect("the report is taken")
    }

    /// Goes the whole way and runs what was offered.
    pub async fn install(&self, offer: &Offer) -> ReportReply {
        for state in [SessionState::Downloading, SessionState::Installing, SessionState::Validating] {
            self.proceed(offer, state).await;
        }
        self.commit(offer).await
    }

    /// The self-test passed.
    pub async fn commit(&self, offer: &Offer) -> ReportReply {
        let manifest = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &offer.manifest);
        let manifest = manifest.expect("the manifest is base64");
        let running = ComponentReport {
            component: offer.component.clone(),
            version: Some(offer.version.clone()),
            manifest_sha256: Some(Manifest::digest(&manifest)),
        };
        *self.running.lock().expect("no test panicked here") = running;
        self.validate(offer, ValidationOutcome::Succeeded, None).await
    }

    /// The self-test failed, and the device went back by itself.
    pub async fn roll_back(&self, offer: &Offer) -> ReportReply {
        self.proceed(offer, SessionState::Validating).await;
        self.validate(offer, ValidationOutcome::RolledBack, Some(failure(FailureClass::SelfTest))).await
    }

    async fn validate(&self, offer: &Offer, outcome: ValidationOutcome, failure: Option<Failure>) -> ReportReply {
        let running = self.running.lock().expect("no test panicked here").clone();
        let report = ValidationReport {
            session_id: offer.session_id,
            outcome,
            component: offer.component.clone(),
            version: running.version,
            manifest_sha256: running.manifest_sha256,
            failure,
            device_time: None,
        };
        self.client.validation(&report).await.expect("the report is taken")
    }
}
