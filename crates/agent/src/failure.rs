//! Failures as the server is told.

use drover_protocol::Failure;
use drover_types::FailureClass;

/// No message to the server is longer, in characters.
const MAX_MESSAGE_CHARS: usize = 1000;

/// A failure with a message that keeps to the protocol's limits.
pub(crate) fn failure(class: FailureClass, code: &str, message: &str) -> Failure {
    let printable = message.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c });
    Failure { class, code: code.to_owned(), message: printable.take(MAX_MESSAGE_CHARS).collect() }
}

/// An error and what caused it, on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
