//! What operators type, as values.

mod attribute;
mod dependency;
mod duration;
mod metadata;
mod share;
mod stage;

pub(crate) use attribute::AttributeArg;
pub(crate) use dependency::DependencyArg;
pub(crate) use duration::HumanDuration;
pub(crate) use metadata::MetadataArg;
pub(crate) use share::Share;
pub(crate) use stage::StageArg;

/// The text cannot be understood. Says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, got {value:?}")]
pub struct Unreadable {
    expected: &'static str,
    value: String,
}

impl Unreadable {
    fn new(expected: &'static str, value: &str) -> Self {
        Self { expected, value: value.chars().take(100).collect() }
    }
}
