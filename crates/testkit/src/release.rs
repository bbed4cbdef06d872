//! Firmware of any content, signed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_api::{ArtifactUpload, FirmwareCreate};
use drover_trust::{ArtifactFormat, Dependency, Manifest, ManifestArtifact, PrivateKey, sha256};
use drover_types::{ComponentName, KeyAlgorithm, Sha256Digest, Version};

use crate::DEVICE_TYPE;

/// A new key of this algorithm.
pub fn private_key(algorithm: KeyAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm).expect("a key can be made")
}

/// A release before it is signed: the manifest, which tests may change at will, and the bytes.
#[derive(Debug, Clone)]
pub struct ReleaseBuilder {
    /// What is signed. Artifacts are filled in by [`ReleaseBuilder::artifact`].
    pub manifest: Manifest,
    artifacts: Vec<(String, Vec<u8>)>,
}

impl ReleaseBuilder {
    /// A release of [`DEVICE_TYPE`]'s component `main`.
    pub fn new(version: &str, release_counter: u64) -> Self {
        let manifest = Manifest {
            format: 1,
            name: "app".to_owned(),
            version: version.parse().expect("a version"),
            device_type: DEVICE_TYPE.to_owned(),
            component: ComponentName::main(),
            release_counter,
            rollback_floor: 1.min(release_counter),
            min_version: None,
            dependencies: Vec::new(),
            artifacts: Vec::new(),
            release_notes: None,
            metadata: BTreeMap::new(),
        };
        Self { manifest, artifacts: Vec::new() }
    }

    /// For another component.
    pub fn component(mut self, name: &str) -> Self {
        self.manifest.component = name.parse().expect("a component name");
        self
    }

    /// Only for devices that run at least this.
    pub fn min_version(mut self, version: &str) -> Self {
        self.manifest.min_version = Some(version.parse().expect("a version"));
        self
    }

    /// Only for devices whose other component runs `min..below`.
    pub fn dependency(mut self, component: &str, min: &str, below: Option<&str>) -> Self {
        let version = |text: &str| -> Version { text.parse().expect("a version") };
        let component = component.parse().expect("a component name");
        let (min_version, below_version) = (version(min), below.map(version));
        self.manifest.dependencies.push(Dependency { component, min_version, below_version });
        self
    }

    /// With a file, as it is.
    pub fn artifact(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.manifest.artifacts.push(ManifestArtifact {
            name: name.to_owned(),
            format: ArtifactFormat::Raw,
            size_bytes: bytes.len() as u64,
            sha256: sha256(&bytes),
            unpacked_bytes: bytes.len() as u64,
            unpacked_entries: 1,
        });
        self.artifacts.push((name.to_owned(), bytes));
        self
    }

    /// Signs manifest and artifacts; with Ed25519 only the manifest, which binds the artifacts by their digests.
    /// Without an artifact it gets one, whose bytes tell the version.
    pub fn sign(self, key: &PrivateKey) -> Release {
        let builder = if self.artifacts.is_empty() {
            let content = format!("{} {}\n", self.manifest.component, self.manifest.version);
            self.artifact("app.bin", content)
        } else {
            self
        };
        let manifest_bytes = builder.manifest.to_bytes();
        let manifest_bundle = key.sign_message(&manifest_bytes).expect("the key signs").to_json();
        let signs_digests = key.public_key().algorithm() != KeyAlgorithm::Ed25519;
        let bundles =
            builder.manifest.artifacts.iter().map(|artifact| {
                signs_digests.then(|| key.sign_digest(&artifact.sha256).expect("the key signs").to_json())
            });
        let bundles = bundles.collect();
        let ReleaseBuilder { manifest, artifacts } = builder;
        Release { manifest, manifest_bytes, manifest_bundle, artifacts, bundles }
    }
}

/// A signed release.
#[derive(Debug, Clone)]
pub struct Release {
    /// What was signed.
    pub manifest: Manifest,
    /// The manifest as it was signed.
    pub manifest_bytes: Vec<u8>,
    /// The signature over it, as JSON text.
    pub manifest_bundle: String,
    artifacts: Vec<(String, Vec<u8>)>,
    /// The signature of each artifact.
    bundles: Vec<Option<String>>,
}

impl Release {
    /// Names and bytes of the artifacts.
    pub fn artifacts(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.artifacts.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }

    /// The name under which devices report that they run it.
    pub fn manifest_sha256(&self) -> Sha256Digest {
        Manifest::digest(&self.manifest_bytes)
    }

    /// The request that creates it.
    pub fn create_body(&self) -> FirmwareCreate {
        let artifacts = self.artifacts.iter().zip(&self.bundles);
        let artifacts =
            artifacts.map(|((name, _), bundle)| ArtifactUpload { name: name.clone(), bundle: bundle.clone() });
        FirmwareCreate {
            manifest: STANDARD.encode(&self.manifest_bytes),
            manifest_bundle: self.manifest_bundle.clone(),
            artifacts: artifacts.collect(),
        }
    }
}
