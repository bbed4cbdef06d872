//! What failed on this device often enough.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use drover_types::{Sha256Digest, Timestamp, UpdateSessionId};
use drover_uplink::durable;
use serde::{Deserialize, Serialize};

const FORMAT: u32 = 1;
/// No more releases are remembered; the oldest gives way.
const MAX_ENTRIES: usize = 256;

/// Releases that were rolled back on this device, named by the digests of their artifacts: a new manifest around the
/// same bytes does not help them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blacklist {
    format: u32,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    artifacts: BTreeSet<Sha256Digest>,
    /// The session, and when it was accepted: a session that is tried again counts again.
    failures: BTreeSet<(UpdateSessionId, Timestamp)>,
}

/// The blacklist cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("keep the blacklist {}: {source}; check free space and permissions", path.display())]
pub struct BlacklistError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

impl Blacklist {
    /// Reads the list; an empty one when it is not there. One that makes no sense is set aside.
    pub(crate) fn load(path: &Path) -> Result<Self, BlacklistError> {
        let failed = |source| BlacklistError { path: path.to_owned(), source };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        match serde_json::from_slice::<Self>(&bytes) {
            Ok(list) if list.format == FORMAT => Ok(list),
            _ => {
                tracing::error!(file = %path.display(), "the blacklist makes no sense and is set aside");
                std::fs::rename(path, durable::with_suffix(path, ".broken")).map_err(failed)?;
                Ok(Self::default())
            }
        }
    }

    /// Counts the failure of an update that was accepted at `accepted_at`; the same update counts once.
    pub(crate) fn count(&mut self, artifacts: &[Sha256Digest], session_id: UpdateSessionId, accepted_at: Timestamp) {
        let artifacts: BTreeSet<_> = artifacts.iter().copied().collect();
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.artifacts == artifacts) {
            entry.failures.insert((session_id, accepted_at));
            return;
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.entries.remove(0);
        }
        self.entries.push(Entry { artifacts, failures: BTreeSet::from([(session_id, accepted_at)]) });
    }

    /// How often these artifacts failed here.
    pub(crate) fn failures(&self, artifacts: &[Sha256Digest]) -> usize {
        let artifacts: BTreeSet<_> = artifacts.iter().copied().collect();
        self.entries.iter().find(|entry| entry.artifacts == artifacts).map_or(0, |entry| entry.failures.len())
    }

    /// Writes the list.
    pub(crate) fn store(&self, path: &Path) -> Result<(), BlacklistError> {
        let failed = |source| BlacklistError { path: path.to_owned(), source };
        let list = Self { format: FORMAT, entries: self.entries.clone() };
        let bytes = serde_json::to_vec_pretty(&list).map_err(|error| failed(error.into()))?;
        durable::replace_file(path, &bytes, 0o600).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_counts_once_and_the_list_survives() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blacklist.json");
        let artifacts = [Sha256Digest::from_bytes([1; 32]), Sha256Digest::from_bytes([2; 32])];
        let session = |n| UpdateSessionId(uuid::Uuid::from_u128(n));
        let mut list = Blacklist::load(&path).expect("empty");
        let accepted_at = Timestamp::from_micros(7);
        list.count(&artifacts, session(1), accepted_at);
        list.count(&artifacts, session(1), accepted_at);
        list.store(&path).expect("written");
        let mut read = Blacklist::load(&path).expect("read");
        assert_eq!(read.failures(&artifacts), 1);
        read.count(&[artifacts[1], artifacts[0]], session(2), accepted_at);
        assert_eq!(read.failures(&artifacts), 2);
        assert_eq!(read.failures(&artifacts[..1]), 0);
    }
}
