//! Forgets what is over: ended logins, old idempotency keys, content without a name, what killed uploads left in the
//! object store. Archives what ended long ago.

use std::sync::Arc;
use std::time::Duration;

use drover_store::{changes, idempotency, logins, tenants, unused_content};
use drover_types::TenantId;
use tokio_util::sync::CancellationToken;

use super::archive;
use crate::uploads::UPLOAD_LEFT_AFTER;
use crate::{App, Error, Result};

const INTERVAL: Duration = Duration::from_hours(1);

/// How long a creating request may be repeated.
const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);

/// How long content without a name is kept: an upload that is under way may give it a new one.
const UNUSED_CONTENT_TTL: Duration = Duration::from_hours(24);

/// How long changes are kept for nodes that have not read them.
const CHANGES_TTL: Duration = Duration::from_hours(1);

/// Content removed per tenant and round.
const CONTENT_MAX: i64 = 1_000;

/// Tenants per page.
const TENANTS_MAX: i64 = 1_000;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        round(&app, &stop).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// What cannot be cleaned up must not stop the rest: it is logged, and tried again in the next round.
pub(super) async fn round(app: &App, stop: &CancellationToken) {
    let trimmed = app
        .writer
        .write(move |tx| Box::pin(async move { Ok::<_, Error>(changes::trim(tx, CHANGES_TTL).await?) }))
        .await;
    note(trimmed, "changes", None);
    let mut after = None;
    loop {
        let tenants = tenants::all_behind(&app.db, after, TENANTS_MAX).await.unwrap_or_else(|error| {
            note(Err(error.into()), "tenants", None);
            Vec::new()
        });
        let Some(last) = tenants.last() else { break };
        after = Some(last.tenant_id);
        for tenant in tenants {
            if stop.is_cancelled() {
                return;
            }
            clean_up(app, tenant.tenant_id, stop).await;
        }
    }
    let swept = app.blobs.sweep(app.now().minus(UPLOAD_LEFT_AFTER)).await;
    note(swept.map(drop).map_err(|error| Error::internal("clear away what uploads left", error)), "uploads", None);
}

async fn clean_up(app: &App, tenant: TenantId, stop: &CancellationToken) {
    let now = app.now();
    let forgotten = app
        .writer
        .write(move |tx| {
            Box::pin(async move {
                logins::delete_expired(tx, tenant, now).await?;
                idempotency::delete_old(tx, tenant, now.minus(IDEMPOTENCY_TTL)).await?;
                Ok::<_, Error>(())
            })
        })
        .await;
    note(forgotten, "logins and repeated requests", Some(tenant));
    let before = now.minus(UNUSED_CONTENT_TTL);
    match unused_content::old(&app.db, tenant, before, CONTENT_MAX).await {
        Ok(unused) => {
            for sha256 in unused {
                let removed = app.remove_unused_content(tenant, sha256, before).await;
                note(removed, "content without a name", Some(tenant));
            }
        }
        Err(error) => note(Err(error.into()), "content without a name", Some(tenant)),
    }
    note(archive::round(app, tenant, stop).await, "rollouts that ended long ago", Some(tenant));
}

fn note(done: Result<()>, what: &'static str, tenant: Option<TenantId>) {
    if let Err(error) = done {
        let tenant = tenant.map(tracing::field::display);
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, what, tenant, "failed to clean up; trying again in an hour");
    }
}
