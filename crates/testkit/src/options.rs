//! What a test can set about its server.

use std::sync::Arc;

use drover_app::{PresignKeys, Settings};
use drover_server::HttpConfig;
use drover_types::{Clock, SystemClock};

use crate::{Profile, SimClock, TestServer};

/// How a server is started. No limits on how often anybody may call, unless a test sets them: all calls of a test
/// come from one address.
#[derive(Clone)]
pub struct ServerOptions {
    pub(crate) profile: Profile,
    pub(crate) clock: Arc<dyn Clock>,
    /// What the application is told.
    pub settings: Settings,
    /// How HTTP is served; its address does not count.
    pub http: HttpConfig,
}

impl ServerOptions {
    /// The defaults.
    pub fn new(profile: Profile) -> Self {
        let free = HttpConfig { check_per_minute: 0, report_per_minute: 0, ..HttpConfig::default() };
        let http = HttpConfig { stranger_per_minute: 0, ..free };
        Self { profile, clock: Arc::new(SystemClock), settings: Settings::default(), http }
    }

    /// With a clock that the test moves.
    pub fn clock(mut self, clock: &Arc<SimClock>) -> Self {
        self.clock = Arc::clone(clock) as Arc<dyn Clock>;
        self
    }

    /// With keys that may only presign, in the form of `PRESIGN_API_KEYS`.
    pub fn presign_keys(mut self, keys: &str) -> Self {
        self.settings.presign_keys = PresignKeys::parse(keys).expect("keys in the right form");
        self
    }

    /// Starts the server.
    pub async fn start(self) -> TestServer {
        TestServer::open(self).await
    }
}
