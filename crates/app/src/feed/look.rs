//! One look at the changes.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use drover_store::changes::{self, Horizon};
use drover_store::{counters, moves, update_sessions};
use drover_types::{ChangeKind, DeviceId, RolloutId, SessionState, TenantId, Timestamp, UpdateSessionId};
use uuid::Uuid;

use crate::{App, Result};

/// A node that has not looked for this long begins anew. Housekeeping keeps changes for an hour, so none was missed.
/// And the net below all nodes: whatever was missed, everything is read again in this time (tokens: `tasks/token_reader.rs`).
pub(crate) const BEGIN_ANEW_AFTER: Duration = Duration::from_mins(30);

/// How long one statement may take: a connection whose server is gone without a word would be silent for minutes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the horizon may stand still while changes come, until somebody is told.
const STANDSTILL: Duration = Duration::from_mins(1);

/// Rows per page of changes, and of sessions.
const CHANGES_PER_PAGE: i64 = 1_000;
const SESSIONS_PER_PAGE: i64 = 5_000;

/// How far this node has read.
#[derive(Default)]
pub(super) struct Position {
    /// When it last looked; none before the first time.
    looked_at: Option<Timestamp>,
    /// When it last read everything.
    began_at: Option<Timestamp>,
    /// Everything with a lower number has been seen.
    horizon: Horizon,
    /// Since when the horizon stands there.
    stands_since: Option<Timestamp>,
    /// What has been seen above.
    seen: HashSet<(i64, Uuid)>,
}

/// What a look does.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    /// What is in memory may be wrong: it is emptied, and everything is read.
    Anew,
    /// Everything is read, and added to what is there.
    Again,
    /// What changed is read.
    Further,
}

/// What the changes name.
#[derive(Default)]
struct News {
    /// All of them, those that were seen before among them.
    seen: HashSet<(i64, Uuid)>,
    devices: HashSet<DeviceId>,
    rollouts: BTreeSet<(TenantId, RolloutId)>,
}

impl Position {
    /// Goes on to what can be seen now. Given up half-way, the next one does all of it again.
    pub(super) async fn advance(&mut self, app: &App, now: Timestamp) -> Result<()> {
        // A server that slept, or just started, may have been overlooked by whoever moved the installation.
        if let Some(moved) = in_time(moves::current(&app.db)).await? {
            app.feed.note_move(moved);
            app.feed.require_here()?;
        }
        // Before anything is read: what commits after this has a number from here on, or is read below all the same.
        let horizon = in_time(changes::horizon(&app.db)).await?;
        let begin = self.begin(horizon, app.feed.work.is_full(), now);
        if begin == Begin::Anew {
            self.looked_at = None;
            self.seen.clear();
            app.feed.tokens.clear();
            app.feed.work.clear();
        } else {
            let news = self.read(app).await?;
            if !news.devices.is_empty() {
                app.feed.tokens.forget(&news.devices);
                app.feed.work.add(news.devices.iter().copied());
            }
            for (tenant, rollout) in news.rollouts {
                load(app, tenant, rollout).await?;
            }
            self.seen = news.seen;
            self.seen.retain(|(seq, _)| *seq >= horizon.number);
        }
        if begin != Begin::Further {
            for open in in_time(counters::open(&app.db)).await? {
                load(app, open.tenant_id, open.rollout_id).await?;
            }
            app.feed.work.loaded();
            self.began_at = Some(now);
        }
        self.note_standstill(horizon, now);
        (self.horizon, self.looked_at) = (horizon, Some(now));
        Ok(())
    }

    fn begin(&self, horizon: Horizon, is_full: bool, now: Timestamp) -> Begin {
        let is_old = |then: Timestamp| then > now || now.since(then) > BEGIN_ANEW_AFTER;
        // A server that crashed, or another one that took its place, may not know the last numbers, and gives them to
        // other transactions.
        let is_other = horizon.server_us != self.horizon.server_us || horizon.number < self.horizon.number;
        if self.looked_at.is_none_or(is_old) || is_other {
            return Begin::Anew;
        }
        if !self.began_at.is_none_or(is_old) {
            return Begin::Further;
        }
        // There may be room for everything by now.
        if is_full { Begin::Anew } else { Begin::Again }
    }

