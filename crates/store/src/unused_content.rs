//! Content that lost its last name.

use drover_db::{Conn, Tx, run};
use drover_types::{Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    NOTE = "INSERT INTO unused_content (tenant_id, sha256, since) VALUES ($1, $2, $3) \
            ON CONFLICT (tenant_id, sha256) DO UPDATE SET since = excluded.since";
    OLD = "SELECT sha256 FROM unused_content WHERE tenant_id = $1 AND since < $2 ORDER BY since LIMIT $3";
    IS_OLD = "SELECT COUNT(*) FROM unused_content WHERE tenant_id = $1 AND sha256 = $2 AND since < $3";
    FORGET = "DELETE FROM unused_content WHERE tenant_id = $1 AND sha256 = $2";
}

/// Notes that content may have lost its last name.
pub async fn note(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(NOTE).bind(tenant).bind(sha256).bind(now).execute(c).await.map(drop))
}

/// Up to `limit` that were noted before `before`, oldest first.
pub async fn old(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    before: Timestamp,
    limit: i64,
) -> Result<Vec<Sha256Digest>> {
    run!(conn, |c| sqlx::query_scalar(OLD).bind(tenant).bind(before).bind(limit).fetch_all(c).await)
}

/// Whether it was noted before `before`, and not again since.
pub async fn is_old(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    sha256: Sha256Digest,
    before: Timestamp,
) -> Result<bool> {
    let noted: i64 =
        run!(conn, |c| sqlx::query_scalar(IS_OLD).bind(tenant).bind(sha256).bind(before).fetch_one(c).await)?;
    Ok(noted > 0)
}

/// Forgets a note.
pub async fn forget(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest) -> Result<()> {
    run!(tx, |c| sqlx::query(FORGET).bind(tenant).bind(sha256).execute(c).await.map(drop))
}
