//! Why an operation failed. Every text reads after "failed to …: ".

use std::io;
use std::time::Duration;

use drover_types::{ErrorKind, Sha256Digest};

use crate::ObjectKey;

/// Whatever a back-end's library reports.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why an upload was not stored. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// Longer than the caller allows.
    #[error("the upload is larger than the limit of {max_bytes} bytes: split it or raise the limit")]
    TooLarge {
        /// The limit.
        max_bytes: u64,
    },
    /// It ended early, or went on after its end.
    #[error("the upload has {actual_bytes}{} bytes, not the {expected_bytes} announced: upload it again",
        if *.actual_bytes > *.expected_bytes { " or more" } else { "" })]
    SizeMismatch {
        /// What was announced.
        expected_bytes: u64,
        /// What was read before it was refused.
        actual_bytes: u64,
    },
    /// The bytes are other bytes.
    #[error("the upload has SHA-256 {actual}, not the {expected} announced: upload the file it was made for")]
    DigestMismatch {
        /// What was announced.
        expected: Sha256Digest,
        /// What arrived.
        actual: Sha256Digest,
    },
    /// The sender went away or broke the stream.
    #[error("the upload broke off after {received_bytes} bytes: upload it again")]
    Truncated {
        /// What had arrived.
        received_bytes: u64,
        /// The stream's error.
        #[source]
        source: io::Error,
    },
    /// No room, with what is kept in reserve taken off.
    #[error(
        "no room for the upload: {free_bytes} bytes free, {reserve_bytes} kept in reserve, {needed_bytes} needed; \
         free some space on the disk of the objects"
    )]
    NoSpace {
        /// What the disk still has.
        free_bytes: u64,
        /// What is never given to uploads.
        reserve_bytes: u64,
        /// What this upload still needs, as far as it is known.
        needed_bytes: u64,
    },
    /// The disk said so itself, while writing.
    #[error("no room for the upload: the disk or its quota is full; free some space on the disk of the objects")]
    DiskFull {
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A part of an upload in parts is not what was noted when it came.
    #[error("part {number} is not the one that arrived: upload it again from the start")]
    PartChanged {
        /// The part, from 1.
        number: u32,
    },
    /// The back-end will never make an object of these parts.
    #[error("the object store refuses the parts: upload them again from the start")]
    PartsRefused {
        /// The back-end's error.
        #[source]
        source: BoxError,
    },
    /// The back-end failed.
    #[error("the object store failed to {action}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The back-end's error.
        #[source]
        source: BoxError,
    },
}

impl PutError {
    /// Whether trying again with the same bytes ends the same way.
    pub const fn is_final(&self) -> bool {
        matches!(self.kind(), ErrorKind::TooLarge | ErrorKind::Unprocessable)
    }

    /// The kind of error, for whoever asked.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::SizeMismatch { .. }
            | Self::DigestMismatch { .. }
            | Self::PartChanged { .. }
            | Self::PartsRefused { .. } => ErrorKind::Unprocessable,
            Self::Truncated { .. } => ErrorKind::Malformed,
            Self::NoSpace { .. } | Self::DiskFull { .. } => ErrorKind::InsufficientStorage,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }

    /// An error of the disk while doing `action`.
    pub(crate) fn disk(action: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { source },
            _ => Self::Unavailable { action, source: source.into() },
        }
    }
}

/// Why an object could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GetError {
    /// It is not there.
    #[error("there is no object {key}")]
    NotFound {
        /// What was looked for.
        key: ObjectKey,
    },
    /// The range is empty or does not lie inside the object.
    #[error("bytes {start}..{end} do not lie inside the object of {size_bytes} bytes")]
    RangeOutside {
        /// First byte asked for.
        start: u64,
        /// The byte after the last one asked for.
        end: u64,
        /// The length of the object.
        size_bytes: u64,
    },
    /// The back-end failed.
    #[error("the object store failed to {action}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// The back-end's error.
        #[source]
        source: BoxError,
    },
}

impl GetError {
    /// The kind of error, for whoever asked.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::RangeOutside { .. } => ErrorKind::Unprocessable,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Why an object could not be removed.
#[derive(Debug, thiserror::Error)]
#[error("the object store failed to remove {key}")]
pub struct DeleteError {
    /// What was to be removed.
    pub key: ObjectKey,
    /// The back-end's error.
    #[source]
    pub source: BoxError,
}

impl DeleteError {
    /// Whether the back-end answered that it will not: the object is still there.
    pub fn is_refused(&self) -> bool {
        use object_store::Error::{PermissionDenied, Unauthenticated};
        let disk = self.source.downcast_ref::<io::Error>().map(io::Error::kind);
        let server = self.source.downcast_ref::<object_store::Error>();
        matches!(disk, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem))
            || matches!(server, Some(PermissionDenied { .. } | Unauthenticated { .. }))
    }
}

/// Why an upload in parts could not be cleared away.
#[derive(Debug, thiserror::Error)]
#[error("the object store failed to clear an upload away")]
pub struct ClearError {
    /// The back-end's error.
    #[source]
    pub source: BoxError,
}

/// Why there is no URL.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PresignError {
    /// The time to live is out of range.
    #[error("a URL cannot live for {ttl:?}: expected 1 s to 7 days")]
    Ttl {
        /// What was asked for.
        ttl: Duration,
    },
    /// The file name could be mistaken for something else.
    #[error(
        "invalid file name {value:?}: expected 1 to 128 of A-Z, a-z, 0-9, '.', '_', '+', '-', not starting with '.'"
    )]
    FileName {
        /// The name, cut to 140 characters.
        value: String,
    },
    /// The back-end failed.
    #[error("the object store failed to sign the URL")]
    Unavailable {
        /// The back-end's error.
        #[source]
        source: BoxError,
    },
}

impl PresignError {
    /// The kind of error, for whoever asked.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Ttl { .. } | Self::FileName { .. } => ErrorKind::Unprocessable,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }
}

/// Why the store is not ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It did not answer in time.
    #[error("the object store did not answer within {limit:?}: check its address and the network")]
    Timeout {
        /// How long was waited.
        limit: Duration,
    },
    /// It cannot be written to.
    #[error("the object store cannot be written to: check its address, credentials and free space")]
    Unavailable {
        /// The back-end's error.
        #[source]
        source: BoxError,
    },
}
