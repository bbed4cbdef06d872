//! Errors of commands: what happened, what to do next, and the exit code.

use std::path::PathBuf;

use drover_trust::{KeyError, ServerPin, is_untrusted};
use drover_types::{ErrorKind, RolloutState};

use crate::client::{ClientError, InvalidServerUrl};
use crate::profile::ProfileError;
use crate::prompt::PromptError;
use crate::release::{PackError, PublishError, ReleaseSignError, UnclearCounter};
use crate::resolve::ResolveError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CliError {
    /// The server refused or cannot be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The profiles cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The server's address cannot be used.
    #[error(transparent)]
    Server(#[from] InvalidServerUrl),
    /// A question was not answered.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A name fits nothing, or more than one thing.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Nothing was packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// There is no counter.
    #[error(transparent)]
    Counter(#[from] UnclearCounter),
    /// Nothing was signed.
    #[error(transparent)]
    Sign(#[from] ReleaseSignError),
    /// Nothing was published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A key cannot be used.
    #[error("cannot use the key {}", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// No key could be made.
    #[error("cannot make a key")]
    Generate(#[source] KeyError),
    /// A local file cannot be used.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file that would be overwritten.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Nobody vouches for the server, and nobody is there to ask.
    #[error("no authority that this machine knows vouches for {server}; it proves the key {pin}")]
    UnknownServer {
        /// Its address.
        server: String,
        /// Its key.
        pin: ServerPin,
    },
    /// The arguments do not go together.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
    },
    /// A rollout did not complete.
    #[error("rollout {name} is {status}, not completed{}", because(reason.as_deref()))]
    NotCompleted {
        /// The rollout's name.
        name: String,
        /// Where it stands.
        status: RolloutState,
        /// Why, as the server says.
        reason: Option<String>,
    },
    /// An answer could not be written as JSON.
    #[error("cannot write JSON")]
    Json(#[source] serde_json::Error),
    /// Standard output is gone.
    #[error("cannot write to standard output")]
    Output(#[from] std::io::Error),
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

impl CliError {
    /// The kind of the error; none for faults of this program or machine.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Client(error) | Self::Publish(PublishError::Client(error)) => error.kind(),
            Self::Resolve(error) => Some(error.kind()),
            Self::Server(_)
            | Self::Usage { .. }
            | Self::UnknownServer { .. }
            | Self::Counter(_)
            | Self::Prompt(PromptError::NeedsYes { .. } | PromptError::NeedsAnswer { .. }) => {
                Some(ErrorKind::Malformed)
            }
            Self::Exists { .. } | Self::Pack(PackError::Exists { .. }) | Self::Publish(PublishError::Taken { .. }) => {
                Some(ErrorKind::Conflict)
            }
            Self::Pack(_) | Self::Sign(_) | Self::Publish(_) | Self::Key { .. } => Some(ErrorKind::Unprocessable),
            _ => None,
        }
    }

    /// 0 is success, 2 wrong usage, 3 not found, 4 not allowed, 5 conflict, 6 refused, 7 unreachable, 8 a rollout that
    /// did not complete, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotCompleted { .. } => 8,
            _ => self.kind().map_or(1, exit_code_of),
        }
    }

    /// The whole text for standard error: what happened, and what to do next.
    pub fn report(&self) -> String {
        let mut text = format!("error: {self}");
        if let Some(cause) = root_cause(self).filter(|cause| !text.contains(cause)) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        if let Some(next) = self.next_step() {
            text.push_str("\n  next: ");
            text.push_str(&next);
        }
        text
    }

    fn next_step(&self) -> Option<String> {
        let text = match self {
            Self::Prompt(PromptError::NeedsYes { .. }) => "pass --yes",
            Self::Prompt(PromptError::NeedsAnswer { .. }) => "pass --username and --password-stdin",
            Self::Profile(ProfileError::Exposed { path }) => return Some(format!("chmod 600 {}", path.display())),
            Self::Profile(ProfileError::Malformed { path, .. }) => {
                return Some(format!("mend or remove {}, then run `drover login`", path.display()));
            }
            Self::Profile(ProfileError::Format { .. }) => "update this program",
            Self::Profile(ProfileError::NoHome) => "set HOME",
            Self::Resolve(error) => error.next_step(),
            Self::Pack(PackError::Exists { .. }) => "choose another folder with --out, or remove it",
            Self::Pack(PackError::Inside { .. }) => "choose another folder with --out",
            Self::Pack(PackError::Special { .. }) => "replace it by the file it stands for, or leave it out",
            Self::Pack(PackError::Changed { .. }) => "pack again when nothing writes there any more",
            Self::Sign(ReleaseSignError::Release(_)) | Self::Publish(PublishError::Release(_)) => {
                "`drover firmware pack`, then `drover firmware sign`"
            }
            Self::Publish(PublishError::Signature { .. }) => {
                "sign with a key of `drover key list`, or add yours with `drover key add`"
            }
            Self::Publish(PublishError::Taken { .. }) => "give the release a version of its own and sign it again",
            Self::Key { .. } => "`drover key generate` makes a key that fits",
            Self::Exists { .. } => "choose another name, or remove it",
            Self::NotCompleted { status: RolloutState::Paused | RolloutState::Active, .. } => "`drover rollout show`",
            Self::NotCompleted { .. } => "`drover rollout failures` says which devices failed and why",
            Self::Client(ClientError::Body(_)) => {
                "make sure that this is a Drover server, and no older than this program"
            }
            Self::UnknownServer { server, pin } => {
                return Some(format!(
                    "compare the key with what the server printed at its start, then\n  \
                     `drover login --server {server} --pin {pin}`"
                ));
            }
            Self::Client(ClientError::Unreachable { source, .. }) if is_untrusted(source) => {
                "when the server has a new certificate of its own: `drover login --pin PIN` with what it prints at its \
                 start; otherwise something else answers in its place: tell it nothing"
            }
            Self::Client(error) | Self::Publish(PublishError::Client(error)) => return next_of_kind(error.kind()?),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// The one mapping from kinds to exit codes.
const fn exit_code_of(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Malformed => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => 4,
        ErrorKind::Conflict => 5,
        ErrorKind::Unprocessable | ErrorKind::TooLarge | ErrorKind::InsufficientStorage => 6,
        ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::RateLimited => 7,
        ErrorKind::Internal => 1,
    }
}

fn next_of_kind(kind: ErrorKind) -> Option<String> {
    let text = match kind {
        ErrorKind::Unauthenticated => "`drover login`, or pass --token-file",
        ErrorKind::Forbidden => "`drover whoami` says who you are; ask for the right, or log in as somebody else",
        ErrorKind::NotFound => "check the name: the noun's `list` command shows what there is",
        ErrorKind::Conflict => "look at the current state with the noun's `show` command",
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            "check that `drover serve` runs there, or name another server with --server"
        }
        ErrorKind::RateLimited => "wait a minute and try again",
        ErrorKind::InsufficientStorage => "free space on the server",
        ErrorKind::Internal => "look for the request id in the server's log",
        ErrorKind::Malformed | ErrorKind::Unprocessable | ErrorKind::TooLarge => return None,
    };
    Some(text.to_owned())
}

/// What started it, in its own words.
fn root_cause(error: &dyn std::error::Error) -> Option<String> {
    let mut deepest = error.source()?;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    Some(deepest.to_string())
}

#[cfg(test)]
mod tests;
