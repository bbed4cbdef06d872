//! Checks of fields that several requests share.

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
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = value.starts_with(|c: char| c.is_ascii_lowercase()) && value.chars().all(fine) && value.len() <= 63;
    if is_name && !RESERVED.contains(&value) {
        return Ok(());
    }
    let shown: String = value.chars().filter(|c| !c.is_control()).take(70).collect();
    let what = "a name has 1 to 63 characters a-z, 0-9 or '_', begins with a letter and is no word of the language";
    Err(Error::field(field, format!("{shown:?}: {what}")))
}

/// Words that CEL keeps for itself.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// A tag: 1 to 63 characters, none of which has a meaning in addresses.
pub(crate) fn tag(field: &str, value: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | ':' | '-');
    let begins = value.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && value.len() <= 63 && value.chars().all(fine) {
        return Ok(());
    }
    let what = "must have 1 to 63 characters a-z, 0-9, '.', '_', ':' or '-' and begin with a letter or a digit";
    Err(Error::field(field, what))
}
