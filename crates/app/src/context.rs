//! What every use case has at hand.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use drover_blob::BlobStore;
use drover_bus::HotState;
use drover_db::{Db, Writer};
use drover_trust::ServerPin;
use drover_types::{Clock, Timestamp};
use tokio::sync::Notify;

use crate::feed::Feed;
use crate::login_attempts::LoginAttempts;
use crate::metrics::Metrics;
use crate::offers::{OfferWriter, OpenStages, PublishedFirmware};
use crate::parsed_conditions::ParsedConditions;
use crate::passwords::PasswordHasher;
use crate::presign::{BoundPresignKeys, PresignKeys};
use crate::questions::Questions;
use crate::reports::ReportWriter;

/// Randomness as an argument.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// Random bits for one id.
pub(crate) fn entropy(random: &dyn Random) -> u128 {
    let mut bytes = [0; 16];
    random.fill(&mut bytes);
    u128::from_be_bytes(bytes)
}

/// The machine's cryptographic randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).expect("the operating system has randomness; without it nothing here is safe");
    }
}

/// What an operator can set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long devices wait between checks.
    pub poll_interval: Duration,
    /// How long presigned addresses in offers work.
    pub offer_ttl: Duration,
    /// How long a login lasts.
    pub login_ttl: Duration,
    /// The largest artifact or object, in bytes.
    pub upload_max_bytes: u64,
    /// Keys that may only presign.
    pub presign_keys: PresignKeys,
    /// How long after its end a rollout keeps its sessions at hand; then they are archived.
    pub archive_after: Duration,
    /// Devices per transaction of a stage that opens.
    pub stage_batch: usize,
    /// Devices that one question of a stage that opens looks at, whether they match or not: what conditions cost has an
    /// end.
    pub stage_look: i64,
    /// The key that this server proves, for enrolment tokens to carry; none when a public authority vouches for it.
    pub server_pin: Option<ServerPin>,
    /// Keys that it will prove some day: pinned devices are told of them beforehand.
    pub next_server_pins: Vec<ServerPin>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_secs(30),
            offer_ttl: Duration::from_hours(6),
            login_ttl: Duration::from_hours(12),
            upload_max_bytes: 64 << 30,
            presign_keys: PresignKeys::default(),
            archive_after: Duration::from_hours(90 * 24),
            stage_batch: 5_000,
            stage_look: 5_000,
            server_pin: None,
            next_server_pins: Vec::new(),
        }
    }
}

/// The application: all use cases are methods of it.
pub struct App {
    pub(crate) db: Db,
    pub(crate) writer: Writer,
    pub(crate) offers: OfferWriter,
    pub(crate) reports: ReportWriter,
    pub(crate) blobs: Arc<dyn BlobStore>,
    /// Verifies addresses that the folder back-end signed; none when objects are elsewhere.
    pub(crate) url_key: Option<[u8; 32]>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) settings: Settings,
    /// Empty until the start has bound them.
    pub(crate) presign_keys: OnceLock<BoundPresignKeys>,
    pub(crate) passwords: PasswordHasher,
    pub(crate) login_attempts: LoginAttempts,
    pub(crate) metrics: Metrics,
    pub(crate) conditions: ParsedConditions,
    pub(crate) questions: Questions,
    pub(crate) firmware: PublishedFirmware,
    pub(crate) open_stages: OpenStages,
    /// Copies of SQL in this node's memory.
    pub(crate) feed: Feed,
    /// When devices were last heard of, until it is in SQL.
    pub(crate) hot: Arc<dyn HotState>,
    /// A lossy poke: the rollout driver has something to look at.
    pub(crate) poke: Notify,
    /// The same for uploads that were completed.
    pub(crate) poke_uploads: Notify,
}

impl App {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Randomness for a new id.
    pub(crate) fn entropy(&self) -> u128 {
        entropy(&*self.random)
    }

    /// A number below `bound`, which must not be zero. The bias is below 2^-100.
    pub(crate) fn draw(&self, bound: u32) -> i64 {
        i64::try_from(self.entropy() % u128::from(bound)).unwrap_or(0)
    }

    /// Finishes what was accepted and closes the back-ends.
    pub async fn close(&self) {
        self.write_all_sightings().await;
        self.offers.close().await;
        self.reports.close().await;
        self.writer.close().await;
        self.db.close().await;
    }
}

/// Makes ids with the context's clock and randomness: `new_id!(self, DeviceId)`.
macro_rules! new_id {
    ($app:expr, $id:ident) => {
        drover_types::$id::generate($app.now(), $app.entropy())
    };
}
pub(crate) use new_id;
