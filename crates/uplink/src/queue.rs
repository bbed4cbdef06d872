//! Reports that survive a restart and leave in the order they came.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use drover_protocol::{StatusReport, ValidationReport};
use drover_types::UpdateSessionId;
use serde::{Deserialize, Serialize};

use crate::durable;

/// No more reports wait than this. Progress gives way first; how an update ended never does.
pub const MAX_QUEUED_REPORTS: usize = 1000;

/// A report as it waits on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Report {
    /// How an update is going, or how it ended before the switch.
    Status(StatusReport),
    /// How an update ended after the switch.
    Validation(ValidationReport),
}

impl Report {
    /// It says how an update ended.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Status(report) => report.state.is_final(),
            Self::Validation(_) => true,
        }
    }

    /// The session that it is about.
    pub fn session_id(&self) -> UpdateSessionId {
        match self {
            Self::Status(report) => report.session_id,
            Self::Validation(report) => report.session_id,
        }
    }
}

/// The queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The folder or a file in it cannot be read or written.
    #[error("keep reports in {}: {source}; check free space and permissions", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Only final outcomes are left to drop, and they are never dropped.
    #[error("keep another report: {MAX_QUEUED_REPORTS} final reports wait already; connect the device to its server")]
    Full,
}

/// A folder of numbered reports. One process uses it at a time.
#[derive(Debug)]
pub struct ReportQueue {
    folder: PathBuf,
    waiting: BTreeMap<u64, Report>,
    next_number: u64,
}

impl ReportQueue {
    /// Opens the queue in `folder`, which is made when it is not there. A file that cannot be read is set aside as
    /// `*.broken`, or stays where it is when not even that works: it does not hold up the others.
    pub fn open(folder: &Path) -> Result<Self, QueueError> {
        let failed = |source| QueueError::Io { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut queue = Self { folder: folder.to_owned(), waiting: BTreeMap::new(), next_number: 0 };
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            queue.take_in(&entry.map_err(failed)?.path());
        }
        Ok(queue)
    }

    fn take_in(&mut self, path: &Path) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((digits, suffix)) = name.split_once(".json") else { return };
        let Ok(number) = digits.parse::<u64>() else { return };
        // Past every name that is taken, also by what cannot be read.
        self.next_number = self.next_number.max(number.saturating_add(1));
        match suffix {
            "" => {}
            // A report that was cut off while it was written: it was not promised to anybody yet.
            ".tmp" => {
                if let Err(error) = std::fs::remove_file(path) {
                    tracing::warn!(file = %path.display(), %error, "half a report cannot be removed");
                }
                return;
            }
            _ => return,
        }
        match std::fs::read(path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?)) {
            Ok(report) => drop(self.waiting.insert(number, report)),
            Err(error) => set_aside(path, &error),
        }
    }

    /// Adds a report; it is on disk when this returns. A full queue drops its oldest progress report.
    pub fn push(&mut self, report: &Report) -> Result<(), QueueError> {
        if self.waiting.len() >= MAX_QUEUED_REPORTS {
            let progress = self.waiting.iter().find(|(_, waiting)| !waiting.is_final()).map(|(number, _)| *number);
            match progress {
                Some(number) => self.remove(number)?,
                None if !report.is_final() => return Ok(()),
                None => return Err(QueueError::Full),
            }
        }
        let number = self.next_number;
        let path = self.path(number);
        let written = serde_json::to_vec(report)
            .map_err(io::Error::other)
            .and_then(|bytes| durable::replace_file(&path, &bytes, 0o600));
        written.map_err(|source| QueueError::Io { path, source })?;
        self.next_number += 1;
        self.waiting.insert(number, report.clone());
        Ok(())
    }

    /// The oldest report and its number.
    pub fn first(&self) -> Option<(u64, &Report)> {
        self.waiting.iter().next().map(|(number, report)| (*number, report))
    }

    /// The oldest report that came after `number`, and its number.
    pub fn next_after(&self, number: u64) -> Option<(u64, &Report)> {
        self.waiting.range(number.saturating_add(1)..).next().map(|(number, report)| (*number, report))
    }

    /// Whether an equal report waits already, whatever its device time.
    pub fn contains(&self, report: &Report) -> bool {
        self.waiting.values().any(|waiting| without_time(waiting.clone()) == without_time(report.clone()))
    }

    /// Whether a report waits that says how the update of `session` ended.
    pub fn knows_end_of(&self, session: UpdateSessionId) -> bool {
        self.waiting.values().any(|waiting| waiting.is_final() && waiting.session_id() == session)
    }

    /// Forgets a report: the server has it, or refused it for good.
    pub fn remove(&mut self, number: u64) -> Result<(), QueueError> {
        let path = self.path(number);
        durable::remove_file(&path).map_err(|source| QueueError::Io { path, source })?;
        self.waiting.remove(&number);
        Ok(())
    }

    /// How many reports wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no report waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.json"))
    }
}

