//! What a connection is doing, and since when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Version;
use tokio::time::Instant;

use super::answer::Working;
use super::eviction::Doing;
use super::untaken::{Total, Untaken};
use crate::config::HttpConfig;
use crate::pace::Pace;

/// How long a kept connection waits for its next request. Longer than the proxies that stand in front keep theirs
/// (nginx 60 s), so that they close first and never send into a closing connection.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long each state of rest may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a request to its whole head; also from connecting to the first head.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) keep_alive: Duration,
    /// From one written byte of an answer to the next.
    pub(super) stalled: Duration,
}

impl Patience {
    pub(super) fn new(config: &HttpConfig) -> Self {
        Self {
            head: config.header_read_timeout(),
            keep_alive: KEEP_ALIVE.max(config.header_read_timeout()),
            stalled: config.transfer_idle_timeout(),
        }
    }
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request came, or not the whole of its head.
    Idle,
    /// The client does not take its answer.
    Stalled,
}

/// What a connection is doing. Shared by its input and output, its requests and its answers.
pub(super) struct Activity {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    /// Requests that handlers are working on.
    handling: usize,
    /// Answers that are being sent.
    sending: usize,
    /// Whether bytes wait for the client to read: over HTTP/1 an answer from memory is out of our hands long before it
    /// is read.
    unread: bool,
    /// What the last request spoke; none when there was no request.
    version: Option<Version>,
    /// Whether a request came with a valid credential.
    is_known: bool,
    /// When nothing was left to do.
    idle_since: Instant,
    /// When there was something to do again.
    busy_since: Instant,
    /// When the first byte came that no request has claimed yet.
    head_since: Option<Instant>,
    /// When the client last took a byte of an answer.
    written_at: Instant,
    /// How fast the client takes its answers.
    sent: Pace,
    /// What it has not taken of them.
    untaken: Untaken,
}

impl State {
    const fn is_sending(&self) -> bool {
        self.sending > 0 || self.unread
    }

    const fn rests(&self) -> bool {
        self.handling == 0 && !self.is_sending()
    }

    fn overdue(&mut self, patience: Patience, now: Instant) -> Option<Overdue> {
        if self.handling > 0 {
            return None;
        }
        if self.is_sending() && self.sent.is_too_slow(now) {
            return Some(Overdue::Stalled);
        }
        let (since, limit, overdue) = match self.head_since {
            _ if self.is_sending() => (self.written_at, patience.stalled, Overdue::Stalled),
            Some(head_since) => (head_since, patience.head, Overdue::Idle),
            None if self.version.is_some() => (self.idle_since, patience.keep_alive, Overdue::Idle),
            None => (self.idle_since, patience.head, Overdue::Idle),
        };
        (now.saturating_duration_since(since) >= limit).then_some(overdue)
    }
}

impl Activity {
    pub(super) fn new(patience: Patience, total: Arc<Total>) -> Self {
        let now = Instant::now();
        let state = State {
            handling: 0,
            sending: 0,
            unread: false,
            version: None,
            is_known: false,
            idle_since: now,
            busy_since: now,
            head_since: None,
            written_at: now,
            sent: Pace::begin(now),
            untaken: Untaken::nothing(total),
        };
        Self { patience, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics between two assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the connection has rested for too long. Looks now and then, which is late by a quarter at most, rather
    /// than set a timer for every byte.
    pub(super) async fn overdue(&self) -> Overdue {
        let shortest = self.patience.head.min(self.patience.stalled);
        let pause = (shortest / 4).clamp(Duration::from_millis(1), Duration::from_secs(5));
        loop {
            tokio::time::sleep(pause).await;
            if let Some(overdue) = self.state().overdue(self.patience, Instant::now()) {
                return overdue;
            }
        }
    }

    /// Bytes came. Those of a client that speaks HTTP/2 need not be of a request: it acknowledges settings, opens
    /// windows and asks whether we live. So for its next one it has the time that idle connections have.
    pub(super) fn read(&self) {
        let mut state = self.state();
        if state.rests() && state.head_since.is_none() && state.version != Some(Version::HTTP_2) {
            state.head_since = Some(Instant::now());
        }
    }

    /// TLS is set up: the time for the first request begins.
    pub(super) fn shook_hands(&self) {
        self.state().idle_since = Instant::now();
    }

    /// What is going on, and since when.
    pub(super) fn doing(&self) -> Doing {
        let state = self.state();
        if state.rests() { Doing::Resting(state.idle_since) } else { Doing::Working(state.busy_since) }
    }

    /// Whether there was a request.
    pub(super) fn is_served(&self) -> bool {
        self.state().version.is_some()
    }

    /// Whether a request came with a valid credential.
    pub(super) fn is_known(&self) -> bool {
        self.state().is_known
    }

    /// The client took bytes of an answer.
    pub(super) fn wrote(&self, bytes: usize) {
        let now = Instant::now();
        let mut state = self.state();
        state.sent.count(bytes);
        (state.written_at, state.idle_since) = (now, now);
    }

    /// Whether there are bytes that the client does not read.
    pub(super) fn waits_for_reader(&self, waits: bool) {
        let mut state = self.state();
        if state.unread == waits {
            return;
        }
        let now = Instant::now();
        if waits && state.rests() {
            (state.busy_since, state.written_at) = (now, now);
        }
        state.unread = waits;
        if state.rests() {
            state.idle_since = now;
        }
    }

    /// The head of a request is whole.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> Working {
        let mut state = self.state();
        if state.rests() {
            state.busy_since = Instant::now();
        }
        (state.handling, state.version, state.head_since) = (state.handling + 1, Some(version), None);
        Working::new(Arc::clone(self))
    }

    /// The handler went away without an answer.
    pub(super) fn given_up(&self) {
        let mut state = self.state();
        (state.handling, state.idle_since) = (state.handling - 1, Instant::now());
    }

    /// The handler has answered.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.sending == 0 {
            state.sent = Pace::begin(now);
        }
        (state.handling, state.sending, state.written_at) = (state.handling - 1, state.sending + 1, now);
    }

    /// All of the answer was handed out.
    pub(super) fn sent(&self) {
        let mut state = self.state();
        (state.sending, state.idle_since) = (state.sending - 1, Instant::now());
    }

    /// So many bytes are kept until they are taken.
    pub(super) fn keeps(&self, bytes: usize) {
        self.state().untaken.add(bytes);
    }

    /// So many bytes were taken, or given up.
    pub(super) fn taken(&self, bytes: usize) {
        self.state().untaken.remove(bytes);
    }

    /// Whether this client has to take something before it gets more.
    pub(super) fn must_take(&self) -> bool {
        self.state().untaken.must_take()
    }

    /// What is kept for this client beyond what everybody may leave untaken.
    pub(super) fn excess_bytes(&self) -> usize {
        self.state().untaken.excess_bytes()
    }

    /// The connection is being closed: what is kept for it counts no more.
    pub(super) fn cut_off(&self) {
        self.state().untaken.write_off();
    }
}

/// Goes with every request of a connection: whoever looks at the credential says here that it is valid.
#[derive(Clone)]
pub(crate) struct Proof(pub(super) Arc<Activity>);

impl Proof {
    /// A request came with a valid credential.
    pub(crate) fn given(&self) {
        let mut state = self.0.state();
        if !state.is_known {
            state.is_known = true;
            state.untaken.allow_a_download();
        }
    }
}

#[cfg(test)]
mod tests;
