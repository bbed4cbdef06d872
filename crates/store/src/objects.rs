//! Names for content: what can be presigned.

use drover_db::{Conn, Tx, run};
use drover_types::{FirmwareId, Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO objects (tenant_id, name, size_bytes, sha256, firmware_id, created_at) \
              VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, name) DO NOTHING";
    GET = "SELECT name, size_bytes, sha256, created_at FROM objects WHERE tenant_id = $1 AND name = $2";
    PAGE = "SELECT name, size_bytes, sha256, created_at FROM objects \
            WHERE tenant_id = $1 AND (CAST($2 AS TEXT) IS NULL OR name > $2) \
            AND (CAST($3 AS TEXT) IS NULL OR substr(name, 1, length($3)) = $3) ORDER BY name LIMIT $4";
    DELETE = "DELETE FROM objects WHERE tenant_id = $1 AND name = $2";
    USES_OF_CONTENT = "SELECT COUNT(*) FROM objects WHERE tenant_id = $1 AND sha256 = $2";
}

/// A name for content.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ObjectRow {
    /// The name.
    pub name: String,
    /// The content's size.
    pub size_bytes: i64,
    /// The content's SHA-256.
    pub sha256: Sha256Digest,
    /// When the name was given.
    pub created_at: Timestamp,
}

/// Names content, for ever; false when the name is taken.
pub async fn insert(tx: &mut Tx, tenant: TenantId, object: &ObjectRow, firmware: Option<FirmwareId>) -> Result<bool> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(&object.name)
        .bind(object.size_bytes)
        .bind(object.sha256)
        .bind(firmware)
        .bind(object.created_at)
        .execute(c)
        .await
        .map(|done| done.rows_affected() == 1))
}

/// What the name stands for.
pub async fn get(conn: impl Into<Conn<'_>>, tenant: TenantId, name: &str) -> Result<Option<ObjectRow>> {
    run!(conn, |c| sqlx::query_as(GET).bind(tenant).bind(name).fetch_optional(c).await)
}

/// Up to `limit` names that start with `prefix`, in their order, from behind `after`.
pub async fn page(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    after: Option<&str>,
    prefix: Option<&str>,
    limit: i64,
) -> Result<Vec<ObjectRow>> {
    run!(conn, |c| sqlx::query_as(PAGE).bind(tenant).bind(after).bind(prefix).bind(limit).fetch_all(c).await)
}

/// Takes a name back.
pub async fn delete(tx: &mut Tx, tenant: TenantId, name: &str) -> Result<()> {
    run!(tx, |c| sqlx::query(DELETE).bind(tenant).bind(name).execute(c).await.map(drop))
}

/// How many names stand for this content.
pub async fn uses_of_content(conn: impl Into<Conn<'_>>, tenant: TenantId, sha256: Sha256Digest) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(USES_OF_CONTENT).bind(tenant).bind(sha256).fetch_one(c).await)
}
