//! What is really on the disk of one component.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use drover_types::Sha256Digest;

use crate::journal::Update;
use crate::layout::{ComponentPaths, Link};
use crate::next::World;
use crate::slot;

/// Looks at the disk.
pub(crate) fn observe(paths: &ComponentPaths, update: Option<&Update>, stuck: &BTreeSet<PathBuf>) -> io::Result<World> {
    let slots = whole_slots(paths)?;
    let downloaded = update.is_some_and(|update| {
        update.artifacts.iter().all(|artifact| paths.download(*artifact).symlink_metadata().is_ok_and(|m| m.is_file()))
    });
    Ok(World {
        new: paths.target(Link::New)?,
        current: paths.target(Link::Current)?,
        old: paths.target(Link::Old)?,
        slots,
        downloaded,
        foreign_current: paths.is_foreign(Link::Current)?,
        owes_activation: paths.reactivate().symlink_metadata().is_ok() && !stuck.contains(&paths.reactivate()),
        litter: !litter(paths, stuck)?.is_empty(),
    })
}

fn whole_slots(paths: &ComponentPaths) -> io::Result<BTreeSet<Sha256Digest>> {
    let names = names_in(&paths.slots())?;
    let digests = names.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok());
    Ok(digests.filter(|digest| slot::read_release(paths, *digest).is_some()).collect())
}

/// What nobody needs once no update is under way: slots that no name points at, artifacts, what was cut off. What is
/// `stuck`, or in a folder that cannot be read, is left alone.
pub(crate) fn litter(paths: &ComponentPaths, stuck: &BTreeSet<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let current = paths.target(Link::Current)?;
    let old = paths.target(Link::Old)?;
    let new = paths.target(Link::New)?;
    // A way back to what runs already, or to nothing, is no way back.
    let old_is_useless = old.is_some_and(|old| current == Some(old) || slot::read_release(paths, old).is_none());
    if old_is_useless {
        found.push(paths.link(Link::Old));
    }
    let kept: Vec<PathBuf> = [current, old, new].into_iter().flatten().map(|release| paths.slot(release)).collect();
    found.extend(names_in(&paths.slots()).unwrap_or_default().into_iter().filter(|path| !kept.contains(path)));
    found.extend(names_in(paths.downloads()).unwrap_or_default());
    let is_temporary = |path: &PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().ends_with(".tmp"));
    found.extend(names_in(paths.root()).unwrap_or_default().into_iter().filter(is_temporary));
    found.retain(|path| !stuck.contains(path));
    Ok(found)
}

/// What is in a folder, sorted; nothing when the folder is not there.
pub(crate) fn names_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => {
            let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
