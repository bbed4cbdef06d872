//! Signs of life.

use drover_types::{ComponentName, Sha256Digest, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// What a device runs in one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct ComponentReport {
    /// The component.
    #[serde(default)]
    pub component: ComponentName,
    /// Its version; none when nothing is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// SHA-256 of the signed manifest that it was installed from; none when it came some other way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<Sha256Digest>,
}

/// A device lives and tells what it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Heartbeat {
    /// Version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What it runs, per component; at most 64.
    pub components: Vec<ComponentReport>,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct HeartbeatReply {
    /// The server's time.
    pub server_time: Timestamp,
    /// How long to wait between checks, in milliseconds.
    pub poll_interval_ms: u64,
    /// Pins (`sha256/…`) of all keys that the server proves, now or soon. A device that has pinned the server pins all
    /// of these from now on; none means that nothing changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_pins: Vec<String>,
}
