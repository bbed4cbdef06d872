//! Packing: from files to an unsigned release folder.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::{Path, PathBuf};

use drover_trust::{ArtifactFormat, Dependency, Manifest, ManifestArtifact, ManifestError};
use drover_types::{ComponentName, Sha256Digest, Version};
use tempfile::NamedTempFile;

use super::archive::{self, HashingWriter};
use super::folder::MANIFEST;
use super::walk;

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// Something could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A link, device, socket or pipe.
    #[error("{} is neither a file nor a folder: devices refuse links and special files", path.display())]
    Special {
        /// Which.
        path: PathBuf,
    },
    /// A name that not every device can write.
    #[error("the name of {path:?} is not plain UTF-8 text")]
    StrangeName {
        /// Which.
        path: PathBuf,
    },
    /// An input that ends in `..`.
    #[error("{} has no name of its own", path.display())]
    NoName {
        /// Which.
        path: PathBuf,
    },
    /// Two inputs have the same file.
    #[error("two inputs both contain {path}")]
    Twice {
        /// The path in the archive.
        path: String,
    },
    /// Nothing to pack.
    #[error("there is no file in what is to be packed")]
    Empty,
    /// Folders within folders.
    #[error("{} lies deeper than {limit} folders", path.display())]
    TooDeep {
        /// Where.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// More than devices unpack.
    #[error("there are more than {limit} files and folders")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// A file was written to in the meantime.
    #[error("{} changed while it was packed", path.display())]
    Changed {
        /// Which.
        path: PathBuf,
    },
    /// The target has a release already.
    #[error("{} exists already", path.display())]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// The target lies within an input, so it would pack itself.
    #[error("the output folder {} lies inside of what is to be packed", path.display())]
    Inside {
        /// The output folder.
        path: PathBuf,
    },
    /// The manifest would break a rule.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What to pack, and what the manifest says.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// Folders, whose content is packed, and files: together they are the root of one archive.
    pub inputs: Vec<PathBuf>,
    /// Files that become artifacts of their own, as they are.
    pub raw: Vec<PathBuf>,
    /// Name of the firmware; also the start of file names.
    pub name: String,
    /// The version.
    pub version: Version,
    /// The device type.
    pub device_type: String,
    /// The component.
    pub component: ComponentName,
    /// Counts releases up.
    pub release_counter: u64,
    /// The lowest release counter that a device may be sent back to.
    pub rollback_floor: u64,
    /// The component must run at least this version before.
    pub min_version: Option<Version>,
    /// What other components must run before.
    pub dependencies: Vec<Dependency>,
    /// For people.
    pub release_notes: Option<String>,
    /// For programs of the operator.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The folder to write to; it is made when it does not exist.
    pub out: PathBuf,
}

/// Writes archive, digests and manifest into `options.out`. The same content gives the same bytes. The manifest comes
/// last, so a folder with a manifest is complete.
pub fn pack(options: &PackOptions) -> Result<Manifest, PackError> {
    require_outside(options)?;
    let manifest_path = options.out.join(MANIFEST);
    refuse_existing(&manifest_path)?;
    std::fs::create_dir_all(&options.out).map_err(|source| PackError::Write { path: options.out.clone(), source })?;
    // Names are judged before gigabytes are compressed.
    let planned = options.raw.iter().map(|raw| Ok(planned_artifact(raw_name(raw)?, ArtifactFormat::Raw)));
    let archived = (!options.inputs.is_empty()).then(|| planned_artifact(archive_name(options), ArtifactFormat::TarGz));
    let mut artifacts = archived.into_iter().map(Ok).chain(planned).collect::<Result<Vec<_>, PackError>>()?;
    manifest(options, artifacts.clone()).validate()?;
    // In the order of the artifacts: none stands for the archive.
    let archive_source = (!options.inputs.is_empty()).then_some(None);
    let sources = archive_source.into_iter().chain(options.raw.iter().map(|raw| Some(raw.as_path())));
    let mut files = Vec::new();
    for (artifact, source) in artifacts.iter_mut().zip(sources) {
        files.extend(write_artifact(options, artifact, source)?);
    }
    let manifest = manifest(options, artifacts);
    manifest.validate()?;
    files.push((staged(&options.out, &manifest.to_bytes())?, manifest_path));
    for (file, path) in files {
        keep(file, &path)?;
    }
    Ok(manifest)
}

