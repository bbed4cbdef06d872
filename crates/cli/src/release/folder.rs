//! A release folder on disk.

use std::fs::{File, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use drover_trust::{Hasher, Manifest, ManifestArtifact, ManifestError};
use drover_types::Sha256Digest;
use tempfile::NamedTempFile;

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const BUNDLE_SUFFIX: &str = "bundle";

const MAX_SMALL_FILE_BYTES: u64 = 1024 * 1024;
const BUFFER_BYTES: usize = 256 * 1024;

/// Why a release folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// Something could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A manifest or bundle of absurd size.
    #[error("{} is larger than {limit_bytes} bytes", path.display())]
    TooLarge {
        /// What.
        path: PathBuf,
        /// The limit.
        limit_bytes: u64,
    },
    /// The manifest cannot be used.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The bytes are not the ones that the manifest names.
    #[error("{} is not the file that the manifest names: it changed after it was packed", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
}

/// A release folder whose manifest was read.
#[derive(Debug, Clone)]
pub struct Release {
    /// The folder.
    pub folder: PathBuf,
    /// The manifest, byte for byte.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
}

impl Release {
    /// Reads the manifest of a folder. Says nothing about signatures or artifacts yet.
    pub fn open(folder: &Path) -> Result<Self, ReleaseError> {
        let manifest_bytes = read_small(&folder.join(MANIFEST))?;
        let manifest = Manifest::parse(&manifest_bytes)?;
        Ok(Self { folder: folder.to_owned(), manifest_bytes, manifest })
    }

    /// Where an artifact's bytes are. The manifest's check makes sure that the name stays in the folder.
    pub fn artifact_path(&self, artifact: &ManifestArtifact) -> PathBuf {
        self.folder.join(&artifact.name)
    }

    /// Where an artifact's bundle is.
    pub fn artifact_bundle_path(&self, artifact: &ManifestArtifact) -> PathBuf {
        self.folder.join(format!("{}.{BUNDLE_SUFFIX}", artifact.name))
    }

    /// Where the manifest's bundle is.
    pub fn manifest_bundle_path(&self) -> PathBuf {
        self.folder.join(format!("{MANIFEST}.{BUNDLE_SUFFIX}"))
    }

    /// Reads an artifact once, in constant memory, and compares it with the manifest.
    pub fn check_artifact(&self, artifact: &ManifestArtifact) -> Result<(), ReleaseError> {
        let path = self.artifact_path(artifact);
        let (size_bytes, sha256) =
            hash_file(&path).map_err(|source| ReleaseError::Read { path: path.clone(), source })?;
        let is_same = size_bytes == artifact.size_bytes && sha256 == artifact.sha256;
        if is_same { Ok(()) } else { Err(ReleaseError::Changed { path }) }
    }
}

pub(super) fn read_small(path: &Path) -> Result<Vec<u8>, ReleaseError> {
    let unreadable = |source| ReleaseError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_SMALL_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_SMALL_FILE_BYTES {
        return Err(ReleaseError::TooLarge { path: path.to_owned(), limit_bytes: MAX_SMALL_FILE_BYTES });
    }
    Ok(bytes)
}

fn hash_file(path: &Path) -> std::io::Result<(u64, Sha256Digest)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut size_bytes = 0;
    let mut buffer = vec![0_u8; BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size_bytes, hasher.finish()));
        }
        hasher.update(&buffer[..count]);
        size_bytes += u64::try_from(count).unwrap_or(u64::MAX);
    }
}

/// Writes a file as a whole or not at all; replaces what was there.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    keep(file, path)
}

/// Gives a finished temporary file its name, readable for everybody.
pub(super) fn keep(file: NamedTempFile, path: &Path) -> std::io::Result<()> {
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}
