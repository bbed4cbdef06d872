//! The agent: one device, its components and its server.

mod intake;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::time::Duration;

use drover_protocol::{ComponentReport, Heartbeat, HeartbeatReply, RegisterRequest};
use drover_trust::{PublicKey, ServerPin};
use drover_types::{Clock, Timestamp};
use drover_uplink::{Client, DeviceTime, Network, Nothing, ReportQueue};
use rustix::fs::{FlockOperation, flock};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, DAY, Secret};
use crate::context::Context;
use crate::effect::{Effect, EffectObserver};
use crate::error::AgentError;
use crate::failure::with_causes;
use crate::identity::{self, Identity, IdentityError};
use crate::journal;
use crate::layout::Layout;
use crate::reporter::{ReportError, Reporter};
use crate::state::AgentState;
use crate::transfer::Tries;
use crate::worker::{Component, Flow, Worker, running};

const SHORTEST_POLL: Duration = Duration::from_millis(100);
const DEFAULT_POLL: Duration = Duration::from_secs(30);

/// This program was not there before: 2026-11-01. A clock that says otherwise is wrong.
const RELEASED: Timestamp = Timestamp::from_micros(1_793_491_200_000_000);

/// A server may ask for so much patience at most.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// A source of numbers in `0.0..1.0`, for spreading a fleet in time. Nothing secret depends on it.
pub type Random = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What an agent is given.
pub struct Parts {
    /// Made with [`drover_uplink::http_client`]; agents in one process may share it. A device that has pinned its
    /// server makes one of its own for that.
    pub http: reqwest::Client,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Spreads waits.
    pub random: Random,
    /// Sees every effect; [`crate::NoObserver`] but in tests.
    pub observer: Arc<dyn EffectObserver>,
}

/// One device. Drop it to let go of its folder.
pub struct Agent {
    context: Context,
    identity: Option<Identity>,
    /// None when they cannot be read.
    keys: Option<Vec<PublicKey>>,
    components: Vec<Component>,
    poll_interval: Duration,
    next_heartbeat: Option<Timestamp>,
    failed_rounds: u32,
    next_check: Option<Instant>,
    /// What the last check gave, when it held no offer.
    nothing: Option<Nothing>,
    cancel: CancellationToken,
    _lock: Lock,
}

