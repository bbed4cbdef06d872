//! Forgets what is over: ended logins, old idempotency keys.

use std::sync::Arc;
use std::time::Duration;

use drover_store::{idempotency, logins, tenants};
use tokio_util::sync::CancellationToken;

use crate::{App, Error, Result};

const INTERVAL: Duration = Duration::from_hours(1);

/// How long a creating request may be repeated.
const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);

/// Tenants per round; the next round begins with the same ones, and each is quick.
const TENANTS_MAX: i64 = 10_000;

pub(super) async fn run(app: Arc<App>, stop: CancellationToken) {
    loop {
        if let Err(error) = round(&app).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "failed to clean up; trying again in an hour");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

async fn round(app: &App) -> Result<()> {
    let now = app.now();
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
    }
    Ok(())
}
