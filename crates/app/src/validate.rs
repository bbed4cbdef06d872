//! Checks of fields that several requests share.

use drover_types::names;

use crate::{Error, Result};

/// 1 to `max` characters, none of them a control character.
pub(crate) fn text(field: &str, value: &str, max: usize) -> Result<()> {
    if value.trim().is_empty() {
        return Err(Error::field(field, "must not be empty"));
    }
    text_or_empty(field, value, max)
}

/// At most `max` characters, none of them a control character but line breaks and tabs.
pub(crate) fn text_or_empty(field: &str, value: &str, max: usize) -> Result<()> {
    if value.chars().count() > max {
        return Err(Error::field(field, format!("must have at most {max} characters")));
    }
    if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Error::field(field, "must not contain control characters"));
    }
    Ok(())
}

/// A device type: 1 to 64 characters `a-z0-9._-`.
pub(crate) fn device_type(field: &str, value: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&value.len()) && value.chars().all(fine) {
        return Ok(());
    }
    Err(Error::field(field, "must have 1 to 64 characters a-z, 0-9, '.', '_' or '-'"))
}

/// A hardware id: 1 to 128 printable ASCII characters without blanks.
pub(crate) fn hardware_id(field: &str, value: &str) -> Result<()> {
    if (1..=128).contains(&value.len()) && value.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Error::field(field, "must have 1 to 128 printable characters without blanks"))
}

/// At most `max` items.
pub(crate) fn at_most<T>(field: &str, items: &[T], max: usize) -> Result<()> {
    if items.len() > max {
        return Err(Error::field(field, format!("must have at most {max} items, has {}", items.len())));
    }
    Ok(())
}

/// The name of an attribute: as conditions write it behind `device.attr.`.
pub(crate) fn attribute_name(field: &str, value: &str) -> Result<()> {
    if names::is_attribute(value) {
        return Ok(());
    }
    let shown: String = value.chars().filter(|c| !c.is_control()).take(70).collect();
    Err(Error::field(field, format!("{shown:?}: a name has {}", names::ATTRIBUTE_RULE)))
}

/// A tag.
pub(crate) fn tag(field: &str, value: &str) -> Result<()> {
    if names::is_tag(value) {
        return Ok(());
    }
    Err(Error::field(field, format!("must have {}", names::TAG_RULE)))
}
