//! Paths that stay below where they belong.

use super::UnpackError;

/// No path is longer, in bytes.
pub(super) const MAX_PATH_BYTES: usize = 1024;
const MAX_NAME_BYTES: usize = 255;
const MAX_DEPTH: usize = 64;

/// The names of a path, one by one; none for the top folder itself.
pub(super) fn split(path: &str) -> Result<Vec<&str>, UnpackError> {
    let refuse = |reason| Err(UnpackError::Path { path: path.chars().take(200).collect(), reason });
    if path.is_empty() || path.len() > MAX_PATH_BYTES {
        return refuse("it has no or more than 1024 bytes");
    }
    if path.starts_with('/') {
        return refuse("it is absolute");
    }
    if path.contains('\\') || path.chars().any(char::is_control) {
        return refuse("it has a backslash or a control character");
    }
    let mut names = Vec::new();
    for name in path.strip_suffix('/').unwrap_or(path).split('/') {
        match name {
            // `./a` is how tar spells `a` when it packs a folder.
            "." if names.is_empty() => {}
            "" | "." => return refuse("it has an empty name or a dot in it"),
            ".." => return refuse("it leads out of its folder"),
            _ if name.len() > MAX_NAME_BYTES => return refuse("it has a name of more than 255 bytes"),
            _ => names.push(name),
        }
    }
    if names.len() > MAX_DEPTH {
        return refuse("it is more than 64 folders deep");
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_accepted_stays_below(path in "[a./\\\\\u{0}é]{0,12}") {
            if let Ok(names) = split(&path) {
                for name in names {
                    proptest::prop_assert!(!name.is_empty() && name != "." && name != ".." && !name.contains('/'));
                }
            }
        }
    }

    #[test]
    fn the_usual_spellings() {
        assert_eq!(split("./bin/app").expect("fine"), ["bin", "app"]);
        assert_eq!(split("bin/").expect("fine"), ["bin"]);
        assert_eq!(split("./").expect("fine"), [""; 0]);
        for bad in ["../x", "/etc/x", "a/../../x", "C:\\x", "a\0b", "", "a//b", "a/./b", "a/..", &"a/".repeat(80)] {
            assert!(split(bad).is_err(), "{bad:?}");
        }
    }
}
