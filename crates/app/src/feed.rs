//! What this node keeps in memory of devices, and how it hears that it must forget.
//!
//! Tokens ([`tokens`]) and devices that may have something to do ([`work`]) are copies of SQL. Every change that makes
//! a copy wrong writes a row into `changes` in its own transaction; [`App::look_at_changes`] reads those rows and
//! mends the copies. They are believed for [`FRESH_FOR`] after a look began, and not at all while this node commits
//! such a change itself ([`Feed::announce`]). Who may not believe them asks SQL, which is always right.

mod look;
mod tokens;
mod work;

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use drover_store::moves::MoveRow;
use drover_types::{ErrorKind, Timestamp};
use tokio::sync::Notify;

use crate::{App, Error, Result};
use look::Position;
pub(crate) use look::{BEGIN_ANEW_AFTER, in_time};
pub(crate) use tokens::{KnownToken, Tokens};
pub(crate) use work::{Look, Work};

/// How long after a look the copies are believed: a revoked token opens nothing on any node after this.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// In [`Feed::looked_at`]: the copies are not to be believed.
const NOT_FRESH: i64 = i64::MIN;

/// The copies, and how old they are.
pub(crate) struct Feed {
    /// When the last complete look began, in microseconds since 1970.
    looked_at: AtomicI64,
    own: Mutex<Own>,
    /// Whether the last look failed.
    is_failing: AtomicBool,
    /// Where the installation went while this node worked: from then on it answers nobody, and ends.
    moved: OnceLock<MoveRow>,
    position: tokio::sync::Mutex<Position>,
    /// A lossy poke: there is something to see.
    pub(crate) poke: Notify,
    pub(crate) tokens: Tokens,
    pub(crate) work: Work,
}

/// Changes of this node itself.
#[derive(Default)]
struct Own {
    /// How many are being committed.
    under_way: u32,
    /// How many there were. A look that began before one of them has not seen it.
    count: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            looked_at: AtomicI64::new(NOT_FRESH),
            own: Mutex::default(),
            is_failing: AtomicBool::new(false),
            moved: OnceLock::new(),
            position: tokio::sync::Mutex::default(),
            poke: Notify::new(),
            tokens: Tokens::default(),
            work: Work::default(),
        }
    }
}

impl Feed {
    fn own(&self) -> MutexGuard<'_, Own> {
        // Two numbers that are changed one by one: a panic leaves nothing half done.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        let looked_at = self.looked_at.load(Ordering::Acquire);
        // A clock that was put back makes the copies old, never young.
        looked_at != NOT_FRESH
            && looked_at <= now.as_micros()
            && now.since(Timestamp::from_micros(looked_at)) < FRESH_FOR
    }

    /// Where the installation went while this node worked.
    pub(crate) fn moved(&self) -> Option<&MoveRow> {
        self.moved.get()
    }

    /// An error when the installation is not here any more.
    pub(crate) fn require_here(&self) -> Result<()> {
        // Where it is, is not for devices and tenants to read.
        let detail = "this installation goes on elsewhere, and this server ends: send the request again";
        match self.moved() {
            None => Ok(()),
            Some(_) => Err(Error::new(ErrorKind::Unavailable, "moved", detail)),
        }
    }

    fn note_move(&self, row: MoveRow) {
        // The first one noted stays.
        let _ = self.moved.set(row);
        self.looked_at.store(NOT_FRESH, Ordering::Release);
    }

    /// To be called before a transaction that writes a change, and held until it ended: meanwhile, and until the next
    /// look, this node answers from SQL. So whoever was told that a change is done finds it done.
    pub(crate) fn announce(&self) -> Announced<'_> {
        let mut own = self.own();
        own.under_way += 1;
        self.looked_at.store(NOT_FRESH, Ordering::Release);
        Announced { feed: self }
    }

    fn finish_look(&self, began: Timestamp, count_before: u64) {
        let own = self.own();
        if own.under_way == 0 && own.count == count_before {
            self.looked_at.store(began.as_micros(), Ordering::Release);
        }
    }
}

/// A change of this node is being committed.
pub(crate) struct Announced<'a> {
    feed: &'a Feed,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        let mut own = self.feed.own();
        own.under_way -= 1;
        own.count += 1;
        drop(own);
        self.feed.poke.notify_one();
    }
}

impl App {
    /// Whether the copies may be believed now. They are brought up to date when nobody else is at it. An error: this
    /// node cannot hear of changes.
    pub(crate) async fn copies_hold(&self) -> Result<bool> {
        self.feed.require_here()?;
        if self.feed.is_fresh(self.now()) {
            return Ok(true);
        }
        if self.feed.own().under_way > 0 {
            return Ok(false);
        }
        let Ok(mut position) = self.feed.position.try_lock() else {
            let is_failing = self.feed.is_failing.load(Ordering::Relaxed);
            return if is_failing { Err(cannot_hear()) } else { Ok(false) };
        };
        if let Err(error) = self.look(&mut position).await {
            return Err(cannot_hear().with_source(error));
        }
        Ok(self.feed.is_fresh(self.now()))
    }

    /// Reads what changed since the last look and mends the copies.
    pub(crate) async fn look_at_changes(&self) -> Result<()> {
        let mut position = self.feed.position.lock().await;
        self.look(&mut position).await
    }

    async fn look(&self, position: &mut Position) -> Result<()> {
        let (began, count_before) = (self.now(), self.feed.own().count);
        let looked = position.advance(self, began).await;
        self.feed.is_failing.store(looked.is_err(), Ordering::Relaxed);
        looked?;
        self.feed.finish_look(began, count_before);
        Ok(())
    }
}

fn cannot_hear() -> Error {
    let detail = "this node cannot read what changed, so it offers nothing; send the request again";
    Error::new(ErrorKind::Unavailable, "changes_unknown", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn copies_are_believed_for_five_seconds_after_a_look_began() {
        let feed = Feed::default();
        assert!(!feed.is_fresh(at(100)), "nobody looked yet");
        feed.finish_look(at(100), 0);
        assert_eq!([99, 100, 104, 105].map(|now| feed.is_fresh(at(now))), [false, true, true, false]);
    }

    #[test]
    fn a_look_that_began_before_a_change_of_ones_own_does_not_count() {
        let feed = Feed::default();
        feed.finish_look(at(100), 0);
        let before = feed.own().count;
        let news = feed.announce();
        assert!(!feed.is_fresh(at(100)), "from the announcement on");
        feed.finish_look(at(101), before);
        assert!(!feed.is_fresh(at(101)), "it may be committed any moment");
        drop(news);
        feed.finish_look(at(101), before);
        assert!(!feed.is_fresh(at(101)), "this look may not have seen it");
        let after = feed.own().count;
        feed.finish_look(at(101), after);
        assert!(feed.is_fresh(at(101)));
    }
}
