//! Numbers the entries of the audit log: each tenant's from 1, without a gap, none twice.
//!
//! One node numbers at a time, under a lease that every transaction verifies. What it looks for is "committed and
//! without a number", never "newer than the last": transactions commit in another order than that of their ids.

use std::sync::Arc;
use std::time::Duration;

use drover_db::Lease;
use drover_store::audit;
use drover_types::{ErrorKind, TenantId};
use tokio_util::sync::CancellationToken;

use crate::{App, Error, Result};

/// A sequencer that died is replaced after this long.
const LEASE_TTL: Duration = Duration::from_secs(5);
const LEASE_NAME: &str = "audit-sequencer";

/// How often it looks; looking changes nothing and reads an index that is empty most of the time.
const INTERVAL: Duration = Duration::from_millis(250);

/// Entries per transaction, and tenants per round.
const BATCH_MAX: u32 = 512;
const TENANTS_MAX: u32 = 100;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    let mut lease = None;
    while !stop.is_cancelled() {
        let more = round(&app, &mut lease).await.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "failed to number audit entries; trying again");
            false
        });
        if more {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    if let Some(lease) = lease
        && let Err(error) = app.db.lease_release(&lease).await
    {
        tracing::debug!(%error, "the sequencer's lease was not given back; it runs out by itself");
    }
}

/// One batch of each tenant. Says whether there is more to do at once. Nothing is written, not even the lease's time,
/// while there is nothing to number.
async fn round(app: &App, lease: &mut Option<Lease>) -> Result<bool> {
    let tenants = audit::unnumbered(&app.db, TENANTS_MAX.into()).await?;
    if tenants.is_empty() {
        return Ok(false);
    }
    let Some(held) = hold_lease(app, lease).await? else { return Ok(false) };
    let mut more = tenants.len() == TENANTS_MAX as usize;
    for tenant in tenants {
        match number(app, held.clone(), tenant).await {
            Ok(entries) => {
                tracing::debug!(%tenant, entries, "numbered audit entries");
                more |= entries == u64::from(BATCH_MAX);
            }
            // One that cannot be numbered must not stop the others.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, %tenant, "failed to number a tenant's audit entries; trying again");
            }
        }
    }
    Ok(more)
}

/// The lease for one round; none while another node has it.
async fn hold_lease(app: &App, lease: &mut Option<Lease>) -> Result<Option<Lease>> {
    if let Some(held) = lease
        && app.db.lease_renew(held, LEASE_TTL).await?
    {
        return Ok(Some(held.clone()));
    }
    let holder = format!("process {}", std::process::id());
    *lease = app.db.lease_acquire(LEASE_NAME, &holder, LEASE_TTL).await?;
    super::note_lease(lease.as_ref());
    Ok(lease.clone())
}

async fn number(app: &App, lease: Lease, tenant: TenantId) -> Result<u64> {
    app.writer
        .write(move |tx| {
            Box::pin(async move {
                lease.verify(tx).await.map_err(|error| {
                    let detail = "another node numbers the audit entries now";
                    Error::new(ErrorKind::Unavailable, "lease_lost", detail).with_source(error)
                })?;
                Ok::<_, Error>(audit::number(tx, tenant, BATCH_MAX.into()).await?)
            })
        })
        .await
}
