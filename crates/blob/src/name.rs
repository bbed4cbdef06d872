//! Names that people give to objects.

const MAX_CHARS: usize = 512;
const MAX_SEGMENT_CHARS: usize = 128;

/// What is wrong with a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidObjectName {
    /// Nothing.
    #[error("the object key is empty: expected a name such as firmware/v1/hello.bin")]
    Empty,
    /// More than 512 bytes.
    #[error("the object key is {length_bytes} bytes long: expected at most 512")]
    TooLong {
        /// Its length.
        length_bytes: usize,
    },
    /// `//`, or a `/` at either end.
    #[error("the object key has an empty segment: single '/' between segments, none at the start or the end")]
    EmptySegment,
    /// A segment of more than 128 characters.
    #[error("segment {position} of the object key is longer than 128 characters")]
    SegmentTooLong {
        /// Which one, from 1.
        position: usize,
    },
    /// A segment that starts with `.`, `_` or `-`; this also keeps `.` and `..` out.
    #[error("segment {position} of the object key starts with {found:?}: expected a letter or digit")]
    SegmentStart {
        /// Which one, from 1.
        position: usize,
        /// Its first character.
        found: char,
    },
    /// Two dots in a row.
    #[error("segment {position} of the object key has '..': it is refused everywhere, also inside names")]
    DotDot {
        /// Which one, from 1.
        position: usize,
    },
    /// A character outside the grammar.
    #[error("segment {position} of the object key has {found:?}: expected A-Z, a-z, 0-9, '.', '_' or '-'; no URL")]
    Character {
        /// Which one, from 1.
        position: usize,
        /// The character.
        found: char,
    },
}

/// A name that users give to an object, for instance `firmware/v1/hello.bin`: 1 to 512 characters, segments
/// `[A-Za-z0-9][A-Za-z0-9._-]{0,127}` joined by `/`, no `..`. It names an object in the database; it never
/// becomes part of a path or a URL. Narrow all the same, so that nobody downstream can be tricked by it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName(String);

impl ObjectName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last segment: what a browser should save it as.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl std::str::FromStr for ObjectName {
    type Err = InvalidObjectName;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(InvalidObjectName::Empty);
        }
        if text.len() > MAX_CHARS {
            return Err(InvalidObjectName::TooLong { length_bytes: text.len() });
        }
        text.split('/').enumerate().try_for_each(|(index, segment)| check_segment(index + 1, segment))?;
        Ok(Self(text.to_owned()))
    }
}

fn check_segment(position: usize, segment: &str) -> Result<(), InvalidObjectName> {
    let allowed = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let Some(first) = segment.chars().next() else {
        return Err(InvalidObjectName::EmptySegment);
    };
    if let Some(found) = segment.chars().find(|c| !allowed(c)) {
        return Err(InvalidObjectName::Character { position, found });
    }
    if !first.is_ascii_alphanumeric() {
        return Err(InvalidObjectName::SegmentStart { position, found: first });
    }
    if segment.len() > MAX_SEGMENT_CHARS {
        return Err(InvalidObjectName::SegmentTooLong { position });
    }
    if segment.contains("..") {
        return Err(InvalidObjectName::DotDot { position });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_of_the_grammar_are_kept_as_they_are(
            text in "[A-Za-z0-9][A-Za-z0-9_-]{0,20}(\\.[a-z]{1,4})?(/[A-Za-z0-9][A-Za-z0-9_-]{0,20}){0,5}"
        ) {
            prop_assert_eq!(text.parse::<ObjectName>().map(|name| name.to_string()), Ok(text));
        }

        #[test]
        fn whatever_is_accepted_is_harmless(text in "\\PC{0,40}|[a./%\\\\:?]{1,12}") {
            if let Ok(name) = text.parse::<ObjectName>() {
                let harmless = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
                prop_assert!(name.as_str().chars().all(harmless));
                prop_assert!(!name.as_str().contains("..") && !name.as_str().contains("//"));
                prop_assert!(!name.as_str().starts_with('/') && !name.as_str().ends_with('/'));
                prop_assert!(!name.file_name().is_empty());
            }
        }
    }

    #[test]
    fn the_example_of_the_presign_api() {
        let name: ObjectName = "firmware/v1/hello.bin".parse().expect("a name");
        assert_eq!(name.file_name(), "hello.bin");
    }

    #[test]
    fn each_trick_is_refused_for_what_it_is() {
        use InvalidObjectName as E;
        let long_segment = "a".repeat(129);
        let cases: [(&str, E); 19] = [
            ("", E::Empty),
            ("../secret", E::SegmentStart { position: 1, found: '.' }),
            ("a/../b", E::SegmentStart { position: 2, found: '.' }),
            ("a/./b", E::SegmentStart { position: 2, found: '.' }),
            ("a/b..c", E::DotDot { position: 2 }),
            ("%2e%2e/b", E::Character { position: 1, found: '%' }),
            ("a//b", E::EmptySegment),
            ("/etc/passwd", E::EmptySegment),
            ("a/", E::EmptySegment),
            ("a\\b", E::Character { position: 1, found: '\\' }),
            ("a/\u{2024}\u{2024}/b", E::Character { position: 2, found: '\u{2024}' }),
            ("\u{ff0e}", E::Character { position: 1, found: '\u{ff0e}' }),
            ("https://evil.example/x", E::Character { position: 1, found: ':' }),
            ("a?X-Amz-Expires=1", E::Character { position: 1, found: '?' }),
            ("a#b", E::Character { position: 1, found: '#' }),
            ("a\r\nHost: x", E::Character { position: 1, found: '\r' }),
            ("a\0b", E::Character { position: 1, found: '\0' }),
            ("a b", E::Character { position: 1, found: ' ' }),
            (&long_segment, E::SegmentTooLong { position: 1 }),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<ObjectName>(), Err(expected), "{text:?}");
        }
        assert_eq!("a/".repeat(512).parse::<ObjectName>(), Err(E::TooLong { length_bytes: 1024 }));
        assert!(format!("a{}", "/b".repeat(255)).parse::<ObjectName>().is_ok());
        assert_eq!("a".repeat(1025).parse::<ObjectName>(), Err(E::TooLong { length_bytes: 1025 }));
    }
}
