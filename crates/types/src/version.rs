//! Versions of firmware: semantic versioning, with a binary key that sorts in SQL.

use std::cmp::Ordering;

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version {value:?}: expected semantic versioning such as 1.4.0 or 2.0.0-rc.1")]
pub struct InvalidVersion {
    /// The text that was given.
    pub value: String,
}

/// A semantic version (semver.org 2.0.0), at most 128 characters. A leading `v` is accepted and dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(value_type = String, example = "1.4.0"))]
pub struct Version(semver::Version);

impl Version {
    /// From its three numbers.
    pub const fn new(major: u64, minor: u64, patch: u64) -> Self {
        Self(semver::Version::new(major, minor, patch))
    }

    /// Bytes whose order is the precedence of semantic versioning (§11; build metadata is left out),
    /// for comparisons in SQL.
    pub fn sort_key(&self) -> Vec<u8> {
        let version = &self.0;
        let mut key = Vec::with_capacity(32);
        for number in [version.major, version.minor, version.patch] {
            key.extend_from_slice(&number.to_be_bytes());
        }
        if version.pre.is_empty() {
            // A release comes after all of its pre-releases.
            key.push(0xFF);
            return key;
        }
        for identifier in version.pre.split('.') {
            if identifier.bytes().all(|b| b.is_ascii_digit()) {
                // Numbers sort by length and then by digit: a pre-release number has no upper bound.
                key.push(1);
                key.push(u8::try_from(identifier.len()).unwrap_or(u8::MAX));
            } else {
                key.push(2);
            }
            key.extend_from_slice(identifier.as_bytes());
            key.push(0);
        }
        key.push(0);
        key
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl std::str::FromStr for Version {
    type Err = InvalidVersion;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVersion { value: text.chars().take(140).collect() };
        if text.len() > 128 {
            return Err(invalid());
        }
        let bare = text.strip_prefix('v').unwrap_or(text);
        semver::Version::parse(bare).map(Self).map_err(|_| invalid())
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0.to_string())
    }
}

crate::text_enum::sql_as_text!(Version);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_version() -> impl Strategy<Value = Version> {
        "[0-9]{1,2}\\.[0-9]\\.[0-9]{1,3}(-(0|[1-9][0-9]{0,2}|[a-c]{1,3}|a-[0-9])(\\.(0|[1-9][0-9]?|[a-c]{1,2})){0,2})?"
            .prop_filter_map("leading zeros are no versions", |text| text.parse().ok())
    }

    proptest! {
        #[test]
        fn the_sort_key_has_the_order_of_precedence(a in any_version(), b in any_version()) {
            prop_assert_eq!(a.sort_key().cmp(&b.sort_key()), a.0.cmp_precedence(&b.0), "{} {}", a, b);
        }
    }

    #[test]
    fn the_example_order_of_semver_org() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        let keys: Vec<_> = order.iter().map(|v| v.parse::<Version>().expect("a version").sort_key()).collect();
        assert!(keys.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_leading_v_is_dropped() {
        assert_eq!("v1.2.3".parse::<Version>().expect("a version").to_string(), "1.2.3");
        assert!("1.2".parse::<Version>().is_err());
    }
}