impl Agent {
    /// Opens the agent's folder, which is made when it is not there. Nothing is recovered or sent yet.
    pub fn open(config: Config, parts: Parts) -> Result<Self, AgentError> {
        let mut config = config.validated()?;
        let failed = |source| AgentError::io(&config.data_dir, source);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data_dir).map_err(failed)?;
        config.data_dir = config.data_dir.canonicalize().map_err(failed)?;
        let layout = Layout::new(&config.data_dir);
        let lock = lock(&layout)?;
        // A damaged file of these must not keep an update that is under way from its end: every round tells of it.
        let identity = told(Identity::load(&layout)).flatten();
        let keys = told(identity::release_keys(&config, &layout));
        let reporter = Reporter::new(ReportQueue::open(&layout.reports())?);
        let components = open_components(&config, &layout)?;
        let (state, _) = watch::channel(AgentState { enrolled: identity.is_some(), ..AgentState::default() });
        let Parts { http, clock, random, observer } = parts;
        let known = identity.as_ref().and_then(|identity| identity.seen_at);
        let time = Arc::new(DeviceTime::new(Arc::clone(&clock), known.unwrap_or(RELEASED).max(RELEASED)));
        let pins = identity.as_ref().map(|identity| &identity.server_pins[..]).unwrap_or_default();
        let network = Network::new(http).with_pins(&config.server, pins, &time)?;
        let context = Context { config, network, time, clock, random, observer, layout, reporter, state };
        let agent = Self {
            context,
            identity,
            keys,
            components,
            poll_interval: DEFAULT_POLL,
            next_heartbeat: None,
            failed_rounds: 0,
            next_check: None,
            nothing: None,
            cancel: CancellationToken::new(),
            _lock: lock,
        };
        agent.context.keep_ballast();
        agent.publish(|_| {});
        Ok(agent)
    }

    /// Refuses a device that is new and has no way to get an identity: nothing would ever happen. One that runs something
    /// goes on, whatever became of its identity.
    pub fn require_purpose(&self) -> Result<(), AgentError> {
        let is_blank = |one: &Component| one.update.is_none() && running(&one.paths).0.is_none();
        let is_unknown = self.identity.is_none() && matches!(Identity::load(&self.context.layout), Ok(None));
        if is_unknown && self.components.iter().all(is_blank) {
            self.context.config.read_enrolment_token()?.ok_or(AgentError::NotEnrolled)?;
        }
        Ok(())
    }

    /// Watches what the agent is doing.
    pub fn subscribe(&self) -> watch::Receiver<AgentState> {
        self.context.state.subscribe()
    }

    /// Whether the device has an identity.
    pub const fn is_enrolled(&self) -> bool {
        self.identity.is_some()
    }

    /// Works until `cancel`, which ends it between two effects.
    pub async fn run(&mut self, cancel: CancellationToken) {
        self.cancel = cancel.clone();
        while !cancel.is_cancelled() {
            let wait = match self.tick().await {
                Ok(wait) => wait,
                Err(error) => self.after_failure(&error),
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        tracing::info!("the agent stops");
    }

    fn after_failure(&mut self, error: &AgentError) -> Duration {
        let own = self.context.backoff().delay(self.failed_rounds, self.context.random());
        let wait = own.max(error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX));
        self.failed_rounds = self.failed_rounds.saturating_add(1);
        tracing::warn!(error = %with_causes(error), wait_ms = wait.as_millis(), "failed to finish a round");
        wait
    }

    /// One round: recover what was cut off, enrol when needed, report, ask for work and do it. Gives the time to
    /// wait before the next round. After an error, what is under way goes on in the next round.
    pub async fn tick(&mut self) -> Result<Duration, AgentError> {
        let round = Box::pin(self.round()).await;
        let error_text = round.as_ref().err().map(|error| with_causes(error));
        if round.is_ok() {
            self.failed_rounds = 0;
        }
        let is_call = matches!(round, Err(AgentError::Call(_)));
        self.publish(|state| {
            state.connected = (state.connected || error_text.is_none()) && !is_call;
            state.last_error = error_text;
        });
        round
    }

    async fn round(&mut self) -> Result<Duration, AgentError> {
        if self.identity.is_none() {
            // What is on the disk needs no server to come to its end.
            let went = self.go_on(None).await;
            if went.is_stopped {
                return Ok(Duration::ZERO);
            }
            if let Some(error) = went.error {
                tracing::warn!(error = %with_causes(&error), "failed to finish what is under way");
            }
        }
        let client = self.ensure_enrolled().await?;
        let went = self.go_on(Some(&client)).await;
        if went.is_stopped {
            return Ok(Duration::ZERO);
        }
        if let Some(error) = went.error {
            // Trouble with one component silences neither the device nor the others.
            let in_time = self.next_check.is_none_or(|due| due <= Instant::now());
            if let Err(second) = self.ask(&client, in_time).await {
                tracing::warn!(error = %with_causes(&second), "failed to reach the server, too");
            }
            return Err(error);
        }
        if let Some(wait) = went.wait {
            // A device that waits for its bytes lives all the same.
            if let Err(error) = self.send_heartbeat_when_due(&client).await {
                tracing::debug!(%error, "the server hears nothing of this device");
            }
            return Ok(wait);
        }
        self.context.keep_ballast();
        self.ask(&client, true).await
    }

    /// Reports, and asks for work when it is time, and does it.
    async fn ask(&mut self, client: &Client, is_time: bool) -> Result<Duration, AgentError> {
        self.flush_what_can_be(client).await?;
        self.send_heartbeat_when_due(client).await?;
        if !is_time {
            return Ok(self.poll_wait());
        }
        // Without its keys the device could only reject what it is offered.
        if self.keys.is_none() {
            self.keys = Some(identity::release_keys(&self.context.config, &self.context.layout)?);
        }
        let (reply, nothing) = client.check_since(self.nothing.as_ref()).await?;
        self.nothing = nothing;
        self.poll_interval = Duration::from_millis(reply.poll_interval_ms);
        self.next_check = Some(Instant::now() + self.poll_interval);
        self.publish(|state| state.connected = true);
        // What ended here is not begun again because the server has not heard of its end yet.
        if let Some(offer) = reply.offer.filter(|offer| !self.context.reporter.knows_end_of(offer.session_id)) {
            self.take(offer)?;
            let went = self.go_on(Some(client)).await;
            if let Some(error) = went.error {
                return Err(error);
            }
            if let Some(wait) = went.wait {
                return Ok(wait);
            }
            self.flush_what_can_be(client).await?;
            self.next_heartbeat = None;
            self.send_heartbeat_when_due(client).await?;
        }
        Ok(self.poll_wait())
    }

    /// Works on every component.
    async fn go_on(&mut self, client: Option<&Client>) -> Went {
        let mut went = Went::default();
        for component in &mut self.components {
            let mut worker = Worker { context: &self.context, client, component, cancel: &self.cancel };
            match Box::pin(worker.work()).await {
                Ok(Flow::Idle | Flow::Go) => {}
                Ok(Flow::Wait(wait)) => went.wait = Some(went.wait.map_or(wait, |longest| longest.max(wait))),
                Ok(Flow::Stopped) => return Went { wait: Some(Duration::ZERO), is_stopped: true, error: None },
                // One component's trouble does not keep the others from recovering.
                Err(error) => {
                    went.error.get_or_insert(error);
                }
            }
        }
        went
    }

    /// Sends what waits. Trouble with the queue's folder is only told: the server may still be there.
    async fn flush_what_can_be(&self, client: &Client) -> Result<(), AgentError> {
        match self.context.reporter.flush(client, None, &*self.context.observer).await {
            Err(ReportError::Queue(error)) => {
                tracing::warn!(%error, "reports cannot be taken off the queue");
                Ok(())
            }
            sent => Ok(sent.map(drop)?),
        }
    }

    fn poll_wait(&self) -> Duration {
        let Some(own_ms) = self.context.config.poll_interval_ms else {
            // It was told for this device alone: the server spreads its fleet.
            return self.poll_interval.clamp(SHORTEST_POLL, DAY);
        };
        // A tenth to either side, so that a fleet that started together does not stay together.
        let own = Duration::from_millis(own_ms).clamp(SHORTEST_POLL, DAY);
        own.mul_f64(0.9 + 0.2 * self.context.random().clamp(0.0, 1.0))
    }

    async fn ensure_enrolled(&mut self) -> Result<Client, AgentError> {
        if self.identity.is_none() {
            // It may be damaged, or mended since: then it is not to be replaced.
            self.take_identity()?;
        }
        if self.identity.is_none() {
            let token = self.context.config.read_enrolment_token()?.ok_or(AgentError::NotEnrolled)?;
            self.enrol(&token).await?;
        }
        let token = self.identity.as_ref().map(|identity| identity.token.as_str()).ok_or(AgentError::NotEnrolled)?;
        Ok(Client::new(&self.context.network, &self.context.config.server, token)?)
    }

    /// Reads the identity, and speaks to the server as it says from then on.
    fn take_identity(&mut self) -> Result<(), AgentError> {
        let Some(identity) = Identity::load(&self.context.layout)? else { return Ok(()) };
        let Context { config, network, time, .. } = &self.context;
        self.context.network = network.with_pins(&config.server, &identity.server_pins, time)?;
        self.identity = Some(identity);
        self.publish(|state| state.enrolled = true);
        Ok(())
    }

    /// Registers the device with an enrolment token and keeps the identity that it gets; pins the server's release
    /// keys when the device has none, and the server itself when the token says how. A device that is enrolled gets a
    /// new identity.
    pub async fn enrol(&mut self, token: &Secret) -> Result<(), AgentError> {
        let context = &self.context;
        let server_pin = ServerPin::in_enrolment_token(&token.0).map_err(AgentError::TokenPin)?;
        let pins: Vec<ServerPin> = server_pin.into_iter().collect();
        let network = context.network.with_pins(&context.config.server, &pins, &context.time)?;
        let client = Client::new(&network, &context.config.server, token.0.trim())?;
        let request = RegisterRequest {
            hardware_id: context.config.hardware_id.clone(),
            device_type: context.config.device_type.clone(),
            components: self.component_reports(),
        };
        let reply = client.register(&request).await?;
        context
            .effect(Effect::PinKeys, || identity::pin_keys(&context.config, &context.layout, &reply.release_keys))?;
        let identity = Identity::new(&reply, server_pin);
        context.effect(Effect::WriteIdentity, || identity.store(&context.layout))?;
        let keys = identity::release_keys(&context.config, &context.layout)?;
        self.poll_interval = Duration::from_millis(reply.poll_interval_ms);
        tracing::info!(device = %identity.device_id, release_keys = keys.len(), ?server_pin, "enrolled");
        self.keys = Some(keys);
        self.context.network = network;
        self.identity = Some(identity);
        self.publish(|state| state.enrolled = true);
        Ok(())
    }

    async fn send_heartbeat_when_due(&mut self, client: &Client) -> Result<(), AgentError> {
        let now = self.context.clock.now();
        let interval = Duration::from_millis(self.context.config.heartbeat_interval_ms);
        // Further away than one interval, it was set by a clock that has been put back since.
        if self.next_heartbeat.is_some_and(|due| now < due && due.since(now) <= interval) {
            return Ok(());
        }
        let agent_version = Some(env!("CARGO_PKG_VERSION").to_owned());
        let reply = client.heartbeat(&Heartbeat { agent_version, components: self.component_reports() }).await?;
        self.next_heartbeat = Some(now.plus(interval));
        self.note_server(&reply, now)
    }

    /// Keeps what a pinned server says of itself.
    fn note_server(&mut self, reply: &HeartbeatReply, now: Timestamp) -> Result<(), AgentError> {
        let Some(identity) = self.identity.as_ref().and_then(|identity| identity.after(reply, now)) else {
            return Ok(());
        };
        let context = &self.context;
        context.effect(Effect::WriteIdentity, || identity.store(&context.layout))?;
        if let Some(moment) = identity.seen_at {
            context.time.has_passed(moment);
        }
        if self.identity.as_ref().is_none_or(|before| before.server_pins != identity.server_pins) {
            tracing::info!(pins = ?identity.server_pins, "the server names its keys");
            let network = context.network.with_pins(&context.config.server, &identity.server_pins, &context.time)?;
            self.context.network = network;
        }
        self.identity = Some(identity);
        Ok(())
    }

    fn component_reports(&self) -> Vec<ComponentReport> {
        let report = |component: &Component| {
            let (version, manifest_sha256) = running(&component.paths);
            ComponentReport { component: component.name.clone(), version, manifest_sha256 }
        };
        self.components.iter().map(report).collect()
    }

    /// Tells whoever watches.
    fn publish(&self, change: impl FnOnce(&mut AgentState)) {
        let queued_reports = self.context.reporter.len();
        self.context.state.send_modify(|state| {
            state.queued_reports = queued_reports;
            for component in &self.components {
                let entry = state.components.entry(component.name.clone()).or_default();
                (entry.version, entry.manifest_sha256) = running(&component.paths);
            }
            change(state);
        });
    }
}

