//! When the last backup was taken.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_types::Timestamp;
use serde::Deserialize;

use super::finding::Finding;
use crate::backup::LAST_BACKUP;

const NAME: &str = "backup";
const AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// What the data folder remembers.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    created_at: Timestamp,
    file: PathBuf,
    #[serde(default)]
    lost_objects: usize,
}

/// What `drover backup` noted; none when it never did.
pub(crate) fn look(data: &Path) -> Option<Facts> {
    serde_json::from_slice(&std::fs::read(data.join(LAST_BACKUP)).ok()?).ok()
}

/// Says whether it is time for another.
pub(crate) fn judge(last: Option<&Facts>, now: Timestamp) -> Finding {
    let next = "take one, best every day: drover backup --to FILE";
    let Some(Facts { created_at, file, lost_objects }) = last else {
        return Finding::warn(NAME, "none was taken with `drover backup`", next);
    };
    let age = now.since(*created_at);
    let seen = format!("{created_at}, {}", file.display());
    if age > AGE_MAX {
        return Finding::warn(NAME, format!("the last one is {} days old: {seen}", age.as_secs() / 86_400), next);
    }
    if *lost_objects > 0 {
        let next = "find them in what `drover backup` printed; upload them again, then take another";
        return Finding::warn(NAME, format!("{lost_objects} objects were lost before it was taken: {seen}"), next);
    }
    Finding::ok(NAME, seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn no_backup_and_an_old_one_are_told() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let taken = |ago| Facts { created_at: now.minus(ago), file: PathBuf::from("/b.tar"), lost_objects: 0 };
        assert_eq!(judge(None, now).level, Level::Warn);
        assert_eq!(judge(Some(&taken(Duration::from_hours(20))), now).level, Level::Ok);
        let partly = Facts { lost_objects: 2, ..taken(Duration::from_hours(1)) };
        assert_eq!(judge(Some(&partly), now).level, Level::Warn);
        let old = judge(Some(&taken(Duration::from_hours(240))), now);
        assert_eq!(old.level, Level::Warn);
        assert!(old.seen.contains("10 days"), "{}", old.seen);
    }
}
