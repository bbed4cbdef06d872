//! What a browser saves an answer as.

use crate::PresignError;

const MAX_CHARS: usize = 128;

/// The value of a `Content-Disposition` header that saves the answer as `file_name`, which must be one that
/// [`crate::BlobStore::presign`] accepts: its grammar has nothing that needs quoting.
pub fn attachment(file_name: &str) -> String {
    format!("attachment; filename=\"{file_name}\"")
}

/// Refuses what could break out of a header or a folder.
pub(crate) fn check(file_name: &str) -> Result<(), PresignError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '+' | '-');
    let fits = (1..=MAX_CHARS).contains(&file_name.len());
    if fits && !file_name.starts_with('.') && file_name.chars().all(allowed) {
        return Ok(());
    }
    Err(PresignError::FileName { value: file_name.chars().take(140).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names() {
        for good in ["a", "hello.bin", "app-v1.2.0+build_7.tar.gz"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "a\"b", "a;b", "a\r\nb", "naïve", "a b", &"x".repeat(129)] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
