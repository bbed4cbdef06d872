//! Names of components.

/// The name breaks the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid component name {value:?}: expected 1 to 64 characters a-z, 0-9, '-' or '_', starting with a letter")]
pub struct InvalidName {
    /// The name that was given.
    pub value: String,
}

/// The part of a device that has a version of its own. It becomes a folder name on devices, hence the
/// narrow grammar: `[a-z][a-z0-9_-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(value_type = String, example = "main"))]
pub struct ComponentName(String);

impl ComponentName {
    /// The component of a device that has only one.
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ComponentName {
    fn default() -> Self {
        Self::main()
    }
}

impl std::str::FromStr for ComponentName {
    type Err = InvalidName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tail_is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let head_is_fine = text.starts_with(|c: char| c.is_ascii_lowercase());
        if head_is_fine && text.len() <= 64 && text.chars().all(tail_is_fine) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName { value: text.to_owned() })
    }
}

impl TryFrom<String> for ComponentName {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ComponentName> for String {
    fn from(name: ComponentName) -> Self {
        name.0
    }
}

impl std::fmt::Display for ComponentName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

crate::text_enum::sql_as_text!(ComponentName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_are_safe_folders() {
        for good in ["main", "ecu-1", "ai_model"] {
            assert!(good.parse::<ComponentName>().is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "Main", "1st", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<ComponentName>().is_err(), "{bad}");
        }
    }
}
