//! Signs of life.

use drover_protocol::{Heartbeat, HeartbeatReply};
use drover_store::devices;

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
        self.writer
            .write_batched(move |tx| {
                Box::pin(async move {
                    set_components(tx, tenant, device, &body.components, now).await?;
                    devices::seen(tx, tenant, device, body.agent_version.as_deref(), now).await?;
                    Ok::<_, Error>(())
                })
            })
            .await?;
        let pins = self.settings.server_pin.iter().chain(&self.settings.next_server_pins);
        let server_pins =
            if self.settings.server_pin.is_some() { pins.map(ToString::to_string).collect() } else { vec![] };
        Ok(HeartbeatReply { server_time: now, poll_interval_ms: self.poll_interval_ms(), server_pins })
    }
}
