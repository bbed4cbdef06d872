//! What an agent is doing, for whoever watches.

use std::collections::BTreeMap;

use drover_protocol::Failure;
use drover_types::{ComponentName, SessionState, Sha256Digest, UpdateSessionId, Version};
use serde::Serialize;

/// What an agent is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AgentState {
    /// The device has an identity.
    pub enrolled: bool,
    /// The last call to the server was answered.
    pub connected: bool,
    /// Each component.
    pub components: BTreeMap<ComponentName, ComponentState>,
    /// Reports that wait for the server.
    pub queued_reports: usize,
    /// What went wrong last; none after the next success.
    pub last_error: Option<String>,
}

/// What a component runs and becomes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ComponentState {
    /// What runs; none when nothing is installed.
    pub version: Option<Version>,
    /// SHA-256 of its signed manifest.
    pub manifest_sha256: Option<Sha256Digest>,
    /// The update that is under way.
    pub update: Option<UpdateState>,
    /// How the last update ended since the agent started.
    pub last: Option<LastUpdate>,
}

/// An update that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UpdateState {
    /// Its session.
    pub session_id: UpdateSessionId,
    /// The version that it leads to.
    pub version: Version,
    /// How far it came.
    pub state: SessionState,
    /// Share of the bytes that are there, 0 to 100.
    pub progress: u8,
}

/// An update that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastUpdate {
    /// Its session.
    pub session_id: UpdateSessionId,
    /// The version that it led to, or would have.
    pub version: Version,
    /// How it ended.
    pub state: SessionState,
    /// Why, when it did not succeed.
    pub failure: Option<Failure>,
}