fn set_aside(path: &Path, error: &io::Error) {
    tracing::warn!(file = %path.display(), %error, "a queued report cannot be read and is set aside");
    if let Err(error) = std::fs::rename(path, durable::with_suffix(path, ".broken")) {
        tracing::warn!(file = %path.display(), %error, "it cannot be renamed and is left where it is");
    }
}

fn without_time(report: Report) -> Report {
    match report {
        Report::Status(report) => Report::Status(StatusReport { device_time: None, ..report }),
        Report::Validation(report) => Report::Validation(ValidationReport { device_time: None, ..report }),
    }
}

#[cfg(test)]
mod tests {
    use drover_protocol::ValidationOutcome;
    use drover_types::{ComponentName, SessionState, Timestamp};

    use super::*;

    fn session(number: u128) -> UpdateSessionId {
        UpdateSessionId(format!("{number:032x}").parse().expect("an id"))
    }

    fn progress(number: u128) -> Report {
        Report::Status(StatusReport {
            session_id: session(number),
            state: SessionState::Downloading,
            progress: 1,
            failure: None,
            device_time: Some(Timestamp::from_micros(1)),
        })
    }

    fn outcome(number: u128) -> Report {
        Report::Validation(ValidationReport {
            session_id: session(number),
            outcome: ValidationOutcome::Succeeded,
            component: ComponentName::main(),
            version: None,
            manifest_sha256: None,
            failure: None,
            device_time: None,
        })
    }

    fn all(queue: &mut ReportQueue) -> Vec<Report> {
        std::iter::from_fn(|| {
            let (number, report) = queue.first().map(|(number, report)| (number, report.clone()))?;
            queue.remove(number).expect("removed");
            Some(report)
        })
        .collect()
    }

    #[test]
    fn reports_survive_in_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        for number in 0..12 {
            queue.push(&progress(number)).expect("pushed");
        }
        drop(queue);
        // What was cut off while it was written, and what spoiled.
        std::fs::write(folder.path().join("00000000000000000012.json.tmp"), "{").expect("written");
        std::fs::write(folder.path().join("00000000000000000013.json"), "{").expect("written");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        queue.push(&outcome(12)).expect("pushed");
        assert!(queue.contains(&outcome(12)) && !queue.contains(&outcome(13)));
        let expected: Vec<_> = (0..12).map(progress).chain([outcome(12)]).collect();
        assert_eq!(all(&mut queue), expected);
        assert!(ReportQueue::open(folder.path()).expect("opened").is_empty());
        assert!(folder.path().join("00000000000000000013.json.broken").exists());
    }

    #[test]
    fn one_report_that_cannot_be_read_does_not_hold_up_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        queue.push(&outcome(1)).expect("pushed");
        let path = |number: u64, suffix: &str| folder.path().join(format!("{number:020}.json{suffix}"));
        std::fs::create_dir(path(1, "")).expect("made");
        std::os::unix::fs::symlink(path(2, ""), path(2, "")).expect("made");
        // Neither can this be read, nor does its other name take it: that is a folder with something in it.
        std::fs::create_dir(path(3, "")).expect("made");
        std::fs::create_dir_all(path(3, ".broken").join("kept")).expect("made");
        std::fs::create_dir(path(4, ".tmp")).expect("made");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        assert!(queue.knows_end_of(session(1)) && !queue.knows_end_of(session(2)));
        assert_eq!((queue.first(), queue.next_after(0)), (Some((0, &outcome(1))), None));
        assert!(path(1, ".broken").is_dir() && path(2, ".broken").is_symlink() && path(3, "").is_dir());
        queue.push(&outcome(2)).expect("pushed beyond the names that are taken");
        assert_eq!(all(&mut queue), [outcome(1), outcome(2)]);
    }

    #[test]
    fn a_full_queue_drops_progress_and_never_an_outcome() {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a folder");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        queue.push(&outcome(0)).expect("pushed");
        queue.push(&progress(1)).expect("pushed");
        for number in 2..=MAX_QUEUED_REPORTS as u128 {
            queue.push(&outcome(number)).expect("pushed");
        }
        assert!(!queue.contains(&progress(1)) && queue.contains(&outcome(0)));
        queue.push(&progress(5000)).expect("dropped");
        assert!(!queue.contains(&progress(5000)));
        assert!(matches!(queue.push(&outcome(5000)), Err(QueueError::Full)));
        assert_eq!(ReportQueue::open(folder.path()).expect("opened").len(), MAX_QUEUED_REPORTS);
    }

    #[test]
    fn the_time_of_the_device_makes_no_other_report() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut queue = ReportQueue::open(folder.path()).expect("opened");
        queue.push(&progress(1)).expect("pushed");
        let Report::Status(report) = progress(1) else { unreachable!("it is a status report") };
        let later = Report::Status(StatusReport { device_time: Some(Timestamp::from_micros(9)), ..report });
        assert!(queue.contains(&later));
    }
}
