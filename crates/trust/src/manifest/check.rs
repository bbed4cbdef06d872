//! The rules of a manifest's fields.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::{Dependency, FORMAT, Manifest, ManifestArtifact, ManifestError};

/// Larger numbers are not exact in every reader of JSON.
const MAX_COUNTER: u64 = (1 << 53) - 1;
const MAX_NAME_CHARS: usize = 128;
const MAX_DEVICE_TYPE_CHARS: usize = 64;
const MAX_DEPENDENCIES: usize = 50;
const MAX_ARTIFACTS: usize = 50;
const MAX_NOTES_CHARS: usize = 10_000;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_ARTIFACT_BYTES: u64 = 64 << 30;
const MAX_UNPACKED_BYTES: u64 = 1 << 40;
const MAX_UNPACKED_ENTRIES: u64 = 1_000_000;

pub(super) fn manifest(manifest: &Manifest) -> Result<(), ManifestError> {
    if manifest.format != FORMAT {
        return Err(ManifestError::Format { found: manifest.format });
    }
    text("name", &manifest.name, MAX_NAME_CHARS)?;
    text("device_type", &manifest.device_type, MAX_DEVICE_TYPE_CHARS)?;
    at_most("release_counter", manifest.release_counter, MAX_COUNTER)?;
    if manifest.rollback_floor > manifest.release_counter {
        let counter = manifest.release_counter;
        return broken("rollback_floor", format!("is {}, above release_counter {counter}", manifest.rollback_floor));
    }
    dependencies(&manifest.dependencies)?;
    artifacts(&manifest.artifacts)?;
    let notes_chars = manifest.release_notes.as_deref().map_or(0, |notes| notes.chars().count());
    if notes_chars > MAX_NOTES_CHARS {
        return broken("release_notes", format!("has {notes_chars} characters, more than {MAX_NOTES_CHARS}"));
    }
    let metadata_bytes = serde_json::to_vec(&manifest.metadata).map_err(ManifestError::Json)?.len();
    if metadata_bytes > MAX_METADATA_BYTES {
        return broken("metadata", format!("has {metadata_bytes} bytes, more than {MAX_METADATA_BYTES}"));
    }
    Ok(())
}

fn dependencies(dependencies: &[Dependency]) -> Result<(), ManifestError> {
    if dependencies.len() > MAX_DEPENDENCIES {
        return broken("dependencies", format!("has {} entries, more than {MAX_DEPENDENCIES}", dependencies.len()));
    }
    let mut seen = BTreeSet::new();
    for (index, dependency) in dependencies.iter().enumerate() {
        let component = &dependency.component;
        if !seen.insert(component) {
            return broken(format!("dependencies[{index}].component"), format!("names {component} a second time"));
        }
        let below = dependency.below_version.as_ref();
        if let Some(below) = below.filter(|below| below.sort_key() <= dependency.min_version.sort_key()) {
            let min = &dependency.min_version;
            let reason = format!("is {below}, not above min_version {min}: no version fits");
            return broken(format!("dependencies[{index}].below_version"), reason);
        }
    }
    Ok(())
}

fn artifacts(artifacts: &[ManifestArtifact]) -> Result<(), ManifestError> {
    if !(1..=MAX_ARTIFACTS).contains(&artifacts.len()) {
        return broken("artifacts", format!("has {} entries, expected 1 to {MAX_ARTIFACTS}", artifacts.len()));
    }
    let mut seen = BTreeSet::new();
    for (index, artifact) in artifacts.iter().enumerate() {
        let field = |name: &str| format!("artifacts[{index}].{name}");
        if !is_file_name(&artifact.name) {
            let rule = "is no file name: expected 1 to 128 of A-Z a-z 0-9 . _ -, starting with a letter or digit";
            return broken(field("name"), rule);
        }
        if !seen.insert(&artifact.name) {
            return broken(field("name"), format!("is {} a second time", artifact.name));
        }
        if artifact.size_bytes == 0 {
            return broken(field("size_bytes"), "is 0: the file is empty");
        }
        at_most(field("size_bytes"), artifact.size_bytes, MAX_ARTIFACT_BYTES)?;
        at_most(field("unpacked_bytes"), artifact.unpacked_bytes, MAX_UNPACKED_BYTES)?;
        at_most(field("unpacked_entries"), artifact.unpacked_entries, MAX_UNPACKED_ENTRIES)?;
    }
    Ok(())
}

/// The name becomes a file on devices and in release folders: it is one segment, never hidden, never `..`.
fn is_file_name(name: &str) -> bool {
    let tail_is_fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= MAX_NAME_CHARS
        && name.bytes().all(tail_is_fine)
}

fn text(field: &str, value: &str, max_chars: usize) -> Result<(), ManifestError> {
    let chars = value.chars().count();
    if !(1..=max_chars).contains(&chars) {
        return broken(field, format!("has {chars} characters, expected 1 to {max_chars}"));
    }
    if value.chars().any(char::is_control) {
        return broken(field, "has a control character");
    }
    Ok(())
}

fn at_most(field: impl Display, value: u64, limit: u64) -> Result<(), ManifestError> {
    if value <= limit { Ok(()) } else { broken(field, format!("is {value}, more than {limit}")) }
}

fn broken(field: impl Display, reason: impl Display) -> Result<(), ManifestError> {
    Err(ManifestError::Field { field: field.to_string(), reason: reason.to_string() })
}