/// The bytes of one artifact and its digest file, not under their names yet.
fn write_artifact(
    options: &PackOptions,
    artifact: &mut ManifestArtifact,
    raw: Option<&Path>,
) -> Result<[(NamedTempFile, PathBuf); 2], PackError> {
    let path = options.out.join(&artifact.name);
    let digest_path = options.out.join(digest_name(&artifact.name));
    refuse_existing(&path)?;
    refuse_existing(&digest_path)?;
    let target = temporary(&options.out)?;
    if let Some(source) = raw {
        (artifact.size_bytes, artifact.sha256) = copy(source, target.as_file(), &path)?;
        (artifact.unpacked_bytes, artifact.unpacked_entries) = (artifact.size_bytes, 1);
    } else {
        let archived = archive::write(&walk::walk(&options.inputs)?, target.as_file(), &path)?;
        (artifact.size_bytes, artifact.sha256) = (archived.size_bytes, archived.sha256);
        (artifact.unpacked_bytes, artifact.unpacked_entries) = (archived.unpacked_bytes, archived.unpacked_entries);
    }
    let digest_line = format!("{}  {}\n", artifact.sha256, artifact.name);
    Ok([(target, path), (staged(&options.out, digest_line.as_bytes())?, digest_path)])
}

fn manifest(options: &PackOptions, artifacts: Vec<ManifestArtifact>) -> Manifest {
    Manifest {
        format: 1,
        name: options.name.clone(),
        version: options.version.clone(),
        device_type: options.device_type.clone(),
        component: options.component.clone(),
        release_counter: options.release_counter,
        rollback_floor: options.rollback_floor,
        min_version: options.min_version.clone(),
        dependencies: options.dependencies.clone(),
        artifacts,
        release_notes: options.release_notes.clone(),
        metadata: options.metadata.clone(),
    }
}

/// An artifact whose size and digest are not known yet; the values pass the manifest's checks.
fn planned_artifact(name: String, format: ArtifactFormat) -> ManifestArtifact {
    let sha256 = Sha256Digest::from_bytes([0; 32]);
    ManifestArtifact { name, format, size_bytes: 1, sha256, unpacked_bytes: 0, unpacked_entries: 0 }
}

/// `app-v1.2.3.tar.gz`; characters of the name that no file name on a device may have become `-`.
fn archive_name(options: &PackOptions) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let stem: String = options.name.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    // Build metadata is the one part of a version that file names on devices have no character for.
    format!("{stem}-v{}.tar.gz", options.version.to_string().replace('+', "_"))
}

fn raw_name(raw: &Path) -> Result<String, PackError> {
    let name = raw.file_name().ok_or_else(|| PackError::NoName { path: raw.to_owned() })?;
    name.to_str().map(str::to_owned).ok_or_else(|| PackError::StrangeName { path: raw.to_owned() })
}

/// `app-v1.2.3.sha256`, as source 004 names it.
fn digest_name(artifact: &str) -> String {
    format!("{}.sha256", artifact.strip_suffix(".tar.gz").unwrap_or(artifact))
}

fn copy(source: &Path, target: &File, target_path: &Path) -> Result<(u64, Sha256Digest), PackError> {
    let in_source = |error| PackError::Read { path: source.to_owned(), source: error };
    if !std::fs::symlink_metadata(source).map_err(in_source)?.is_file() {
        return Err(PackError::Special { path: source.to_owned() });
    }
    let mut reader = BufReader::new(File::open(source).map_err(in_source)?);
    let mut writer = HashingWriter::new(target);
    let copied = std::io::copy(&mut reader, &mut writer).and_then(|_| writer.finish());
    copied.map_err(|error| PackError::Write { path: target_path.to_owned(), source: error })
}

fn require_outside(options: &PackOptions) -> Result<(), PackError> {
    let absolute = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path));
    let out = absolute(&options.out).map_err(|source| PackError::Write { path: options.out.clone(), source })?;
    for input in &options.inputs {
        let root = absolute(input).map_err(|source| PackError::Read { path: input.clone(), source })?;
        if out.starts_with(root) {
            return Err(PackError::Inside { path: options.out.clone() });
        }
    }
    Ok(())
}

fn refuse_existing(path: &Path) -> Result<(), PackError> {
    // A dangling link counts: writing must never go through one.
    if path.symlink_metadata().is_ok() { Err(PackError::Exists { path: path.to_owned() }) } else { Ok(()) }
}

fn temporary(folder: &Path) -> Result<NamedTempFile, PackError> {
    NamedTempFile::new_in(folder).map_err(|source| PackError::Write { path: folder.to_owned(), source })
}

fn staged(folder: &Path, bytes: &[u8]) -> Result<NamedTempFile, PackError> {
    let mut file = temporary(folder)?;
    file.write_all(bytes).map_err(|source| PackError::Write { path: folder.to_owned(), source })?;
    Ok(file)
}

/// Gives a finished file its name. It is public, unlike a temporary file.
fn keep(file: NamedTempFile, path: &Path) -> Result<(), PackError> {
    super::folder::keep(file, path).map_err(|source| PackError::Write { path: path.to_owned(), source })
}
