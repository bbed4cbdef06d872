//! Reads the tokens of all devices ahead: a fleet that calls after a restart would cost a statement for each device. And
//! again every half hour, the net below what this node hears of changes.

use std::sync::Arc;
use std::time::Duration;

use drover_store::device_tokens;
use drover_types::TenantId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::feed::{BEGIN_ANEW_AFTER, in_time};
use crate::{App, Result};

/// Rows per statement.
const PAGE_ROWS: i64 = 1_000;

/// Before a page that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How often a page is read again because tokens were forgotten meanwhile. Then it is passed over: whoever is not known
/// is looked up.
const TRIES: usize = 5;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let tokens = &app.feed.tokens;
    // The first look at what changed clears them.
    let mut next = Instant::now() + BEGIN_ANEW_AFTER;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokens.cleared.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        next = Instant::now() + BEGIN_ANEW_AFTER;
        tokens.begin_round();
        tokio::select! {
            () = stop.cancelled() => return,
            // All over again.
            () = tokens.cleared.notified() => tokens.cleared.notify_one(),
            // Whatever was not read is forgotten, also when it cannot be: then it is looked up.
            _ = tokio::time::timeout(BEGIN_ANEW_AFTER, read_all(&app)) => tokens.end_round(),
        }
    }
}

async fn read_all(app: &App) {
    let mut after = Some((TenantId(Uuid::nil()), Uuid::nil()));
    while let Some(from) = after {
        let began = Instant::now();
        let rest = match read_page(app, from).await {
            Ok(last) => {
                after = last;
                began.elapsed()
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "failed to read the tokens of devices; trying again");
                RETRY
            }
        };
        // As long as the database worked for this, it works for others.
        tokio::time::sleep(rest).await;
    }
}

/// Where the next page begins; none behind the last one.
async fn read_page(app: &App, after: (TenantId, Uuid)) -> Result<Option<(TenantId, Uuid)>> {
    let mut last = None;
    for _ in 0..TRIES {
        let (turn, began) = (app.feed.tokens.turn(), Instant::now());
        let page = in_time(device_tokens::in_use(&app.db, after, PAGE_ROWS)).await?;
        last = page.last().map(|row| (row.tenant_id, row.id));
        if app.feed.tokens.insert_page(turn, &page) {
            return Ok(last);
        }
        tokio::time::sleep(began.elapsed()).await;
    }
    tracing::debug!("too many devices change: a page of their tokens was passed over");
    Ok(last)
}
