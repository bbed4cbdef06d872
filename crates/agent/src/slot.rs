//! Slots: one release each, with everything needed to tell whether it is whole.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use drover_trust::{Manifest, sha256};
use drover_types::{Sha256Digest, Version};
use drover_uplink::durable;
use rustix::fs::{Advice, CWD, Mode, OFlags, fadvise, openat};
use serde::{Deserialize, Serialize};

use crate::layout::ComponentPaths;
use crate::unpack::{self, FileEntry, UnpackError};

/// The only version of the format so far.
const FORMAT: u32 = 1;
const MAX_RELEASE_BYTES: u64 = 1024 * 1024;

/// What a slot says about itself, in `release.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Version of this format: 1.
    pub format: u32,
    /// The version of the firmware.
    pub version: Version,
    /// SHA-256 of the signed manifest: the name of the slot.
    pub manifest_sha256: Sha256Digest,
    /// Digests of the artifacts, in the order of the manifest.
    pub artifacts: Vec<Sha256Digest>,
    /// Release counter of the manifest.
    pub release_counter: u64,
    /// Rollback floor of the manifest.
    pub rollback_floor: u64,
    /// SHA-256 of `files.json`.
    pub files_sha256: Sha256Digest,
}

/// A slot is not what it should be, or cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// An artifact was not unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Something cannot be read or written.
    #[error("use the slot {}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Something in the slot is not what was written there.
    #[error("use the slot: {} is not what was written there", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
    },
}

impl SlotError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Makes the slot under a name of its own; [`name`] publishes it. What is there from an earlier try is thrown away.
pub(crate) fn build(
    paths: &ComponentPaths,
    manifest: &Manifest,
    manifest_bytes: &[u8],
    bundle: &str,
) -> Result<(), SlotError> {
    let folder = paths.unpacking();
    discard(&folder).map_err(|source| SlotError::io(&folder, source))?;
    let built = fill(paths, &folder, manifest, manifest_bytes, bundle);
    if built.is_err() {
        // Nothing half-done is left behind. The reason of the failure is worth more than one of the removal.
        discard(&folder).unwrap_or_else(|error| tracing::warn!(%error, "a broken slot could not be removed"));
    }
    built
}

fn fill(
    paths: &ComponentPaths,
    folder: &Path,
    manifest: &Manifest,
    manifest_bytes: &[u8],
    bundle: &str,
) -> Result<(), SlotError> {
    let content = folder.join("root");
    std::fs::create_dir_all(&content).map_err(|source| SlotError::io(&content, source))?;
    let mut sources = Vec::with_capacity(manifest.artifacts.len());
    for artifact in &manifest.artifacts {
        let path = paths.download(artifact.sha256);
        sources.push(open_file(&path).map_err(|source| SlotError::io(&path, source))?);
    }
    let files = unpack::unpack(&manifest.artifacts, &sources, &content)?;
    let file_list = serde_json::to_vec(&files).map_err(|error| SlotError::io(folder, error.into()))?;
    let release = Release {
        format: FORMAT,
        version: manifest.version.clone(),
        manifest_sha256: sha256(manifest_bytes),
        artifacts: manifest.artifacts.iter().map(|artifact| artifact.sha256).collect(),
        release_counter: manifest.release_counter,
        rollback_floor: manifest.rollback_floor,
        files_sha256: sha256(&file_list),
    };
    let release_bytes = serde_json::to_vec_pretty(&release).map_err(|error| SlotError::io(folder, error.into()))?;
    for (name, bytes) in [
        ("manifest.json", manifest_bytes),
        ("manifest.json.bundle", bundle.as_bytes()),
        ("files.json", &file_list),
        // Last: a slot with this file is whole.
        ("release.json", &release_bytes),
    ] {
        let path = folder.join(name);
        durable::replace_file(&path, bytes, 0o644).map_err(|source| SlotError::io(&path, source))?;
    }
    verify_folder(folder, release.manifest_sha256)
}

/// Gives a slot that was built its name.
pub(crate) fn name(paths: &ComponentPaths, release: Sha256Digest) -> Result<(), SlotError> {
    let slot = paths.slot(release);
    let named = discard(&slot)
        .and_then(|()| std::fs::rename(paths.unpacking(), &slot))
        .and_then(|()| durable::sync_folder(&paths.slots()));
    named.map_err(|source| SlotError::io(&slot, source))
}

/// Reads what a slot says about itself; none when it is not whole.
pub(crate) fn read_release(paths: &ComponentPaths, release: Sha256Digest) -> Option<Release> {
    let bytes = read_small(&paths.slot(release).join("release.json")).ok()?;
    let read: Release = serde_json::from_slice(&bytes).ok()?;
    (read.format == FORMAT && read.manifest_sha256 == release).then_some(read)
}

/// Reads every file of a slot again and compares it with what was written there.
pub(crate) fn verify(paths: &ComponentPaths, release: Sha256Digest) -> Result<(), SlotError> {
    verify_folder(&paths.slot(release), release)
}

fn verify_folder(folder: &Path, release: Sha256Digest) -> Result<(), SlotError> {
    let read = |name: &str| {
        let path = folder.join(name);
        read_small(&path).map_err(|source| SlotError::io(&path, source))
    };
    let altered = |path: PathBuf| SlotError::Altered { path };
    let stated: Release =
        serde_json::from_slice(&read("release.json")?).map_err(|_| altered(folder.join("release.json")))?;
    if stated.manifest_sha256 != release || sha256(&read("manifest.json")?) != release {
        return Err(altered(folder.join("manifest.json")));
    }
    let list_path = folder.join("files.json");
    let file_list = std::fs::read(&list_path).map_err(|source| SlotError::io(&list_path, source))?;
    let files: Vec<FileEntry> = serde_json::from_slice(&file_list).map_err(|_| altered(list_path.clone()))?;
    if sha256(&file_list) != stated.files_sha256 {
        return Err(altered(list_path));
    }
    let content = folder.join("root");
    for file in &files {
        let path = content.join(&file.path);
        let failed = |source| SlotError::io(&path, source);
        let found = open_file(&path).and_then(digest_on_disk).map_err(failed)?;
        if found != (file.sha256, file.size_bytes) {
            return Err(altered(path));
        }
    }
    let found = count_files(&content).map_err(|source| SlotError::io(&content, source))?;
    if found == files.len() { Ok(()) } else { Err(altered(content)) }
}

/// The digest of what the disk has, not of what memory remembers of it.
fn digest_on_disk(mut file: File) -> io::Result<(Sha256Digest, u64)> {
    // Only advice: where it is not taken, the digest is of what memory has.
    fadvise(&file, 0, None, Advice::DontNeed).ok();
    unpack::digest_of(&mut file)
}

/// Everything below that is no folder.
fn count_files(folder: &Path) -> io::Result<usize> {
    let mut count = 0;
    let mut open_folders = vec![folder.to_owned()];
    while let Some(next) = open_folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open_folders.push(entry.path());
            } else {
                count += 1;
            }
        }
    }
    Ok(count)
}

/// Removes a file, a link or a slot. A slot stops being whole first: a cut leaves nothing that looks good.
pub(crate) fn discard(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(metadata) if metadata.is_dir() => {
            durable::remove_file(&path.join("release.json"))?;
            std::fs::remove_dir_all(path)?;
            durable::sync_parent(path)
        }
        Ok(_) => durable::remove_file(path),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let opened = openat(CWD, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    Ok(File::from(opened))
}

fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(MAX_RELEASE_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}
