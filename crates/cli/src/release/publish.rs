//! From a signed release folder to published firmware.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_api::{ArtifactUpload, Firmware, FirmwareCreate, FirmwareFilter};
use drover_trust::{KeyError, Manifest, ManifestArtifact, PublicKey, VerifyError, verify_digest, verify_manifest};
use drover_types::{FirmwareState, KeyAlgorithm, Sha256Digest};

use super::folder::read_small;
use super::{Release, ReleaseError};
use crate::client::{Client, ClientError, Progress};

/// More keys than any tenant has; the list is read as a whole.
const MAX_RELEASE_KEYS: usize = 10_000;

/// Why a release was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The folder is not what it should be.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The server refused or cannot be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A signature does not hold with the server's release keys.
    #[error("the signature of {file} does not hold with the release keys of the server")]
    Signature {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: VerifyError,
    },
    /// A release key of the server cannot be read.
    #[error("cannot read release key {name} of the server")]
    Key {
        /// The key's name.
        name: String,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The version is taken.
    #[error("version {version} of {device_type} exists already, with another manifest (SHA-256 {existing})")]
    Taken {
        /// The version.
        version: String,
        /// The device type.
        device_type: String,
        /// Digest of the manifest that is there.
        existing: Sha256Digest,
    },
}

/// What is happening, for progress bars.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum PublishEvent<'a> {
    /// The signatures are being checked on this side.
    Checking,
    /// The firmware exists on the server, now or from an earlier try.
    Draft(&'a Firmware),
    /// An artifact was there already.
    AlreadyUploaded(&'a ManifestArtifact),
    /// All artifacts are there.
    Publishing,
}

/// Checks a signed release folder, creates the firmware, sends what is missing, publishes. A publication that broke off
/// is continued; one that is complete is found and given back. `upload_progress` makes a progress for each upload.
pub async fn publish(
    client: &Client,
    folder: &Path,
    on_event: &mut (dyn FnMut(PublishEvent<'_>) + Send),
    upload_progress: &(dyn Fn(&ManifestArtifact) -> Progress + Sync),
) -> Result<Firmware, PublishError> {
    on_event(PublishEvent::Checking);
    let release = Release::open(folder)?;
    let body = check(&release, &pinned_keys(client).await?)?;
    let firmware = match find(client, &release).await? {
        Some(existing) => existing,
        None => client.create_firmware(&body).await?,
    };
    if firmware.state == FirmwareState::Published {
        return Ok(firmware);
    }
    on_event(PublishEvent::Draft(&firmware));
    for artifact in &release.manifest.artifacts {
        let there = firmware.artifacts.iter().find(|view| view.name == artifact.name);
        if there.is_some_and(|view| view.uploaded_at.is_some()) {
            on_event(PublishEvent::AlreadyUploaded(artifact));
            continue;
        }
        let path = release.artifact_path(artifact);
        client.send_artifact(firmware.id, artifact, &path, upload_progress(artifact)).await?;
    }
    on_event(PublishEvent::Publishing);
    Ok(client.publish_firmware(firmware.id).await?)
}

async fn pinned_keys(client: &Client) -> Result<Vec<PublicKey>, PublishError> {
    let keys = client.release_keys(MAX_RELEASE_KEYS).await?.items;
    let valid = keys.into_iter().filter(|key| key.revoked_at.is_none());
    let parsed = valid
        .map(|key| PublicKey::from_pem(&key.public_key).map_err(|source| PublishError::Key { name: key.name, source }));
    parsed.collect()
}

/// Everything that the server will check, before a byte is sent.
fn check(release: &Release, keys: &[PublicKey]) -> Result<FirmwareCreate, PublishError> {
    let signature = |file: &Path| {
        let file = file.display().to_string();
        move |source| PublishError::Signature { file, source }
    };
    let bundle_path = release.manifest_bundle_path();
    let manifest_bundle = read_small(&bundle_path)?;
    let verified = verify_manifest(&release.manifest_bytes, &manifest_bundle, keys);
    let signer = verified.map_err(signature(&bundle_path))?.key_fingerprint;
    let is_ed25519 = |key: &PublicKey| key.fingerprint() == signer && key.algorithm() == KeyAlgorithm::Ed25519;
    let needs_bundles = !keys.iter().any(is_ed25519);
    let mut artifacts = Vec::new();
    for artifact in &release.manifest.artifacts {
        release.check_artifact(artifact)?;
        let path = release.artifact_bundle_path(artifact);
        let bundle = if needs_bundles || path.exists() { Some(read_small(&path)?) } else { None };
        if let Some(bundle) = &bundle {
            verify_digest(&artifact.sha256, bundle, keys).map_err(signature(&path))?;
        }
        artifacts.push(ArtifactUpload { name: artifact.name.clone(), bundle: bundle.as_deref().map(text) });
    }
    let manifest = STANDARD.encode(&release.manifest_bytes);
    Ok(FirmwareCreate { manifest, manifest_bundle: text(&manifest_bundle), artifacts })
}

/// Bundles were parsed as JSON before, so nothing is lost here.
fn text(bundle: &[u8]) -> String {
    String::from_utf8_lossy(bundle).into_owned()
}

/// The same release from an earlier try.
async fn find(client: &Client, release: &Release) -> Result<Option<Firmware>, PublishError> {
    let manifest = &release.manifest;
    let filter = FirmwareFilter {
        device_type: Some(manifest.device_type.clone()),
        component: Some(manifest.component.clone()),
        version: Some(manifest.version.clone()),
        ..FirmwareFilter::default()
    };
    let Some(existing) = client.firmware_list(&filter, 1).await?.items.pop() else { return Ok(None) };
    if existing.checksum == Manifest::digest(&release.manifest_bytes) {
        return Ok(Some(existing));
    }
    Err(PublishError::Taken {
        version: manifest.version.to_string(),
        device_type: manifest.device_type.clone(),
        existing: existing.checksum,
    })
}
