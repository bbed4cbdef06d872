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
