//! When devices were last heard of: kept in live state, written in batches.
//!
//! It is not a promise: a node that is killed loses what it heard in the last minute, and an orderly end what cannot be
//! written at that moment.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use drover_bus::Sighting;
use drover_store::devices;
use drover_types::{DeviceId, TenantId, Timestamp};

use crate::{App, Error, Result};

/// How long a sighting waits: a device that calls every few seconds is written once in this time.
const WRITE_AFTER: Duration = Duration::from_mins(1);

/// Rows per transaction: few enough that those who wait for the writer do not notice.
const BATCH: usize = 1_000;

impl App {
    /// Writes down the sightings that have waited for long enough.
    pub(crate) async fn write_due_sightings(&self) {
        let now = self.now();
        self.write_sightings(now, now.minus(WRITE_AFTER)).await;
    }

    /// Writes down everything that is known.
    pub(crate) async fn write_all_sightings(&self) {
        self.write_sightings(self.now(), Timestamp::from_micros(i64::MAX)).await;
    }

    async fn write_sightings(&self, now: Timestamp, before: Timestamp) {
        // Given back at the end: they would be taken again at once.
        let mut left = Vec::new();
        loop {
            let batch = self.hot.take(now, before, BATCH).await;
            if batch.is_empty() {
                break;
            }
            match self.write_batch(&batch, now).await {
                Ok(passed) => left.extend(batch.into_iter().filter(|sighting| passed.contains(&sighting.device))),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "failed to note when devices were last heard of; trying again");
                    left.extend(batch);
                    break;
                }
            }
        }
        for sighting in left {
            self.hot.seen(sighting);
        }
    }

    /// Returns the devices that others are changing at this moment.
    async fn write_batch(&self, batch: &[Sighting], now: Timestamp) -> Result<HashSet<DeviceId>> {
        let mut by_tenant: BTreeMap<TenantId, Vec<(DeviceId, Timestamp)>> = BTreeMap::new();
        for sighting in batch {
            by_tenant.entry(sighting.tenant).or_default().push((sighting.device, sighting.at.min(now)));
        }
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let mut passed = HashSet::new();
                    for (tenant, rows) in &by_tenant {
                        passed.extend(devices::seen_at(tx, *tenant, rows, now).await?);
                    }
                    Ok::<_, Error>(passed)
                })
            })
            .await
    }
}
