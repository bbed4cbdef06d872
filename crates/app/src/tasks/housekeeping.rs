//! Forgets what is over: ended logins, old idempotency keys, content without a name, what killed uploads left in the
//! object store. Archives what ended long ago.

use std::sync::Arc;
use std::time::Duration;

use drover_store::{changes, idempotency, logins, tenants, unused_content};
use drover_types::{TenantId, Timestamp};
use tokio_util::sync::CancellationToken;

use super::archive;
use crate::uploads::UPLOAD_TTL;
use crate::{App, Error, Result};

const INTERVAL: Duration = Duration::from_hours(1);

/// How long a creating request may be repeated.
const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);

/// How long content without a name is kept: an upload that is under way may give it a new one.
const UNUSED_CONTENT_TTL: Duration = Duration::from_hours(24);

/// How long changes are kept for nodes that have not read them.
const CHANGES_TTL: Duration = Duration::from_hours(1);

/// What uploads leave in the object store when nobody knows them is older than any that is still known.
const UPLOAD_LEFT_AFTER: Duration = UPLOAD_TTL.saturating_add(Duration::from_hours(24));

/// Content removed per tenant and round.
const CONTENT_MAX: i64 = 1_000;

/// Tenants per round; the next round begins with the same ones, and each is quick.
const TENANTS_MAX: i64 = 10_000;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&app, &stop).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "failed to clean up; trying again in an hour");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

pub(super) async fn round(app: &App, stop: &CancellationToken) -> Result<()> {
    let now = app.now();
    app.writer.write(move |tx| Box::pin(async move { Ok::<_, Error>(changes::trim(tx, CHANGES_TTL).await?) })).await?;
    for tenant in tenants::all(&app.db, TENANTS_MAX).await? {
        let tenant = tenant.tenant_id;
        app.writer
            .write(move |tx| {
                Box::pin(async move {
                    logins::delete_expired(tx, tenant, now).await?;
                    idempotency::delete_old(tx, tenant, now.minus(IDEMPOTENCY_TTL)).await?;
                    Ok::<_, Error>(())
                })
            })
            .await?;
        remove_content(app, tenant, now.minus(UNUSED_CONTENT_TTL)).await?;
        archive::round(app, tenant, stop).await?;
    }
    let swept = app.blobs.sweep(now.minus(UPLOAD_LEFT_AFTER)).await;
    swept.map(drop).map_err(|error| Error::internal("clear away what uploads left", error))
}

async fn remove_content(app: &App, tenant: TenantId, before: Timestamp) -> Result<()> {
    for sha256 in unused_content::old(&app.db, tenant, before, CONTENT_MAX).await? {
        // Since the list was made, an upload may have announced it.
        if !unused_content::is_old(&app.db, tenant, sha256, before).await? {
            continue;
        }
        app.remove_unused_content(tenant, sha256).await?;
        app.writer
            .write(move |tx| Box::pin(async move { Ok::<_, Error>(unused_content::forget(tx, tenant, sha256).await?) }))
            .await?;
    }
    Ok(())
}
