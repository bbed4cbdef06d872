//! Published firmware, kept in this node's memory.
//!
//! It never changes, and it stays as long as a rollout brings it: so each of a million devices that are told of it costs
//! no look into SQL.

use std::sync::Arc;

use drover_store::artifacts::{self, ArtifactRow};
use drover_store::firmware::{self, FirmwareRow};
use drover_types::{FirmwareId, FirmwareState, TenantId};
use moka::sync::Cache;

use crate::{App, Error, Result};

/// How much is kept, in bytes of manifests and bundles.
const KEPT_BYTES: u64 = 16 << 20;

/// What all else of a firmware, and each of its artifacts, counts.
const ROW_BYTES: usize = 512;

/// A firmware and its artifacts, in the manifest's order.
pub(crate) struct Published {
    pub(crate) row: FirmwareRow,
    pub(crate) artifacts: Vec<ArtifactRow>,
}

impl Published {
    fn size_bytes(&self) -> u32 {
        let bundle = |artifact: &ArtifactRow| ROW_BYTES + artifact.bundle.as_ref().map_or(0, String::len);
        let artifacts: usize = self.artifacts.iter().map(bundle).sum();
        let bytes = ROW_BYTES + self.row.manifest.len() + self.row.manifest_bundle.len() + artifacts;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

/// What is kept.
pub(crate) struct PublishedFirmware {
    by_id: Cache<(TenantId, FirmwareId), Arc<Published>>,
}

impl Default for PublishedFirmware {
    fn default() -> Self {
        let weigh = |_: &(TenantId, FirmwareId), published: &Arc<Published>| published.size_bytes();
        Self { by_id: Cache::builder().max_capacity(KEPT_BYTES).weigher(weigh).build() }
    }
}

impl App {
    /// A firmware that a rollout brings, with its artifacts.
    pub(crate) async fn published(&self, tenant: TenantId, id: FirmwareId) -> Result<Arc<Published>> {
        if let Some(published) = self.firmware.by_id.get(&(tenant, id)) {
            return Ok(published);
        }
        let row = firmware::get(&self.db, tenant, id).await?.ok_or_else(|| Error::not_found("firmware", id))?;
        let is_published = row.state == FirmwareState::Published;
        let artifacts = artifacts::of_firmware(&self.db, tenant, id).await?;
        let published = Arc::new(Published { row, artifacts });
        if is_published {
            self.firmware.by_id.insert((tenant, id), Arc::clone(&published));
        }
        Ok(published)
    }
}
