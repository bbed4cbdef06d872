//! Why a download did not work.

use std::io;
use std::path::{Path, PathBuf};

use drover_types::Sha256Digest;

use crate::AddressError;

/// A download failed.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The address may not be used.
    #[error("download: {0}")]
    Address(#[from] AddressError),
    /// The connection could not be made or broke. What came is kept.
    #[error("download: the connection failed after {received_bytes} bytes; it goes on from there")]
    Transport {
        /// How much is there.
        received_bytes: u64,
        /// What happened on the wire.
        #[source]
        source: reqwest::Error,
    },
    /// Something answers there, and nobody vouches for it. What came before is kept.
    #[error(
        "download: the certificate of {origin} is refused; give it one of an authority that the device trusts, and the \
         device the right time"
    )]
    Untrusted {
        /// Scheme, host and port.
        origin: String,
        /// Why it is refused.
        #[source]
        source: reqwest::Error,
    },
    /// No byte came for a while, or too few to ever get done. What came is kept.
    #[error("download: next to nothing came for {seconds} s; it goes on from byte {received_bytes}")]
    Stalled {
        /// How much is there.
        received_bytes: u64,
        /// How long so little came.
        seconds: u64,
    },
    /// The body ended early. What came is kept.
    #[error("download: the body ended after {received_bytes} of {expected_bytes} bytes; it goes on from there")]
    Truncated {
        /// How much is there.
        received_bytes: u64,
        /// How much there should be.
        expected_bytes: u64,
    },
    /// The server has a problem of its own, or asks for patience.
    #[error("download: the server answers {status}; it will be tried again")]
    Unavailable {
        /// HTTP status.
        status: u16,
    },
    /// The address does not work any more (403, 404, 410): ask the server for a new one.
    #[error("download: the address has expired or names nothing (HTTP {status}); a new one is needed")]
    UrlExpired {
        /// HTTP status.
        status: u16,
    },
    /// The server answers in a way that makes no sense here.
    #[error("download: the server's answer cannot be used: {what}")]
    BadAnswer {
        /// What is wrong.
        what: String,
    },
    /// The server has more bytes than the signed manifest says. They were thrown away.
    #[error("download: the server sends more than the {expected_bytes} bytes of the manifest; nothing was kept")]
    TooLong {
        /// How much there should be.
        expected_bytes: u64,
    },
    /// All bytes came and they are not the right ones. They were thrown away.
    #[error("download: the bytes have the digest {found}, the manifest says {expected}; nothing was kept")]
    DigestMismatch {
        /// What the manifest says.
        expected: Sha256Digest,
        /// What came.
        found: Sha256Digest,
        /// A part of it was on disk from an earlier run: a fresh download may be right.
        resumed: bool,
    },
    /// The disk is full. What came is kept.
    #[error(
        "download: no space left for {} ({received_bytes} of {expected_bytes} bytes written); free some space",
        path.display()
    )]
    Space {
        /// The file.
        path: PathBuf,
        /// How much is there.
        received_bytes: u64,
        /// How much there should be.
        expected_bytes: u64,
    },
    /// A file cannot be read or written.
    #[error("download: cannot write {}: {source}; check permissions and the file system", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Called off. What came is kept.
    #[error("download: called off")]
    Cancelled,
}

impl DownloadError {
    /// The same download may work later without anybody doing anything.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Transport { .. }
            | Self::Untrusted { .. }
            | Self::Stalled { .. }
            | Self::Truncated { .. }
            | Self::Unavailable { .. } => true,
            Self::DigestMismatch { resumed, .. } => *resumed,
            _ => false,
        }
    }

    pub(super) fn io(path: &Path, received_bytes: u64, expected_bytes: u64, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Space { path, received_bytes, expected_bytes }
            }
            _ => Self::Io { path, source },
        }
    }
}