/// What could be read; what could not is told.
fn told<T>(read: Result<T, IdentityError>) -> Option<T> {
    read.inspect_err(|error| {
        tracing::error!(%error, "the device cannot take part in its fleet; what is under way is finished");
    })
    .ok()
}

/// How work on all components went.
#[derive(Default)]
struct Went {
    /// The longest wait of those that are not at their end.
    wait: Option<Duration>,
    /// The agent is told to stop.
    is_stopped: bool,
    /// The first error; the others went on.
    error: Option<AgentError>,
}

/// Holds the agent's folder.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a command that is being started right now shares the file until it runs.
        if let Err(error) = flock(&self.0, FlockOperation::Unlock) {
            tracing::warn!(%error, "the agent's folder cannot be let go");
        }
    }
}

fn lock(layout: &Layout) -> Result<Lock, AgentError> {
    let path = layout.lock();
    let file = File::create(&path).map_err(|source| AgentError::io(&path, source))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentError::Locked { path: layout.root().to_owned() }),
        Err(error) => Err(AgentError::io(&path, error.into())),
    }
}

fn open_components(config: &Config, layout: &Layout) -> Result<Vec<Component>, AgentError> {
    let open = |(name, settings): (&drover_types::ComponentName, &crate::config::ComponentConfig)| {
        let paths = layout.component(name);
        paths.create().map_err(|source| AgentError::io(paths.root(), source))?;
        let update = journal::load(&paths.journal())?;
        Ok(Component {
            name: name.clone(),
            settings: settings.clone(),
            paths,
            update,
            tries: Tries::default(),
            stuck: BTreeSet::new(),
            next_activation: None,
        })
    };
    config.components.iter().map(open).collect()
}
