//! The change feed: what nodes keep in memory and have to forget or load anew.
//!
//! A row is written in the transaction of the change. Nodes read *every* row from a horizon on, and those above it once
//! more the next time: `seq > last` would lose a transaction that took its number early and committed late.

use std::time::Duration;

use drover_db::{Conn, Dialect, Tx, run};
use drover_types::{ChangeKind, DeviceId, RolloutId, TenantId};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Result, statements};

statements! {
    PUSH = "INSERT INTO changes (tenant_id, subject_id, kind, created_at, seq) \
            VALUES ($1, $2, $3, {now_us}, {commit_number}) ON CONFLICT (tenant_id, seq, subject_id) DO NOTHING";
    HORIZON = "SELECT {commit_horizon} AS number, {server_start} AS server_us";
    // Of all tenants: a node serves the installation; each row says whose it is.
    FROM = "SELECT seq, tenant_id, kind, subject_id FROM changes WHERE (seq, subject_id) > ($1, $2) \
            ORDER BY seq, subject_id LIMIT $3";
    // By the database's clock, as nodes' clocks may differ by more than the time that changes are kept. The last row
    // stays: where numbers count on from it, none is given twice.
    TRIM = "DELETE FROM changes WHERE created_at < {now_us} - $1 AND seq < (SELECT MAX(seq) FROM changes)";
}

/// Something that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct ChangeRow {
    /// The number of the transaction that changed it.
    pub seq: i64,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What kind of thing.
    pub kind: ChangeKind,
    /// Which one.
    pub subject_id: Uuid,
}

/// How far changes have come to light.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct Horizon {
    /// All changes with a lower number can be seen.
    pub number: i64,
    /// When the server that says so was started: another server, or the same one after a crash, may give numbers again.
    pub server_us: i64,
}

/// A statement with the fragments of a dialect in their places.
pub(crate) fn with_fragments(sql: &str, dialect: Dialect) -> String {
    sql.replace("{commit_number}", dialect.commit_number())
        .replace("{commit_horizon}", dialect.commit_horizon())
        .replace("{server_start}", dialect.server_start_us())
        .replace("{now_us}", dialect.now_us())
}

/// A device lost a token, is gone, or has new work.
pub async fn push_device(tx: &mut Tx, tenant: TenantId, device: DeviceId) -> Result<()> {
    push(tx, tenant, ChangeKind::Device, device.0).await
}

/// Waiting devices of a rollout may be told now.
pub async fn push_rollout(tx: &mut Tx, tenant: TenantId, rollout: RolloutId) -> Result<()> {
    push(tx, tenant, ChangeKind::Rollout, rollout.0).await
}

async fn push(tx: &mut Tx, tenant: TenantId, kind: ChangeKind, subject: Uuid) -> Result<()> {
    let sql = with_fragments(PUSH, tx.dialect());
    run!(tx, |c| sqlx::query(AssertSqlSafe(sql)).bind(tenant).bind(subject).bind(kind).execute(c).await.map(drop))
}

/// How far changes have come to light; ask for it before [`page`].
pub async fn horizon(db: &drover_db::Db) -> Result<Horizon> {
    let sql = with_fragments(HORIZON, db.dialect());
    run!(db, |c| sqlx::query_as(AssertSqlSafe(sql)).fetch_one(c).await)
}

/// Up to `limit` changes behind (number, subject), in that order.
pub async fn page(conn: impl Into<Conn<'_>>, after: (i64, Uuid), limit: i64) -> Result<Vec<ChangeRow>> {
    run!(conn, |c| sqlx::query_as(FROM).bind(after.0).bind(after.1).bind(limit).fetch_all(c).await)
}

/// Forgets changes that are older than `ttl`.
pub async fn trim(tx: &mut Tx, ttl: Duration) -> Result<()> {
    let sql = with_fragments(TRIM, tx.dialect());
    let ttl_us = i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX);
    run!(tx, |c| sqlx::query(AssertSqlSafe(sql)).bind(ttl_us).execute(c).await.map(drop))
}
