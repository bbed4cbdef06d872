//! Everybody who is connected: how many at most, how many from one address, and who leaves when it is full.
//!
//! A full house turns nobody away: somebody gives up its place, in the order of `eviction.rs`. So connections that are
//! held open for nothing, thousands of them or out of spite, resting or busy, keep nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::GOODBYE;
use super::activity::{Activity, Patience};
use super::eviction::{self, Burden, who_is_cut_off, who_leaves};
use super::untaken::{EXCESS_LOW_BYTES, Total};
use crate::config::HttpConfig;
use crate::limits::account_of;

/// When it is full, one of so many makes room at once: looking through all of them for each would cost too much.
const ROOM_SHARE: usize = 64;

/// How long to wait before more are asked to leave.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How often somebody is cut off. Not at once: who comes back and asks again keeps the server busy. Meanwhile, whoever has
/// left too much gets nothing more.
const CUT_OFF_EVERY: Duration = Duration::from_secs(1);

/// How often the log says that an address has too many connections.
const WARN_EVERY: Duration = Duration::from_mins(1);

/// All connections of a listener.
pub(crate) struct Crowd {
    slots: Arc<Semaphore>,
    max: usize,
    /// None: as many as there are.
    per_address_max: Option<usize>,
    patience: Patience,
    room: Mutex<Room>,
    untaken: Arc<Total>,
}

#[derive(Default)]
struct Room {
    next_number: u64,
    seated: HashMap<u64, Seated>,
    by_address: HashMap<IpAddr, usize>,
    warned_at: Option<Instant>,
}

struct Seated {
    address: IpAddr,
    activity: Arc<Activity>,
    leave: Arc<Notify>,
    asked_at: Option<Instant>,
    cut_off: CancellationToken,
}

/// A connection's place; free again when it is dropped.
pub(crate) struct Seat {
    crowd: Arc<Crowd>,
    number: u64,
    address: IpAddr,
    pub(super) activity: Arc<Activity>,
    leave: Arc<Notify>,
    cut_off: CancellationToken,
    _slot: OwnedSemaphorePermit,
}

impl Crowd {
    pub(crate) fn new(config: &HttpConfig) -> Self {
        // Behind a proxy, all connections have its address.
        let capped = config.max_connections_per_address > 0 && !config.trust_forwarded_for;
        Self {
            slots: Arc::new(Semaphore::new(config.max_connections)),
            max: config.max_connections,
            per_address_max: capped.then_some(config.max_connections_per_address),
            patience: Patience::new(config),
            room: Mutex::default(),
            untaken: Arc::default(),
        }
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        // Nothing in here is left half done by a panic that would matter more than a wrong count.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a new connection, as soon as there is one; none when its address has too many.
    pub(crate) async fn seat(self: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let address = account_of(peer);
        if self.is_crowded(address) {
            return None;
        }
        let slot = match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => slot,
            Err(_) => self.wait_for_slot().await,
        };
        let activity = Arc::new(Activity::new(self.patience, Arc::clone(&self.untaken)));
        let (leave, cut_off) = (Arc::new(Notify::new()), CancellationToken::new());
        let seated = Seated {
            address,
            activity: Arc::clone(&activity),
            leave: Arc::clone(&leave),
            asked_at: None,
            cut_off: cut_off.clone(),
        };
        let mut room = self.room();
        let number = room.next_number;
        room.next_number += 1;
        room.seated.insert(number, seated);
        *room.by_address.entry(address).or_default() += 1;
        drop(room);
        Some(Seat { crowd: Arc::clone(self), number, address, activity, leave, cut_off, _slot: slot })
    }

    fn is_crowded(&self, address: IpAddr) -> bool {
        let Some(max) = self.per_address_max else { return false };
        let mut room = self.room();
        let is_crowded = room.by_address.get(&address).is_some_and(|count| *count >= max);
        if is_crowded && room.warned_at.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            room.warned_at = Some(Instant::now());
            tracing::warn!(%address, connections = max, "refusing further connections of an address that has so many");
        }
        is_crowded
    }

    async fn wait_for_slot(&self) -> OwnedSemaphorePermit {
        loop {
            self.make_room();
            let slot = Arc::clone(&self.slots).acquire_owned();
            // The semaphore is never closed.
            if let Ok(Ok(slot)) = tokio::time::timeout(ASK_AGAIN_AFTER, slot).await {
                return slot;
            }
        }
    }

    /// Asks some to leave, unless enough are on their way.
    pub(crate) fn make_room(&self) {
        let now = Instant::now();
        let mut room = self.room();
        let on_its_way = |seated: &&Seated| seated.asked_at.is_some_and(|at| now.duration_since(at) <= GOODBYE);
        let on_their_way = room.seated.values().filter(on_its_way).count();
        let wanted = (self.max / ROOM_SHARE).max(1).saturating_sub(on_their_way);
        if wanted == 0 {
            return;
        }
        let unasked = room.seated.iter().filter(|(_, seated)| seated.asked_at.is_none());
        let unasked: Vec<_> = unasked.map(|(number, seated)| seated.facts(*number)).collect();
        for number in who_leaves(&unasked, wanted, now) {
            if let Some(seated) = room.seated.get_mut(&number) {
                seated.asked_at = Some(now);
                seated.leave.notify_one();
            }
        }
    }

    /// Sees to it that answers which nobody takes do not become too much, for as long as it is polled.
    pub(crate) async fn stay_lean(self: Arc<Self>) {
        loop {
            tokio::time::sleep(CUT_OFF_EVERY).await;
            if self.untaken.is_too_much() {
                self.cut_off_the_largest();
            }
        }
    }

    /// Cuts off those who let the server keep their answers.
    fn cut_off_the_largest(&self) {
        let room = self.room();
        let too_much_bytes = self.untaken.bytes().saturating_sub(EXCESS_LOW_BYTES);
        let burdens: Vec<_> = room.seated.iter().filter_map(|(number, seated)| seated.burden(*number)).collect();
        let cut_off = who_is_cut_off(&burdens, too_much_bytes);
        if cut_off.is_empty() {
            return;
        }
        tracing::warn!(connections = cut_off.len(), "cutting off clients that ask for more than they take");
        for seated in cut_off.iter().filter_map(|number| room.seated.get(number)) {
            seated.activity.cut_off();
            seated.cut_off.cancel();
        }
    }
}

impl Seated {
    fn burden(&self, number: u64) -> Option<Burden> {
        let bytes = self.activity.excess_bytes();
        (bytes > 0).then_some(Burden { number, address: self.address, bytes })
    }

    fn facts(&self, number: u64) -> eviction::Seated {
        let (is_known, doing) = (self.activity.is_known(), self.activity.doing());
        eviction::Seated { number, address: self.address, is_known, doing }
    }
}

impl Seat {
    /// Ends when the place is needed by somebody else.
    pub(super) async fn is_needed(&self) {
        self.leave.notified().await;
    }

    /// Ends when the client is not borne any longer.
    pub(super) async fn is_cut_off(&self) {
        self.cut_off.cancelled().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut room = self.crowd.room();
        room.seated.remove(&self.number);
        if let Some(count) = room.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                room.by_address.remove(&self.address);
            }
        }
    }
}
