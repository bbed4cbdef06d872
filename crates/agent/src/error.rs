//! Why a round of the agent did not work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drover_trust::InvalidServerPin;
use drover_uplink::{AddressError, CallError, NetworkError, QueueError};

use crate::blacklist::BlacklistError;
use crate::config::ConfigError;
use crate::identity::IdentityError;
use crate::journal::JournalError;
use crate::reporter::ReportError;
use crate::slot::SlotError;

/// A round of the agent failed. What is under way goes on in the next.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file or folder cannot be used.
    #[error("use {}: {source}; check free space and permissions", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Another agent uses the folder.
    #[error("use {}: another agent uses this folder; stop it or choose another data_dir", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The device has no identity and no way to get one.
    #[error("enrol the device: no identity and no enrolment token; run `drover-agent enrol --token …`")]
    NotEnrolled,
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The server's address cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The network cannot be used.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The enrolment token ends in something that is no pin.
    #[error("use the enrolment token: {0}; copy it whole")]
    TokenPin(#[source] InvalidServerPin),
    /// Identity or keys cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A slot cannot be used.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The blacklist cannot be used.
    #[error(transparent)]
    Blacklist(#[from] BlacklistError),
    /// A call to the server failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The queue of reports cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Work in the background ended unexpectedly.
    #[error("finish work in the background: {0}")]
    Task(#[from] tokio::task::JoinError),
}

impl AgentError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// How long the server asks to be left alone; none when it does not say.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Call(error) => error.retry_after(),
            _ => None,
        }
    }
}

impl From<ReportError> for AgentError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Call(error) => Self::Call(error),
            ReportError::Queue(error) => Self::Queue(error),
        }
    }
}
