//! Firmware and its artifacts.

use std::collections::BTreeMap;

use drover_types::{ComponentName, FirmwareId, FirmwareState, Sha256Digest, Timestamp, Version};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One released version for one device type and component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Firmware {
    /// The firmware's id.
    pub id: FirmwareId,
    /// The product's name, as signed.
    pub name: String,
    /// The version, unique per device type and component.
    pub version: Version,
    /// The device type that it is for.
    pub device_type: String,
    /// The component that it is for.
    pub component: ComponentName,
    /// Draft or published.
    pub state: FirmwareState,
    /// Rises with every release; devices never go below their rollback floor.
    pub release_counter: u64,
    /// The lowest release counter that a device running this may go back to.
    pub rollback_floor: u64,
    /// Size of all artifacts in bytes.
    pub file_size: u64,
    /// SHA-256 of the signed manifest, which names the SHA-256 of each artifact.
    pub checksum: Sha256Digest,
    /// The sigstore bundle over the manifest, as JSON text.
    pub signature: String,
    /// SHA-256 of the public key that signed it.
    pub signed_by: Sha256Digest,
    /// Prefix of the names under which the artifacts can be presigned.
    pub storage_path: String,
    /// What the release says about itself.
    pub metadata: FirmwareMetadata,
    /// The artifacts.
    pub artifacts: Vec<ArtifactView>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was published.
    pub published_at: Option<Timestamp>,
}

/// What a release says about itself; all of it signed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FirmwareMetadata {
    /// What changed.
    pub release_notes: Option<String>,
    /// Devices below this version of the same component are left out.
    pub min_version: Option<Version>,
    /// Versions that other components must have.
    pub dependencies: Vec<DependencyView>,
    /// Anything else that was signed.
    pub extra: BTreeMap<String, serde_json::Value>,
}

/// A version that another component must have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DependencyView {
    /// The component.
    pub component: ComponentName,
    /// At least this version.
    pub min_version: Version,
    /// Below this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_version: Option<Version>,
}

/// One immutable object of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArtifactView {
    /// Its name in the manifest.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its SHA-256.
    pub checksum: Sha256Digest,
    /// When its bytes arrived and were verified; none while they are missing.
    pub uploaded_at: Option<Timestamp>,
}

/// Create a firmware from its signed manifest. Its artifacts are uploaded afterwards.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmwareCreate {
    /// The manifest, byte for byte, in standard base64.
    pub manifest: String,
    /// The sigstore bundle over the manifest, as JSON text.
    pub manifest_bundle: String,
    /// One entry for each artifact of the manifest.
    pub artifacts: Vec<ArtifactUpload>,
}

/// The signature of one artifact.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactUpload {
    /// Its name in the manifest.
    pub name: String,
    /// The sigstore bundle over the artifact, as JSON text. Left out when the manifest is signed with
    /// Ed25519: then the signed manifest binds the artifact by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
}

/// Which firmware.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FirmwareFilter {
    /// Items per page, 1 to 500; 50 when not given.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Only for this device type.
    pub device_type: Option<String>,
    /// Only for this component.
    pub component: Option<ComponentName>,
    /// Only this version.
    pub version: Option<Version>,
}
