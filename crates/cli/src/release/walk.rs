//! What goes into an archive: regular files and folders, in one order.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::PackError;

const MAX_ENTRIES: usize = 1_000_000;
const MAX_DEPTH: usize = 64;

/// One entry of the archive to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its bytes are.
    pub(super) source: PathBuf,
    /// None for a folder.
    pub(super) file: Option<FileFacts>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub(super) size_bytes: u64,
    pub(super) is_executable: bool,
}

/// Path in the archive → entry. The order of the keys is the order in the archive; parents sort before children.
pub(super) type Entries = BTreeMap<String, Entry>;

/// The contents of each folder and each file of `inputs`, at the root of the archive.
pub(super) fn walk(inputs: &[PathBuf]) -> Result<Entries, PackError> {
    let mut entries = Entries::new();
    for input in inputs {
        let facts = read_facts(input)?;
        if facts.is_dir() {
            walk_folder(input, "", 0, &mut entries)?;
        } else {
            let name = input.file_name().ok_or_else(|| PackError::NoName { path: input.clone() })?;
            add(input, &facts, utf8(name.as_ref(), input)?, &mut entries)?;
        }
    }
    if entries.values().all(|entry| entry.file.is_none()) {
        return Err(PackError::Empty);
    }
    Ok(entries)
}

fn walk_folder(folder: &Path, prefix: &str, depth: usize, entries: &mut Entries) -> Result<(), PackError> {
    if depth >= MAX_DEPTH {
        return Err(PackError::TooDeep { path: folder.to_owned(), limit: MAX_DEPTH });
    }
    let in_folder = |source| PackError::Read { path: folder.to_owned(), source };
    for item in std::fs::read_dir(folder).map_err(in_folder)? {
        let source = item.map_err(in_folder)?.path();
        let name = utf8(source.file_name().unwrap_or_default().as_ref(), &source)?;
        let path = format!("{prefix}{name}");
        let facts = read_facts(&source)?;
        add(&source, &facts, path.clone(), entries)?;
        if facts.is_dir() {
            walk_folder(&source, &format!("{path}/"), depth + 1, entries)?;
        }
    }
    Ok(())
}

fn add(source: &Path, facts: &Metadata, path: String, entries: &mut Entries) -> Result<(), PackError> {
    let file = if facts.is_dir() {
        None
    } else if facts.is_file() {
        let is_executable = facts.permissions().mode() & 0o100 != 0;
        Some(FileFacts { size_bytes: facts.len(), is_executable })
    } else {
        return Err(PackError::Special { path: source.to_owned() });
    };
    let is_folder = file.is_none();
    let clash = entries.insert(path.clone(), Entry { source: source.to_owned(), file });
    // Two inputs may share a folder, never a file.
    if clash.is_some_and(|other| other.file.is_some() || !is_folder) {
        return Err(PackError::Twice { path });
    }
    if entries.len() > MAX_ENTRIES {
        return Err(PackError::TooMany { limit: MAX_ENTRIES });
    }
    Ok(())
}

/// Looks at a link itself, never through it.
fn read_facts(path: &Path) -> Result<Metadata, PackError> {
    let facts = std::fs::symlink_metadata(path);
    facts.map_err(|source| PackError::Read { path: path.to_owned(), source })
}

fn utf8(name: &Path, path: &Path) -> Result<String, PackError> {
    let text = name.to_str().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_owned).ok_or_else(|| PackError::StrangeName { path: path.to_owned() })
}
