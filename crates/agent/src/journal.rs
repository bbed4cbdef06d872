//! The journal: what the agent is about to do, written before it does it.

use std::io;
use std::path::{Path, PathBuf};

use drover_protocol::{Failure, Offer};
use drover_trust::sha256;
use drover_types::{Sha256Digest, Timestamp, UpdateSessionId};
use drover_uplink::durable;
use serde::{Deserialize, Serialize};

/// The only version of the format so far.
const FORMAT: u32 = 1;

/// One update of one component, from the accepted offer to the reported end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// The session of the offer.
    pub session_id: UpdateSessionId,
    /// The offer as it was accepted; its addresses are replaced when they expire.
    pub offer: Offer,
    /// SHA-256 of the signed manifest: the name of the slot.
    pub release: Sha256Digest,
    /// Digests of the artifacts, in the order of the manifest.
    pub artifacts: Vec<Sha256Digest>,
    /// What ran before; none on first installation.
    pub previous: Option<Sha256Digest>,
    /// What is to be done now.
    pub step: Step,
    /// How often the new version was tried. A try that was cut off counts.
    pub attempt: u32,
    /// How often the agent was told to stop while it tried the new version.
    #[serde(default)]
    pub stops: u32,
    /// How often activating what came back was tried. A try that was cut off counts.
    #[serde(default)]
    pub reactivations: u32,
    /// The end is in the report queue.
    pub reported: bool,
    /// When the offer was accepted.
    pub accepted_at: Timestamp,
}

/// What is to be done. Each step is an intent: it may have been done, in part or in full, when it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Step {
    /// Fetch the artifacts.
    Downloading,
    /// Make the slot from them.
    Unpacking,
    /// Point `NEW` at the slot.
    Staging,
    /// Ask the server whether to go on.
    Confirming,
    /// Point `OLD` at what runs and `CURRENT` at the slot.
    Switching,
    /// Activate, test and watch.
    Testing,
    /// Point `CURRENT` back and activate that.
    RollingBack {
        /// Why.
        cause: Failure,
    },
    /// Report and clean up.
    Ended {
        /// How it ended.
        outcome: Outcome,
    },
}

/// How an update ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Outcome {
    /// The new version stays.
    Succeeded,
    /// The new version failed and the old one runs again.
    RolledBack {
        /// Why.
        cause: Failure,
    },
    /// It failed before the switch.
    Failed {
        /// Why.
        cause: Failure,
    },
    /// The server called it off before the switch.
    Cancelled,
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    sha256: Sha256Digest,
    update: serde_json::Value,
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("keep the journal {}: {source}; check free space and permissions", path.display())]
pub struct JournalError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// Reads the journal; none when no update is under way. A journal that makes no sense is set aside as
/// `journal.json.broken`: then the slots and links decide.
pub(crate) fn load(path: &Path) -> Result<Option<Update>, JournalError> {
    let failed = |source| JournalError { path: path.to_owned(), source };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match parse(&bytes) {
        Ok(update) => Ok(Some(update)),
        Err(reason) => {
            tracing::error!(file = %path.display(), %reason, "the journal makes no sense and is set aside");
            std::fs::rename(path, durable::with_suffix(path, ".broken"))
                .and_then(|()| durable::sync_parent(path))
                .map_err(failed)?;
            Ok(None)
        }
    }
}

/// Reads the journal and leaves it as it is; none when there is none or it makes no sense.
pub(crate) fn peek(path: &Path) -> Option<Update> {
    parse(&std::fs::read(path).ok()?).ok()
}

fn parse(bytes: &[u8]) -> Result<Update, String> {
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if envelope.format != FORMAT {
        return Err(format!("format {} is not known; this agent knows {FORMAT}", envelope.format));
    }
    if checksum(&envelope.update)? != envelope.sha256 {
        return Err("its checksum does not hold".to_owned());
    }
    serde_json::from_value(envelope.update).map_err(|error| error.to_string())
}

fn checksum(update: &serde_json::Value) -> Result<Sha256Digest, String> {
    serde_json::to_vec(update).map(|bytes| sha256(&bytes)).map_err(|error| error.to_string())
}

