//! Virtual devices around the real agent: each has a folder of its own, a real journal, real downloads and real hooks.

mod device;
mod fleet;

pub use device::VirtualDevice;
pub use fleet::{Fleet, FleetError, FleetOptions};

pub use drover_agent::{ComponentConfig, Random};
pub use drover_uplink::http_client;
