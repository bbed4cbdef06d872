//! Metadata such as `region=eu`.

use super::Unreadable;

/// One key and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MetadataArg {
    /// The key.
    pub(crate) key: String,
    /// Its text.
    pub(crate) text: String,
}

impl std::str::FromStr for MetadataArg {
    type Err = Unreadable;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || Unreadable::new("KEY=TEXT such as region=eu", text);
        let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(unreadable)?;
        Ok(Self { key: key.to_owned(), text: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_equals_sign_separates() {
        let metadata: MetadataArg = "a=b=c".parse().expect("metadata");
        assert_eq!((metadata.key.as_str(), metadata.text.as_str()), ("a", "b=c"));
        assert!("=b".parse::<MetadataArg>().is_err());
        assert!("a".parse::<MetadataArg>().is_err());
    }
}
