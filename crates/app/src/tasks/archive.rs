//! Moves the ended sessions of rollouts that ended long ago into the archive.

use drover_store::{archive, rollouts};
use drover_types::{RolloutId, TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{App, Error, Result};

/// Sessions per transaction.
const BATCH: i64 = 1_000;

/// Rollouts per tenant and round.
const ROLLOUTS_MAX: i64 = 100;

/// Archives what is due in one tenant; ends early, between two batches, when `stop` is cancelled.
pub(super) async fn round(app: &App, tenant: TenantId, stop: &CancellationToken) -> Result<()> {
    let before = app.now().minus(app.settings.archive_after);
    for rollout in archive::due(&app.db, tenant, before, ROLLOUTS_MAX).await? {
        // One that cannot be archived must not stop the others.
        if let Err(error) = one(app, tenant, rollout, before, stop).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, %tenant, %rollout, "failed to archive this rollout; trying again in an hour");
        }
    }
    Ok(())
}

async fn one(
    app: &App,
    tenant: TenantId,
    rollout: RolloutId,
    before: Timestamp,
    stop: &CancellationToken,
) -> Result<()> {
    archive::prepare(&app.db, tenant, rollout, before).await?;
    while !stop.is_cancelled() && batch(app, tenant, rollout, before).await? > 0 {}
    Ok(())
}

/// Moves some sessions of one rollout and says how many.
async fn batch(app: &App, tenant: TenantId, rollout: RolloutId, before: Timestamp) -> Result<u64> {
    let now = app.now();
    app.writer
        .write(move |tx| {
            Box::pin(async move {
                // Held still: no report, no way back and no other node's archive comes in between.
                rollouts::lock(tx, tenant, rollout).await?;
                Ok::<_, Error>(archive::move_sessions(tx, tenant, rollout, before, BATCH, now).await?)
            })
        })
        .await
}
