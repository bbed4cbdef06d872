//! Looks at uploads when their time has come: verifies, gives up, clears away.
//!
//! Every node does; a claim keeps two from doing the same at once, and nothing depends on it. Reading back takes up to
//! hours, so several are read at once, and no tenant has more than its share of the places.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use drover_store::uploads::{self, DueRow, Work};
use drover_types::TenantId;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use crate::App;

/// How often a node looks when nobody pokes it.
const INTERVAL: Duration = Duration::from_secs(5);
/// Uploads that a node reads back at once.
const VERIFIED_AT_ONCE: i64 = 8;
/// How many of those may be of one tenant.
const VERIFIED_SHARE: i64 = 2;
/// Uploads that a node clears away at once.
const CLEARED_AT_ONCE: usize = 4;
/// Uploads per round that are given up or cleared away, of one tenant and in all.
const CLEARED_SHARE: i64 = 10;
const CLEARED_MAX: i64 = 100;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = verify(&app) => {}
        () = clear(&app) => {}
    }
}

async fn verify(app: &App) {
    let (mut running, mut busy) = (FuturesUnordered::new(), HashMap::new());
    loop {
        for due in next(due(app, Work::Verify, VERIFIED_SHARE, VERIFIED_AT_ONCE).await, &mut busy) {
            running.push(async move { (due.tenant_id, look_at(app, due).await) });
        }
        loop {
            tokio::select! {
                Some((tenant, is_done)) = running.next() => {
                    release(&mut busy, tenant);
                    // After a failure it waits: the database may be what fails.
                    if is_done {
                        break;
                    }
                }
                () = app.poke_uploads.notified() => break,
                () = tokio::time::sleep(INTERVAL) => break,
            }
        }
    }
}

async fn clear(app: &App) {
    loop {
        let due = due(app, Work::Clear, CLEARED_SHARE, CLEARED_MAX).await;
        stream::iter(due).for_each_concurrent(CLEARED_AT_ONCE, |due| look_at(app, due).map(drop)).await;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn due(app: &App, work: Work, share: i64, limit: i64) -> Vec<DueRow> {
    uploads::due(&app.db, app.now(), work, share, limit).await.unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn std::error::Error, "failed to look at uploads; trying again");
        Vec::new()
    })
}

/// False when it failed: one that cannot be finished must not stop the others.
async fn look_at(app: &App, due: DueRow) -> bool {
    let looked = app.look_at_upload(due).await.inspect_err(|error| {
        tracing::warn!(error = error as &dyn std::error::Error, upload = %due.id, "failed to end an upload");
    });
    looked.is_ok()
}

/// Those of `due` for which there is a place; it is taken.
fn next(due: Vec<DueRow>, busy: &mut HashMap<TenantId, i64>) -> Vec<DueRow> {
    let mut chosen = Vec::new();
    for row in due {
        let free = VERIFIED_AT_ONCE - busy.values().sum::<i64>();
        let taken = busy.get(&row.tenant_id).copied().unwrap_or(0);
        if free > 0 && taken < VERIFIED_SHARE {
            busy.insert(row.tenant_id, taken + 1);
            chosen.push(row);
        }
    }
    chosen
}

fn release(busy: &mut HashMap<TenantId, i64>, tenant: TenantId) {
    if let Some(taken) = busy.get_mut(&tenant) {
        *taken -= 1;
    }
    busy.retain(|_, taken| *taken > 0);
}

#[cfg(test)]
mod tests {
    use drover_types::{Timestamp, UploadId};
    use uuid::Uuid;

    use super::*;

    fn rows(tenants: &[u128]) -> Vec<DueRow> {
        let row = |(n, tenant): (u128, &u128)| DueRow {
            tenant_id: TenantId(Uuid::from_u128(*tenant)),
            id: UploadId(Uuid::from_u128(n)),
            next_action_at: Timestamp::from_micros(0),
        };
        (0_u128..).zip(tenants).map(row).collect()
    }

    fn tenants(rows: &[DueRow]) -> Vec<u128> {
        rows.iter().map(|row| row.tenant_id.0.as_u128()).collect()
    }

    #[test]
    fn no_tenant_has_more_than_its_share() {
        let mut busy = HashMap::new();
        assert_eq!(tenants(&next(rows(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 2]), &mut busy)), [1, 1, 2]);
        assert_eq!(tenants(&next(rows(&[1, 3, 2, 2]), &mut busy)), [3, 2]);
        release(&mut busy, TenantId(Uuid::from_u128(1)));
        assert_eq!(tenants(&next(rows(&[1, 1]), &mut busy)), [1]);
        assert_eq!(tenants(&next(rows(&[4, 5, 6, 7]), &mut busy)), [4, 5, 6], "all places are taken");
        release(&mut busy, TenantId(Uuid::from_u128(9)));
        assert_eq!(tenants(&next(rows(&[7]), &mut busy)), [0; 0]);
        release(&mut busy, TenantId(Uuid::from_u128(3)));
        assert_eq!(tenants(&next(rows(&[7]), &mut busy)), [7]);
    }
}