/// Replaces the journal: it is the old one or the new one at every moment.
pub(crate) fn store(path: &Path, update: &Update) -> Result<(), JournalError> {
    let failed = |source| JournalError { path: path.to_owned(), source };
    let update = serde_json::to_value(update).map_err(|error| failed(error.into()))?;
    let sha256 = checksum(&update).map_err(|error| failed(io::Error::other(error)))?;
    let envelope = Envelope { format: FORMAT, sha256, update };
    let bytes = serde_json::to_vec_pretty(&envelope).map_err(|error| failed(error.into()))?;
    durable::replace_file(path, &bytes, 0o600).map_err(failed)
}

/// Removes the journal: no update is under way.
pub(crate) fn remove(path: &Path) -> Result<(), JournalError> {
    durable::remove_file(path).map_err(|source| JournalError { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use drover_types::{ComponentName, FirmwareId, RolloutId, Version};
    use uuid::Uuid;

    use super::*;
    use crate::failure::failure;

    fn update() -> Update {
        let offer = Offer {
            session_id: UpdateSessionId(Uuid::from_u128(1)),
            rollout_id: RolloutId(Uuid::from_u128(2)),
            firmware_id: FirmwareId(Uuid::from_u128(3)),
            component: ComponentName::main(),
            version: Version::new(1, 0, 0),
            manifest: "e30=".to_owned(),
            manifest_bundle: "{}".to_owned(),
            artifacts: Vec::new(),
            expires_at: Timestamp::from_micros(0),
        };
        let cause = failure(drover_types::FailureClass::Crash, "watch_failed", "it crashed");
        Update {
            session_id: offer.session_id,
            offer,
            release: Sha256Digest::from_bytes([1; 32]),
            artifacts: vec![Sha256Digest::from_bytes([2; 32])],
            previous: Some(Sha256Digest::from_bytes([3; 32])),
            step: Step::RollingBack { cause },
            attempt: 2,
            stops: 0,
            reactivations: 1,
            reported: false,
            accepted_at: Timestamp::from_micros(4),
        }
    }

    #[test]
    fn a_journal_comes_back_as_it_was_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal.json");
        assert_eq!(load(&path).expect("readable"), None);
        store(&path, &update()).expect("written");
        assert_eq!(load(&path).expect("readable"), Some(update()));
        let good = std::fs::read(&path).expect("there");
        for position in 0..good.len() {
            let mut spoiled = good.clone();
            spoiled[position] ^= 0x11;
            assert!(parse(&spoiled).is_err() || parse(&spoiled) == Ok(update()), "byte {position}");
            assert!(parse(&good[..position]).is_err(), "torn at {position}");
        }
        std::fs::write(&path, &good[..100]).expect("written");
        assert_eq!((peek(&path), path.exists()), (None, true));
        assert_eq!(load(&path).expect("set aside"), None);
        assert!(!path.exists() && folder.path().join("journal.json.broken").exists());
    }

    #[test]
    fn a_field_of_a_later_agent_is_skipped_and_a_later_format_is_not_read() {
        let mut value = serde_json::to_value(update()).expect("serialisable");
        value["later"] = serde_json::json!({"x": 1});
        let sha256 = checksum(&value).expect("serialisable");
        let envelope = |format| serde_json::to_vec(&Envelope { format, sha256, update: value.clone() }).expect("fine");
        assert_eq!(parse(&envelope(1)), Ok(update()));
        assert!(parse(&envelope(2)).unwrap_err().contains("format 2"));
    }

    #[test]
    fn a_journal_of_an_earlier_agent_is_read() {
        let mut value = serde_json::to_value(update()).expect("serialisable");
        let fields = value.as_object_mut().expect("an object");
        for later in ["stops", "reactivations"] {
            fields.remove(later).expect("it is a field");
        }
        let sha256 = checksum(&value).expect("serialisable");
        let bytes = serde_json::to_vec(&Envelope { format: FORMAT, sha256, update: value }).expect("fine");
        assert_eq!(parse(&bytes), Ok(Update { reactivations: 0, ..update() }));
    }
}
