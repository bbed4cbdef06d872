//! Names that people give to what they know about devices. The same rules hold where a name is given and where a condition
//! asks for it: a name that cannot be there would be absent from every device, and "not this one" true for the whole fleet.

/// What a tag looks like, behind "must have" or "has".
pub const TAG_RULE: &str = "1 to 63 characters a-z, 0-9, '.', '_', ':' or '-' and begins with a letter or a digit";

/// What the name of an attribute looks like, behind "has".
pub const ATTRIBUTE_RULE: &str =
    "1 to 63 characters a-z, 0-9 or '_', begins with a letter and is no word of the language";

/// Whether a device can have this tag: nothing in it has a meaning in addresses.
pub fn is_tag(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | ':' | '-');
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.len() <= 63
        && name.chars().all(fine)
}

/// Whether a device can have an attribute of this name: as conditions write it behind `device.attr.`.
pub fn is_attribute(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    begins && name.len() <= 63 && name.chars().all(fine) && !RESERVED.contains(&name)
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
