//! One look at the changes.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use drover_store::{changes, counters, update_sessions};
use drover_types::{ChangeKind, DeviceId, RolloutId, SessionState, TenantId, Timestamp, UpdateSessionId};
use uuid::Uuid;

use crate::{App, Result};

/// A node that has not looked for this long begins anew. Housekeeping keeps changes for an hour, so none was missed.
const BEGIN_ANEW_AFTER: Duration = Duration::from_mins(30);

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
    horizon: i64,
    /// What has been seen above.
    seen: HashSet<(i64, Uuid)>,
}

/// What the changes name.
#[derive(Default)]
struct News {
    seen: Vec<(i64, Uuid)>,
    devices: HashSet<DeviceId>,
    rollouts: BTreeSet<(TenantId, RolloutId)>,
}

impl Position {
    /// Goes on to what can be seen now. Given up half-way, the next one does all of it again.
    pub(super) async fn advance(&mut self, app: &App, now: Timestamp) -> Result<()> {
        // Before anything is read: what commits after this has a number from here on, or is read below all the same.
        let horizon = changes::horizon(&app.db).await?;
        let is_old = |then: Timestamp| then > now || now.since(then) > BEGIN_ANEW_AFTER;
        let is_lost = self.looked_at.is_none_or(is_old) || app.feed.work.is_full() && self.began_at.is_none_or(is_old);
        if is_lost {
            self.looked_at = None;
            self.seen.clear();
            app.feed.tokens.clear();
            app.feed.work.clear();
            for open in counters::open(&app.db).await? {
                load(app, open.tenant_id, open.rollout_id).await?;
            }
            app.feed.work.loaded();
            self.began_at = Some(now);
        } else {
            let news = self.read(app).await?;
            if !news.devices.is_empty() {
                app.feed.tokens.forget(&news.devices);
                app.feed.work.add(news.devices.iter().copied());
            }
            for (tenant, rollout) in news.rollouts {
                load(app, tenant, rollout).await?;
            }
            self.seen.extend(news.seen);
            self.seen.retain(|(seq, _)| *seq >= horizon);
        }
        (self.horizon, self.looked_at) = (horizon, Some(now));
        Ok(())
    }

    async fn read(&self, app: &App) -> Result<News> {
        let mut news = News::default();
        let mut after = (self.horizon, Uuid::nil());
        loop {
            let rows = changes::page(&app.db, after, CHANGES_PER_PAGE).await?;
            let Some(last) = rows.last() else { return Ok(news) };
            after = (last.seq, last.subject_id);
            for row in rows.iter().filter(|row| !self.seen.contains(&(row.seq, row.subject_id))) {
                news.seen.push((row.seq, row.subject_id));
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
            let page = update_sessions::devices_of(&app.db, tenant, rollout, *state, after, SESSIONS_PER_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            app.feed.work.add(page.iter().map(|session| session.device_id));
        }
    }
    Ok(())
}
