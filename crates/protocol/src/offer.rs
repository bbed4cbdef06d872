//! Offers: small, signed, without the bytes themselves.

use drover_types::{ComponentName, FirmwareId, RolloutId, Sha256Digest, Timestamp, UpdateSessionId, Version};
use serde::{Deserialize, Serialize};

/// The answer to an update check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct CheckReply {
    /// What to install; none when there is nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
    /// How long to wait before the next check, in milliseconds.
    pub poll_interval_ms: u64,
}

/// One firmware for one component of one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct Offer {
    /// The update session; every report names it.
    pub session_id: UpdateSessionId,
    /// The rollout that it belongs to.
    pub rollout_id: RolloutId,
    /// The firmware.
    pub firmware_id: FirmwareId,
    /// The component to update.
    pub component: ComponentName,
    /// The version that it will run. A hint: the signed manifest decides.
    pub version: Version,
    /// The signed manifest, byte for byte, in standard base64.
    pub manifest: String,
    /// The sigstore bundle over the manifest, as JSON text.
    pub manifest_bundle: String,
    /// Where the artifacts are, in the order of the manifest.
    pub artifacts: Vec<OfferedArtifact>,
    /// When the addresses stop working; ask again after that.
    pub expires_at: Timestamp,
}

/// Where one artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema))]
pub struct OfferedArtifact {
    /// Its name in the manifest.
    pub name: String,
    /// A presigned address; it needs no credential, and none may be sent to it.
    pub url: String,
    /// SHA-256 of its bytes. A hint: the signed manifest decides.
    pub checksum: Sha256Digest,
    /// Its size in bytes. A hint: the signed manifest decides.
    pub size_bytes: u64,
    /// The sigstore bundle over the artifact, as JSON text.
    pub signature: String,
}
