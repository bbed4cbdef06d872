//! Files with keys: nobody else may read them.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::finding::Finding;

const NAME: &str = "secrets";
const URL_KEY: &str = "blob-url.key";
const URL_KEY_BYTES: u64 = 32;

/// Where they lie in the data folder.
const FOLDERS: [&str; 2] = ["secrets", "tls"];
/// A certificate is for everybody.
const PUBLIC: &str = "ca.pem";

/// A file with a key.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    path: PathBuf,
    mode: u32,
    size_bytes: u64,
}

/// The files of secrets, as far as they were made.
pub(crate) fn look(data: &Path) -> io::Result<Vec<Facts>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let entries = match std::fs::read_dir(data.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let found = std::fs::metadata(&path)?;
            if found.is_file() {
                files.push(Facts { path, mode: found.mode() & 0o777, size_bytes: found.len() });
            }
        }
    }
    Ok(files)
}

/// Says which of them are exposed or broken.
pub(crate) fn judge(files: &io::Result<Vec<Facts>>) -> Vec<Finding> {
    let files = match files {
        Ok(files) => files,
        Err(error) => {
            let next = "run this as the user that the server runs as";
            return vec![Finding::fail(NAME, format!("they cannot be read: {error}"), next)];
        }
    };
    let mut findings = Vec::new();
    for Facts { path, mode, size_bytes } in files {
        let shown = path.display();
        if mode & 0o077 != 0 && !path.ends_with(PUBLIC) {
            let seen = format!("others can read {shown}: its mode is {mode:04o}");
            findings.push(Finding::fail(NAME, seen, format!("chmod 600 {shown}")));
        }
        if path.ends_with(URL_KEY) && *size_bytes != URL_KEY_BYTES {
            let seen =
                format!("{shown} has {size_bytes} bytes, not {URL_KEY_BYTES}: the server does not start with it");
            let next =
                format!("restore it from a backup, or remove it: addresses that are out then stop working: rm {shown}");
            findings.push(Finding::fail(NAME, seen, next));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok(NAME, format!("{} files, for their owner only", files.len())));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    #[test]
    fn exposed_and_broken_files_are_found() {
        let file = |name: &str, mode, size_bytes| Facts { path: Path::new("/d/secrets").join(name), mode, size_bytes };
        let levels = |files: Vec<Facts>| judge(&Ok(files)).iter().map(|finding| finding.level).collect::<Vec<_>>();
        assert_eq!(levels(vec![file(URL_KEY, 0o600, 32), file("other", 0o400, 9)]), [Level::Ok]);
        assert_eq!(levels(vec![file(URL_KEY, 0o640, 32)]), [Level::Fail]);
        assert_eq!(levels(vec![file(URL_KEY, 0o600, 31)]), [Level::Fail]);
        assert_eq!(judge(&Err(io::ErrorKind::PermissionDenied.into()))[0].level, Level::Fail);
    }
}