    /// Warns when a transaction that does not end makes every look read the same changes again.
    fn note_standstill(&mut self, horizon: Horizon, now: Timestamp) {
        let since = *self.stands_since.get_or_insert(now);
        if horizon != self.horizon || self.seen.is_empty() || since > now {
            self.stands_since = Some(now);
        } else if now.since(since) > STANDSTILL {
            let changes = self.seen.len();
            tracing::warn!(
                changes,
                "a transaction on the database server does not end, so the same changes are read again and again: look \
                 for it in pg_stat_activity and pg_prepared_xacts, in all databases of the server"
            );
            self.stands_since = Some(now);
        }
    }

    async fn read(&self, app: &App) -> Result<News> {
        let mut news = News::default();
        let mut after = (self.horizon.number, Uuid::nil());
        loop {
            let rows = in_time(changes::page(&app.db, after, CHANGES_PER_PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(news) };
            after = (last.seq, last.subject_id);
            for row in &rows {
                news.seen.insert((row.seq, row.subject_id));
                if self.seen.contains(&(row.seq, row.subject_id)) {
                    continue;
                }
                match row.kind {
                    ChangeKind::Device => drop(news.devices.insert(DeviceId(row.subject_id))),
                    ChangeKind::Rollout => drop(news.rollouts.insert((row.tenant_id, RolloutId(row.subject_id)))),
                }
            }
        }
    }
}

/// Notes every device with a session of this rollout that has not ended.
async fn load(app: &App, tenant: TenantId, rollout: RolloutId) -> Result<()> {
    for state in SessionState::ALL.iter().filter(|state| !state.is_final()) {
        let mut after = UpdateSessionId(Uuid::nil());
        loop {
            let page = update_sessions::devices_of(&app.db, tenant, rollout, *state, after, SESSIONS_PER_PAGE);
            let page = in_time(page).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            app.feed.work.add(page.iter().map(|session| session.device_id));
        }
    }
    Ok(())
}

/// Gives a statement up that takes too long.
pub(crate) async fn in_time<T>(statement: impl Future<Output = drover_store::Result<T>>) -> drover_store::Result<T> {
    within(STATEMENT_TIMEOUT, statement).await
}

async fn within<T>(
    limit: Duration,
    statement: impl Future<Output = drover_store::Result<T>>,
) -> drover_store::Result<T> {
    let answered = tokio::time::timeout(limit, statement).await;
    answered.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(minutes * 60_000_000)
    }

    #[test]
    fn a_node_begins_anew_when_numbers_may_have_been_given_twice() {
        let horizon = Horizon { number: 823, server_us: 5 };
        let position = Position { looked_at: Some(at(100)), began_at: Some(at(100)), horizon, ..Position::default() };
        let begin = |number, server_us, now| position.begin(Horizon { number, server_us }, false, at(now));
        assert_eq!(begin(823, 5, 101), Begin::Further);
        assert_eq!(begin(817, 5, 101), Begin::Anew, "the server lost its last numbers");
        assert_eq!(begin(900, 6, 101), Begin::Anew, "another server, which has caught up");
        assert_eq!(begin(900, 5, 131), Begin::Anew, "changes may be gone");
        assert_eq!(begin(900, 5, 99), Begin::Anew, "a clock that was put back");
        assert_eq!(Position::default().begin(horizon, false, at(1)), Begin::Anew, "the first look");
    }

    #[test]
    fn everything_is_read_again_every_half_hour() {
        let horizon = Horizon { number: 1, server_us: 0 };
        let position = Position { looked_at: Some(at(130)), began_at: Some(at(100)), horizon, ..Position::default() };
        assert_eq!(position.begin(horizon, false, at(130)), Begin::Further);
        assert_eq!(position.begin(horizon, false, at(131)), Begin::Again, "what is known stays meanwhile");
        assert_eq!(position.begin(horizon, true, at(131)), Begin::Anew);
    }

    #[tokio::test]
    async fn a_database_that_is_silent_is_given_up() {
        let silent = within(Duration::ZERO, std::future::pending::<drover_store::Result<()>>()).await;
        assert!(matches!(silent, Err(sqlx::Error::Io(error)) if error.kind() == std::io::ErrorKind::TimedOut));
    }
}
