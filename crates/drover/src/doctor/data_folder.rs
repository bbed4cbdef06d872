//! The data folder: whose it is, who may look into it, whether it can be written to.

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::finding::{Finding, chain};

const NAME: &str = "data folder";
/// A disk that needs longer to make a line durable slows every write down.
const SYNC_SLOW: Duration = Duration::from_millis(100);

/// Kinds of file systems, by the numbers of statfs(2).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const OF_A_NETWORK: [u64; 4] = [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997];

/// What was seen of the folder.
#[derive(Debug)]
pub(crate) struct Facts {
    owner: u32,
    own_user: u32,
    mode: u32,
    is_folder: bool,
    filesystem: u64,
    /// How long a file took to become durable; none when it was not tried.
    sync: Option<io::Result<Duration>>,
}

/// Looks at the folder; none when there is nothing. Writes a file only where that is ours to do.
pub(crate) fn look(path: &Path) -> io::Result<Option<Facts>> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found?,
    };
    let own_user = rustix::process::geteuid().as_raw();
    let (owner, mode, is_folder) = (found.uid(), found.mode() & 0o777, found.is_dir());
    // The numbers are positive; a kind that is not known counts as a disk.
    let filesystem = u64::try_from(rustix::fs::statfs(path)?.f_type).unwrap_or(0);
    let sync = (is_folder && owner == own_user).then(|| time_sync(path));
    Ok(Some(Facts { owner, own_user, mode, is_folder, filesystem, sync }))
}

fn time_sync(folder: &Path) -> io::Result<Duration> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let begun = Instant::now();
    file.write_all(b"drover")?;
    file.as_file().sync_all()?;
    Ok(begun.elapsed())
}

/// Says what is wrong with it.
pub(crate) fn judge(path: &Path, facts: &io::Result<Option<Facts>>) -> Vec<Finding> {
    let shown = path.display();
    let facts = match facts {
        Err(error) => {
            let next = "run this as the user that the server runs as";
            return vec![Finding::fail(NAME, format!("{shown} cannot be looked at: {error}"), next)];
        }
        Ok(None) => {
            let next = "name the folder of your installation with --data; a first start makes a new one";
            return vec![Finding::warn(NAME, format!("{shown} does not exist yet"), next)];
        }
        Ok(Some(facts)) => facts,
    };
    if !facts.is_folder {
        return vec![Finding::fail(NAME, format!("{shown} is no folder"), "name a folder with --data")];
    }
    let mut findings = vec![ownership(path, facts)];
    if facts.mode & 0o077 != 0 {
        let seen = format!("others can look into {shown}: its mode is {:04o}", facts.mode);
        findings.push(Finding::warn(NAME, seen, format!("chmod 700 {shown}")));
    }
    if IN_MEMORY.contains(&facts.filesystem) {
        let seen = format!("{shown} is in memory: a reboot empties it");
        findings.push(Finding::warn(NAME, seen, "move it to a disk and name it with --data"));
    }
    if OF_A_NETWORK.contains(&facts.filesystem) {
        let seen = format!("{shown} is on a network, where the database's locks do not hold");
        findings.push(Finding::fail(NAME, seen, "move it to a local disk, or use PostgreSQL and S3"));
    }
    findings
}

fn ownership(path: &Path, facts: &Facts) -> Finding {
    let shown = path.display();
    if facts.owner != facts.own_user {
        let seen = format!("{shown} belongs to user {}, and this runs as user {}", facts.owner, facts.own_user);
        return Finding::fail(NAME, seen, "run drover, and this, as the user that owns the folder");
    }
    match &facts.sync {
        Some(Err(error)) => {
            let next = format!("make it writable: chmod u+rwx {shown}; look at the disk with `df` and `mount`");
            Finding::fail(NAME, format!("{shown} cannot be written to: {}", chain(error)), next)
        }
        Some(Ok(took)) if *took > SYNC_SLOW => {
            let seen = format!("{shown}: the disk took {} ms to make 6 bytes durable", took.as_millis());
            Finding::warn(NAME, seen, "every write waits so long: use a faster disk, or find out what keeps it busy")
        }
        _ => Finding::ok(NAME, format!("{shown}, mode {:04o}", facts.mode)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::doctor::finding::Level;

    fn facts() -> Facts {
        let sync = Some(Ok(Duration::from_millis(2)));
        Facts { owner: 7, own_user: 7, mode: 0o700, is_folder: true, filesystem: 0xef53, sync }
    }

    fn judged(facts: Facts) -> Vec<(Level, String)> {
        let findings = judge(Path::new("/data"), &Ok(Some(facts)));
        findings.into_iter().map(|finding| (finding.level, finding.seen)).collect()
    }

    #[test]
    fn a_folder_as_it_should_be() {
        assert_eq!(judged(facts()), [(Level::Ok, "/data, mode 0700".to_owned())]);
    }

    #[test]
    fn each_fault_is_found() {
        let faults: [(Facts, Level, &str); 7] = [
            (Facts { owner: 0, ..facts() }, Level::Fail, "belongs to user 0"),
            (Facts { is_folder: false, ..facts() }, Level::Fail, "is no folder"),
            (Facts { mode: 0o755, ..facts() }, Level::Warn, "0755"),
            (Facts { filesystem: 0x0102_1994, ..facts() }, Level::Warn, "in memory"),
            (Facts { filesystem: 0x6969, ..facts() }, Level::Fail, "network"),
            (
                Facts { sync: Some(Err(io::ErrorKind::ReadOnlyFilesystem.into())), ..facts() },
                Level::Fail,
                "cannot be written",
            ),
            (Facts { sync: Some(Ok(Duration::from_millis(900))), ..facts() }, Level::Warn, "900 ms"),
        ];
        for (facts, level, words) in faults {
            let found = judged(facts);
            assert!(found.iter().any(|(found, seen)| *found == level && seen.contains(words)), "{words}: {found:?}");
        }
        assert_eq!(judge(Path::new("/data"), &Ok(None))[0].level, Level::Warn);
        assert_eq!(judge(Path::new("/data"), &Err(io::ErrorKind::PermissionDenied.into()))[0].level, Level::Fail);
    }

    #[test]
    fn a_real_folder_is_seen_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o750)).unwrap();
        let seen = look(folder.path()).unwrap().unwrap();
        assert_eq!((seen.mode, seen.owner, seen.is_folder), (0o750, seen.own_user, true));
        assert!(seen.sync.is_some_and(|sync| sync.is_ok()));
        assert!(look(&folder.path().join("none")).unwrap().is_none());
    }
}
