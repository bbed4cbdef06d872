//! What can go wrong between this program and the server.

use std::time::Duration;

use drover_api::Problem;
use drover_types::{ErrorKind, InvalidDigest, Sha256Digest};

use super::server_url::InvalidServerUrl;

/// Why a call to the server did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The network client could not be made.
    #[error("cannot set up the network client")]
    Setup(#[source] reqwest::Error),
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
    /// No answer came.
    #[error("cannot reach {origin}")]
    Unreachable {
        /// Scheme, host and port.
        origin: String,
        /// What happened.
        #[source]
        source: reqwest::Error,
    },
    /// An upload or a download stood still.
    #[error("the transfer stood still for {} s", after.as_secs())]
    Stalled {
        /// How long nothing moved.
        after: Duration,
    },
    /// The server refused, and said why.
    #[error("{}", problem_text(.0))]
    Problem(Box<Problem>),
    /// An answer that is none of the API's.
    #[error("unexpected answer {status} from {origin}: {excerpt}")]
    Unexpected {
        /// Scheme, host and port.
        origin: String,
        /// The HTTP status.
        status: u16,
        /// The start of the body.
        excerpt: String,
    },
    /// The answer does not have the expected form.
    #[error("cannot read the server's answer")]
    Body(#[source] serde_json::Error),
    /// The answer is larger than any that is expected.
    #[error("the server's answer is larger than {limit_bytes} bytes")]
    BodyTooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The request could not be written as JSON.
    #[error("cannot write the request")]
    Request(#[source] serde_json::Error),
    /// The server's list does not end.
    #[error("the server's list goes in circles: the next page starts where this one did")]
    EndlessList,
    /// The server pointed to an address that this program does not follow.
    #[error("the server points to an address that is not followed")]
    Redirect(#[source] InvalidServerUrl),
    /// The address that the server pointed to is missing or malformed.
    #[error("the server answered with a redirect that leads nowhere")]
    RedirectWithoutTarget,
    /// A local file could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: String,
        /// What happened.
        #[source]
        source: std::io::Error,
    },
    /// The bytes that arrived are not the ones that were asked for.
    #[error(
        "the download is damaged: expected {expected_bytes} bytes with SHA-256 {expected}, got {got_bytes} with {got}"
    )]
    Damaged {
        /// The size that was expected.
        expected_bytes: u64,
        /// The digest that was expected.
        expected: Sha256Digest,
        /// The size that came.
        got_bytes: u64,
        /// The digest that came.
        got: Sha256Digest,
    },
    /// A digest in the answer is malformed.
    #[error(transparent)]
    Digest(#[from] InvalidDigest),
}

impl ClientError {
    /// The kind, for exit codes and for callers that react; none for faults of this side.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Problem(problem) => Some(problem.kind),
            Self::Unexpected { status, .. } => Some(kind_of_status(*status)),
            Self::Unreachable { .. } | Self::Stalled { .. } => Some(ErrorKind::Unavailable),
            Self::Damaged { .. } => Some(ErrorKind::Unprocessable),
            _ => None,
        }
    }
}

/// For answers without problem details, for instance from a proxy on the way.
const fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        403 => ErrorKind::Forbidden,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        408 | 504 => ErrorKind::Timeout,
        413 => ErrorKind::TooLarge,
        422 => ErrorKind::Unprocessable,
        429 => ErrorKind::RateLimited,
        502 | 503 => ErrorKind::Unavailable,
        507 => ErrorKind::InsufficientStorage,
        400..=499 => ErrorKind::Malformed,
        _ => ErrorKind::Internal,
    }
}

fn problem_text(problem: &Problem) -> String {
    let mut text = match &problem.detail {
        Some(detail) if detail.to_lowercase().starts_with(&problem.title.to_lowercase()) => detail.clone(),
        Some(detail) => format!("{}: {detail}", problem.title),
        None => problem.title.clone(),
    };
    for field_error in &problem.errors {
        let line = format!("{}: {}", field_error.field, field_error.message);
        // The server's summary of few wrong fields is what is wrong with them.
        if !text.contains(&line) {
            text.push_str("\n  ");
            text.push_str(&line);
        }
    }
    if let Some(request_id) = problem.request_id.as_deref().filter(|_| problem.kind == ErrorKind::Internal) {
        text.push_str("\n  request id: ");
        text.push_str(request_id);
    }
    text
}
