//! What a device must run before it may have a firmware.

use drover_db::{Tx, run};
use drover_types::{ComponentName, FirmwareId, TenantId, Version};

use crate::{Result, statements};

statements! {
    INSERT = "INSERT INTO firmware_dependencies (tenant_id, firmware_id, position, component, min_key, below_key) \
              VALUES ($1, $2, $3, $4, $5, $6)";
}

/// Adds a dependency of a firmware.
pub async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
    position: i64,
    component: &ComponentName,
    min_version: &Version,
    below_version: Option<&Version>,
) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT)
        .bind(tenant)
        .bind(firmware)
        .bind(position)
        .bind(component)
        .bind(min_version.sort_key())
        .bind(below_version.map(Version::sort_key))
        .execute(c)
        .await
        .map(drop))
}
