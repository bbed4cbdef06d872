//! How a program that failed says so.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// What `serve`, `demo`, `migrate` and `openapi` end with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The configuration file cannot be used.
    #[error("failed to read the configuration {path}: {reason}")]
    Config { path: String, reason: String },
    /// A setting cannot be used.
    #[error("invalid setting: {0}")]
    Setting(String),
    /// The back-ends do not come up.
    #[error(transparent)]
    Compose(#[from] drover_app::compose::ComposeError),
    /// A use case failed at start.
    #[error(transparent)]
    App(#[from] drover_app::Error),
    /// There is no backup.
    #[error(transparent)]
    Backup(#[from] drover_app::backup::BackupError),
    /// Everything else was copied.
    #[error("{lost} objects were lost or damaged before, everything else is there: upload them again")]
    ObjectFaults {
        /// How many.
        lost: usize,
    },
    /// The backup cannot be used.
    #[error(transparent)]
    Verify(#[from] drover_app::backup::VerifyError),
    /// Nothing was restored.
    #[error(transparent)]
    Restore(#[from] drover_app::backup::RestoreError),
    /// Nothing was moved.
    #[error(transparent)]
    Move(#[from] drover_app::moving::MoveError),
    /// Something does not work.
    #[error("{faults} of these do not work; each says what to do next")]
    Faults {
        /// How many.
        faults: usize,
    },
    /// HTTP cannot be served.
    #[error(transparent)]
    Serve(#[from] drover_server::ServeError),
    /// The server's certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] drover_server::TlsError),
    /// The address is taken or not ours.
    #[error("failed to listen on {address}: {source}; end what listens there, or choose another with --listen")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file or folder.
    #[error("failed to {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The demo did not go as it should.
    #[error("the demo failed: {0}")]
    Demo(String),
}

impl RunError {
    /// For `map_err` on files and folders.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}

/// Prints the error with its causes and gives the exit code.
pub(crate) fn exit(result: Result<(), RunError>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    let mut text = format!("error: {error}");
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        let message = error.to_string();
        if !told.contains(&message) {
            // Writing to a text does not fail.
            let _ = write!(text, "\n  because: {message}");
            told.push_str(&message);
        }
        cause = error.source();
    }
    // Without a standard error there is still the exit code.
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
