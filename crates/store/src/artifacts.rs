//! Artifacts of firmware.

use drover_db::{Conn, Tx, run};
use drover_types::{FirmwareId, Sha256Digest, TenantId, Timestamp};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO firmware_artifacts (tenant_id, firmware_id, position, name, size_bytes, sha256, bundle) \
              VALUES ($1, $2, $3, $4, $5, $6, $7)";
    OF_FIRMWARE = "SELECT name, size_bytes, sha256, bundle, uploaded_at FROM firmware_artifacts \
                   WHERE tenant_id = $1 AND firmware_id = $2 ORDER BY position";
    SET_UPLOADED = "UPDATE firmware_artifacts SET uploaded_at = $4 \
                    WHERE tenant_id = $1 AND firmware_id = $2 AND name = $3 AND uploaded_at IS NULL";
    USES_OF_CONTENT = "SELECT COUNT(*) FROM firmware_artifacts WHERE tenant_id = $1 AND sha256 = $2";
}

/// One immutable object of a firmware.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ArtifactRow {
    /// Its name in the manifest.
    pub name: String,
    /// Its size.
    pub size_bytes: i64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// The bundle over it; none when only the manifest binds it.
    pub bundle: Option<String>,
    /// When its bytes arrived.
    pub uploaded_at: Option<Timestamp>,
}

/// Adds an artifact of a firmware.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
    position: i64,
    artifact: &ArtifactRow,
) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(firmware)
        .bind(position)
        .bind(&artifact.name)
        .bind(artifact.size_bytes)
        .bind(artifact.sha256)
        .bind(&artifact.bundle)
        .execute(c)
        .await
        .map(drop))
}

/// The artifacts of a firmware, in the manifest's order.
pub async fn of_firmware(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    firmware: FirmwareId,
) -> Result<Vec<ArtifactRow>> {
    run!(conn, |c| sqlx::query_as(OF_FIRMWARE).bind(tenant).bind(firmware).fetch_all(c).await)
}

/// An artifact and whose it is.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OwnedArtifactRow {
    /// The firmware.
    pub firmware_id: FirmwareId,
    /// The artifact.
    #[sqlx(flatten)]
    pub artifact: ArtifactRow,
}

/// The artifacts of these firmware, in the manifests' order; at most some hundred firmware.
pub async fn of_many(
    conn: impl Into<Conn<'_>>,
    tenant: TenantId,
    firmware: &[FirmwareId],
) -> Result<Vec<OwnedArtifactRow>> {
    if firmware.is_empty() {
        return Ok(Vec::new());
    }
    run!(conn, |c| {
        let mut query = sqlx::QueryBuilder::new(
            "SELECT firmware_id, name, size_bytes, sha256, bundle, uploaded_at FROM firmware_artifacts \
             WHERE tenant_id = ",
        );
        query.push_bind(tenant).push(" AND firmware_id IN (");
        let mut list = query.separated(", ");
        for one in firmware {
            list.push_bind(*one);
        }
        query.push(") ORDER BY firmware_id, position");
        query.build_query_as().fetch_all(c).await
    })
}

/// Notes that the bytes arrived; does nothing when they had.
pub async fn set_uploaded(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
    name: &str,
    now: Timestamp,
) -> Result<()> {
    run!(tx, |c| sqlx::query(SET_UPLOADED).bind(tenant).bind(firmware).bind(name).bind(now).execute(c).await.map(drop))
}

/// How many artifacts have this content.
pub async fn uses_of_content(conn: impl Into<Conn<'_>>, tenant: TenantId, sha256: Sha256Digest) -> Result<i64> {
    run!(conn, |c| sqlx::query_scalar(USES_OF_CONTENT).bind(tenant).bind(sha256).fetch_one(c).await)
}
