//! Content that lost its last name, and content that is being removed.
//!
//! Whoever is about to give content a name [`note`]s it first and [`forget`]s the note with the name; whoever removes
//! it [`claim`]s it first. Each refuses while the other is at it, so no name is given to bytes that are on their way out.

use std::time::Duration;

use drover_db::{Conn, Tx, run};
use drover_types::{Sha256Digest, TenantId, Timestamp};

use crate::{Result, artifacts, objects, statements};

/// How long a removal may take. An object store gives a request up in a fraction of this.
const REMOVAL_MAX: Duration = Duration::from_mins(15);

/// The right to remove content, of one node at a time. It ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    until: Timestamp,
}

statements! {
    NOTE = "INSERT INTO unused_content (tenant_id, sha256, since) VALUES ($1, $2, $3) \
            ON CONFLICT (tenant_id, sha256) DO UPDATE SET since = excluded.since, going_until = NULL \
            WHERE unused_content.going_until IS NULL OR unused_content.going_until <= excluded.since";
    OLD = "SELECT sha256 FROM unused_content WHERE tenant_id = $1 AND since < $2 ORDER BY since LIMIT $3";
    CLAIM = "UPDATE unused_content SET going_until = $4 WHERE tenant_id = $1 AND sha256 = $2 AND since < $3 \
             AND (going_until IS NULL OR going_until <= $5)";
    FORGET = "DELETE FROM unused_content WHERE tenant_id = $1 AND sha256 = $2 \
              AND (going_until IS NULL OR going_until <= $3)";
    IS_GOING = "SELECT COUNT(*) FROM unused_content WHERE tenant_id = $1 AND sha256 = $2";
    REMOVED = "DELETE FROM unused_content WHERE tenant_id = $1 AND sha256 = $2 AND going_until = $3";
    GIVE_UP = "UPDATE unused_content SET going_until = NULL WHERE tenant_id = $1 AND sha256 = $2 AND going_until = $3";
}

/// Notes that content may have lost its last name, or is about to get one; false while it is being removed.
pub async fn note(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, now: Timestamp) -> Result<bool> {
    run!(tx, |c| sqlx::query(NOTE)
        .bind(tenant)
        .bind(sha256)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
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

/// The right to remove it now: it was noted before `before` and not again since, nothing stands for it, and nobody else is
/// removing it.
pub async fn claim(
    tx: &mut Tx,
    tenant: TenantId,
    sha256: Sha256Digest,
    before: Timestamp,
    now: Timestamp,
) -> Result<Option<Claim>> {
    let until = now.plus(REMOVAL_MAX);
    let claimed = run!(&mut *tx, |c| sqlx::query(CLAIM)
        .bind(tenant)
        .bind(sha256)
        .bind(before)
        .bind(until)
        .bind(now)
        .execute(c)
        .await
        .map(|done| done.rows_affected()))?;
    if claimed == 0 {
        return Ok(None);
    }
    let claim = Claim { until };
    // With the note held still, nobody gives it a name until this transaction ends.
    let uses = artifacts::uses_of_content(&mut *tx, tenant, sha256).await?
        + objects::uses_of_content(&mut *tx, tenant, sha256).await?;
    if uses > 0 {
        removed(tx, tenant, sha256, claim).await?;
        return Ok(None);
    }
    Ok(Some(claim))
}

/// Forgets a note, as the content has a name now; false while it is being removed.
pub async fn forget(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, now: Timestamp) -> Result<bool> {
    run!(&mut *tx, |c| sqlx::query(FORGET).bind(tenant).bind(sha256).bind(now).execute(c).await.map(drop))?;
    let going: i64 = run!(tx, |c| sqlx::query_scalar(IS_GOING).bind(tenant).bind(sha256).fetch_one(c).await)?;
    Ok(going == 0)
}

/// Forgets the note, as the content was removed. Nothing is forgotten when the claim ended meanwhile.
pub async fn removed(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, claim: Claim) -> Result<()> {
    run!(tx, |c| sqlx::query(REMOVED).bind(tenant).bind(sha256).bind(claim.until).execute(c).await.map(drop))
}

/// Gives the claim up, as the content stays: it may get a name at once.
pub async fn give_up(tx: &mut Tx, tenant: TenantId, sha256: Sha256Digest, claim: Claim) -> Result<()> {
    run!(tx, |c| sqlx::query(GIVE_UP).bind(tenant).bind(sha256).bind(claim.until).execute(c).await.map(drop))
}
