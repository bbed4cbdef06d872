//! Why an artifact was not unpacked.

use std::io;

use drover_types::{FailureClass, Sha256Digest};

/// An artifact was not unpacked. What was written so far is to be removed.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive cannot be read.
    #[error("unpack: the archive cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The file on disk is not the one that was verified.
    #[error("unpack: {name} was altered after it was verified: it has the digest {found}, expected {expected}")]
    Altered {
        /// The artifact.
        name: String,
        /// What the signed manifest says.
        expected: Sha256Digest,
        /// What is on disk.
        found: Sha256Digest,
    },
    /// A path leads out of the slot or is no portable name.
    #[error("unpack: the path {path:?} is refused: {reason}")]
    Path {
        /// The path, at most 200 characters.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// The same path twice, or below something that is no folder.
    #[error("unpack: the path {path:?} is there already; an archive may name it once")]
    Duplicate {
        /// The path.
        path: String,
    },
    /// Neither a regular file nor a folder.
    #[error("unpack: {name:?} is a {kind}; only regular files and folders are unpacked")]
    Kind {
        /// The path.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A header that is too long or says something that is not supported.
    #[error("unpack: a header of the archive is refused: {reason}")]
    Header {
        /// Why.
        reason: &'static str,
    },
    /// More bytes than the signed manifest allows.
    #[error("unpack: the archive holds more than the {limit_bytes} bytes that the manifest allows")]
    TooManyBytes {
        /// The limit.
        limit_bytes: u64,
    },
    /// The compressed stream grows far beyond what the manifest allows.
    #[error("unpack: the compressed stream grows far beyond what the manifest allows")]
    StreamTooLong,
    /// More files and folders than the signed manifest allows.
    #[error("unpack: the archive holds more than the {limit} files and folders that the manifest allows")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// Nothing more fits on the disk.
    #[error("unpack: no space left while writing {path:?}; free some space")]
    Space {
        /// What was being written.
        path: String,
    },
    /// Something cannot be written.
    #[error("unpack: cannot write {path:?}: {source}; check permissions and the file system")]
    Write {
        /// What was being written.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// Marks the error of a stream that grew beyond its limit.
#[derive(Debug, thiserror::Error)]
#[error("the stream grows beyond its limit")]
pub(super) struct StreamTooLong;

impl UnpackError {
    /// An error while reading; one that this module raised below the archive reader is found again.
    pub(super) fn read(source: io::Error) -> Self {
        let mut cause: Option<&(dyn std::error::Error + 'static)> =
            source.get_ref().map(|inner| inner as &(dyn std::error::Error + 'static));
        while let Some(error) = cause {
            if error.is::<StreamTooLong>() {
                return Self::StreamTooLong;
            }
            // What an I/O error wraps is not its source.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = wrapped.map(|inner| inner as &(dyn std::error::Error + 'static)).or_else(|| error.source());
        }
        Self::Read(source)
    }

    pub(super) fn write(path: &str, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Space { path },
            _ => Self::Write { path, source },
        }
    }

    /// The class and the short code that the server is told.
    pub const fn code(&self) -> (FailureClass, &'static str) {
        match self {
            Self::Read(_) => (FailureClass::Install, "unreadable_archive"),
            Self::Altered { .. } => (FailureClass::Verification, "digest_mismatch"),
            Self::Path { .. } => (FailureClass::Install, "unsafe_path"),
            Self::Duplicate { .. } => (FailureClass::Install, "duplicate_path"),
            Self::Kind { .. } => (FailureClass::Install, "unsafe_entry"),
            Self::Header { .. } => (FailureClass::Install, "unsafe_header"),
            Self::TooManyBytes { .. } | Self::StreamTooLong => (FailureClass::Install, "too_many_bytes"),
            Self::TooManyEntries { .. } => (FailureClass::Install, "too_many_entries"),
            Self::Space { .. } => (FailureClass::Space, "no_space"),
            Self::Write { .. } => (FailureClass::Install, "write_failed"),
        }
    }
}
