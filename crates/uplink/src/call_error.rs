//! Why a call to the server did not work.

use std::time::Duration;

/// A call to the server failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came: offline, refused connection, time-out. The same call may work later.
    #[error("call {path}: the server cannot be reached; it will be tried again")]
    Transport {
        /// The path that was called.
        path: &'static str,
        /// What happened on the wire.
        #[source]
        source: reqwest::Error,
    },
    /// The server has a problem of its own or asks for patience (429, 5xx), or the answer is not a Drover server's:
    /// a redirect, a proxy's 404, a firewall's 403.
    #[error("call {path}: the server answers {status}: {message}; it will be tried again")]
    Unavailable {
        /// The path that was called.
        path: &'static str,
        /// HTTP status.
        status: u16,
        /// What the server says.
        message: String,
        /// How long the server asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server says that the credential is not valid (any more).
    #[error("call {path}: the server does not accept this credential: {message}; enrol the device again")]
    Unauthenticated {
        /// The path that was called.
        path: &'static str,
        /// What the server says.
        message: String,
    },
    /// The server understood and refuses; the same call will be refused again.
    #[error("call {path}: the server refuses with {status}: {message}")]
    Refused {
        /// The path that was called.
        path: &'static str,
        /// HTTP status.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// The reply is not what the protocol says, or is too long.
    #[error("call {path}: the reply cannot be read: {what}; check that the address is that of a Drover server")]
    Unreadable {
        /// The path that was called.
        path: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl CallError {
    /// How long the server asks to be left alone; none when it does not say.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The same call may work later without anybody doing anything.
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::Transport { .. } | Self::Unavailable { .. })
    }
}
