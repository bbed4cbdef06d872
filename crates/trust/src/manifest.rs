//! The manifest: what a firmware is, in one signed file.

mod check;

use std::collections::BTreeMap;

use drover_types::{ComponentName, Sha256Digest, UnknownText, Version};
use serde::{Deserialize, Serialize};

use crate::sha256;

/// The only version of the format so far.
const FORMAT: u32 = 1;
pub(crate) const MAX_MANIFEST_BYTES: usize = 256 * 1024;

/// Why bytes are no manifest that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Larger than any manifest.
    #[error("the manifest has {size_bytes} bytes, more than the {MAX_MANIFEST_BYTES} that are accepted")]
    TooLarge {
        /// Size of the bytes.
        size_bytes: usize,
    },
    /// Not the JSON of a manifest.
    #[error("malformed manifest: {0}")]
    Json(#[source] serde_json::Error),
    /// A version of the format that is not known.
    #[error("unsupported manifest format {found}: this program knows format {FORMAT}; update it first")]
    Format {
        /// What the manifest says.
        found: u32,
    },
    /// A field breaks its rule.
    #[error("invalid manifest: {field} {reason}")]
    Field {
        /// The field, for instance `artifacts[0].size_bytes`.
        field: String,
        /// The rule that it breaks.
        reason: String,
    },
}

/// One released version for one device type and component. Its signature covers everything that a device needs to
/// know before it fetches a byte. Fields that are not known are refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format: 1.
    pub format: u32,
    /// Name of the firmware: 1 to 128 characters, no control characters.
    pub name: String,
    /// The version that a device runs afterwards.
    pub version: Version,
    /// The only device type it is for: 1 to 64 characters, no control characters.
    pub device_type: String,
    /// The component that it replaces.
    pub component: ComponentName,
    /// Counts releases of this component and device type up, whatever their versions say. At most 2^53 − 1.
    pub release_counter: u64,
    /// The lowest release counter that a device may be sent back to from here; at most `release_counter`.
    pub rollback_floor: u64,
    /// The component must run at least this version before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_version: Option<Version>,
    /// What other components must run before; at most 50, each component once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dependencies: Vec<Dependency>,
    /// The files; 1 to 50, each name once.
    pub artifacts: Vec<ManifestArtifact>,
    /// For people; at most 10 000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release_notes: Option<String>,
    /// For programs of the operator; at most 16 KiB as compact JSON.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// What another component must run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dependency {
    /// The other component.
    pub component: ComponentName,
    /// At least this version.
    pub min_version: Version,
    /// Below this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below_version: Option<Version>,
}

/// One file of a firmware.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestArtifact {
    /// File name: 1 to 128 of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
    pub name: String,
    /// How it is packed.
    pub format: ArtifactFormat,
    /// Its size in bytes: 1 to 64 GiB.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Sha256Digest,
    /// The most bytes that unpacking may write; at most 1 TiB.
    pub unpacked_bytes: u64,
    /// The most files, folders and links that unpacking may make; at most 1 000 000.
    pub unpacked_entries: u64,
}

/// How an artifact is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactFormat {
    /// A gzip-compressed tar archive.
    TarGz,
    /// The bytes as they are.
    Raw,
}

impl Manifest {
    /// Reads and checks a manifest of at most 256 KiB. It says nothing about who wrote it: use
    /// [`crate::verify_manifest`] for one that came from elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Probe {
            format: u32,
        }
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { size_bytes: bytes.len() });
        }
        // First the format: a newer manifest is to be called newer, not malformed.
        let probe: Probe = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if probe.format != FORMAT {
            return Err(ManifestError::Format { found: probe.format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// Checks every limit that the fields document.
    pub fn validate(&self) -> Result<(), ManifestError> {
        check::manifest(self)
    }

    /// The manifest as a file: indented JSON and a line feed, the same bytes for the same manifest.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: keys are texts and numbers are finite")]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a struct of texts and numbers is always JSON");
        bytes.push(b'\n');
        bytes
    }

    /// The name of a manifest: SHA-256 of its bytes as they were signed.
    pub fn digest(bytes: &[u8]) -> Sha256Digest {
        sha256(bytes)
    }
}

impl ArtifactFormat {
    /// Every format.
    pub const ALL: &'static [Self] = &[Self::TarGz, Self::Raw];

    /// The word in manifests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TarGz => "tar_gz",
            Self::Raw => "raw",
        }
    }
}

impl std::fmt::Display for ArtifactFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for ArtifactFormat {
    type Err = UnknownText;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|format| format.as_str() == text).ok_or_else(|| UnknownText {
            noun: "artifact format",
            value: text.to_owned(),
            expected: "tar_gz, raw".to_owned(),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
