//! Signing a release folder.

use std::path::{Path, PathBuf};

use drover_trust::{PrivateKey, SignError};
use drover_types::{KeyAlgorithm, Sha256Digest};

use super::folder::write_whole;
use super::{Release, ReleaseError};

/// Why a release was not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseSignError {
    /// The folder is not what it should be.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The key cannot sign.
    #[error("cannot sign {}", path.display())]
    Sign {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: SignError,
    },
    /// The bundle could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Signed {
    /// The bundles that were written.
    pub bundles: Vec<PathBuf>,
    /// Fingerprint of the key.
    pub key_fingerprint: Sha256Digest,
}

/// Signs manifest and artifacts. Each artifact is read once, in constant memory, and must be the one that the manifest
/// names. An Ed25519 key signs the manifest only: it binds the artifacts by their digests. The manifest's bundle is
/// written last.
pub fn sign(folder: &Path, key: &PrivateKey) -> Result<Signed, ReleaseSignError> {
    let release = Release::open(folder)?;
    let signs_artifacts = key.public_key().algorithm() != KeyAlgorithm::Ed25519;
    let mut bundles = Vec::new();
    for artifact in &release.manifest.artifacts {
        release.check_artifact(artifact)?;
        if signs_artifacts {
            let path = release.artifact_bundle_path(artifact);
            let bundle = key.sign_digest(&artifact.sha256).map_err(|source| cannot_sign(&path, source))?;
            bundles.push((path, bundle.to_json()));
        }
    }
    let path = release.manifest_bundle_path();
    let bundle = key.sign_message(&release.manifest_bytes).map_err(|source| cannot_sign(&path, source))?;
    bundles.push((path, bundle.to_json()));
    for (path, json) in &bundles {
        let written = write_whole(path, json.as_bytes());
        written.map_err(|source| ReleaseSignError::Write { path: path.clone(), source })?;
    }
    let bundles = bundles.into_iter().map(|(path, _)| path).collect();
    Ok(Signed { bundles, key_fingerprint: key.public_key().fingerprint() })
}

fn cannot_sign(path: &Path, source: SignError) -> ReleaseSignError {
    ReleaseSignError::Sign { path: path.to_owned(), source }
}
