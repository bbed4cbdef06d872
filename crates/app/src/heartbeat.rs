//! Signs of life.

use drover_protocol::{ComponentReport, Heartbeat, HeartbeatReply};
use drover_store::device_components::{self, DeviceComponentRow};
use drover_store::devices;
use drover_types::{DeviceId, TenantId};

use crate::error::retry;
use crate::registration::{COMPONENTS_MAX, set_components};
use crate::{App, Caller, Error, Result, validate};

impl App {
    /// A device lives and tells what it runs.
    pub async fn heartbeat(&self, caller: &Caller, body: Heartbeat) -> Result<HeartbeatReply> {
        let (tenant, device) = caller.authorize_device()?;
        validate::at_most("components", &body.components, COMPONENTS_MAX)?;
        if let Some(version) = &body.agent_version {
            validate::text("agent_version", version, 64)?;
        }
        let now = self.now();
        self.note_seen(caller).await?;
        if self.brings_news(tenant, device, &body).await? {
            retry(|| {
                let body = body.clone();
                self.writer.write_batched(move |tx| {
                    Box::pin(async move {
                        // The device first, as reports have it: two that lock in another order wait for each other.
                        devices::seen(tx, tenant, device, body.agent_version.as_deref(), now).await?;
                        set_components(tx, tenant, device, &body.components, now).await?;
                        Ok::<_, Error>(())
                    })
                })
            })
            .await?;
        }
        let pins = self.settings.server_pin.iter().chain(&self.settings.next_server_pins);
        let server_pins =
            if self.settings.server_pin.is_some() { pins.map(ToString::to_string).collect() } else { vec![] };
        Ok(HeartbeatReply { server_time: now, poll_interval_ms: self.poll_interval_ms(), server_pins })
    }

    /// Whether anything is to be written down but the time. Nearly always a device says what it said before.
    async fn brings_news(&self, tenant: TenantId, device: DeviceId, body: &Heartbeat) -> Result<bool> {
        let known = devices::get(&self.db, tenant, device).await?;
        let known_version = known.and_then(|known| known.agent_version);
        if body.agent_version.is_some() && body.agent_version != known_version {
            return Ok(true);
        }
        if body.components.is_empty() {
            return Ok(false);
        }
        let known = device_components::of_device(&self.db, tenant, device).await?;
        Ok(!body.components.iter().all(|report| known.iter().any(|row| says_the_same(row, report))))
    }
}

/// A manifest that was not one of ours then may be by now.
fn says_the_same(row: &DeviceComponentRow, report: &ComponentReport) -> bool {
    row.component == report.component
        && row.version == report.version
        && row.manifest_sha256 == report.manifest_sha256
        && (row.manifest_sha256.is_none() || row.firmware_id.is_some())
}
