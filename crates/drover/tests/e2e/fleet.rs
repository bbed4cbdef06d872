//! Devices without an agent that do their update as fast as they may, and keep book of what they were told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_protocol::{Offer, RegisterRequest, StatusReport, ValidationOutcome, ValidationReport};
use drover_trust::Manifest;
use drover_types::{SessionState, UpdateSessionId};
use drover_uplink::{Client, Report};
use tokio::task::JoinSet;

use crate::server::Server;

/// The time between two questions of a device.
const PAUSE: Duration = Duration::from_millis(300);

/// Devices that ask now one server, now another.
pub(crate) struct Fleet {
    told: Vec<Arc<Mutex<Vec<UpdateSessionId>>>>,
    lives: JoinSet<()>,
}

impl Fleet {
    /// Registers devices and lets them live until this is dropped.
    pub(crate) async fn start(servers: &[&Server], devices: usize) -> Self {
        let http = drover_uplink::http_client().expect("a network client");
        let (mut told, mut lives) = (Vec::new(), JoinSet::new());
        for number in 0..devices {
            let stranger = Client::new(http.clone(), &servers[0].url, &servers[0].enrolment_token);
            let request = RegisterRequest {
                hardware_id: format!("ROBOT-{number:04}"),
                device_type: "robot".to_owned(),
                components: Vec::new(),
            };
            let reply = stranger.expect("a loopback address").register(&request).await.expect("it registers");
            let own = |server: &&Server| Client::new(http.clone(), &server.url, &reply.token).expect("an address");
            let book = Arc::new(Mutex::new(Vec::new()));
            told.push(Arc::clone(&book));
            lives.spawn(live(servers.iter().map(own).collect(), number, book));
        }
        Self { told, lives }
    }

    /// The sessions that each device was told of, each once.
    pub(crate) fn told(&self) -> Vec<Vec<UpdateSessionId>> {
        assert_eq!(self.lives.len(), self.told.len(), "a device died: see above");
        self.told.iter().map(|book| book.lock().expect("nobody panics with it").clone()).collect()
    }
}

/// Asks, does what it is told, asks again; always another server than the last time.
async fn live(servers: Vec<Client>, number: usize, book: Arc<Mutex<Vec<UpdateSessionId>>>) {
    for turn in number.. {
        tokio::time::sleep(PAUSE).await;
        // A server that is down at this moment is a device's daily life.
        let Ok(reply) = servers[turn % servers.len()].check().await else { continue };
        let Some(offer) = reply.offer else { continue };
        note(&book, offer.session_id);
        for state in [SessionState::Downloading, SessionState::Installing] {
            let session_id = offer.session_id;
            let report = StatusReport { session_id, state, progress: 0, failure: None, device_time: None };
            deliver(&servers, &Report::Status(report)).await;
        }
        deliver(&servers, &Report::Validation(succeeded(&offer))).await;
    }
}

fn note(book: &Mutex<Vec<UpdateSessionId>>, session: UpdateSessionId) {
    let mut known = book.lock().expect("nobody panics with it");
    if !known.contains(&session) {
        known.push(session);
    }
}

/// Tells the servers in turn until one has taken it.
async fn deliver(servers: &[Client], report: &Report) {
    for server in servers.iter().cycle() {
        let answer = match report {
            Report::Status(report) => server.status(report).await,
            Report::Validation(report) => server.validation(report).await,
        };
        if answer.is_ok() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn succeeded(offer: &Offer) -> ValidationReport {
    let manifest = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &offer.manifest);
    ValidationReport {
        session_id: offer.session_id,
        outcome: ValidationOutcome::Succeeded,
        component: offer.component.clone(),
        version: Some(offer.version.clone()),
        manifest_sha256: Some(Manifest::digest(&manifest.expect("the manifest is base64"))),
        failure: None,
        device_time: None,
    }
}
