//! The files of the data folder that cannot be made anew: keys and certificates.

use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::BackupError;
use super::manifest::FILES;

/// Folders in the data folder whose files belong to the installation. The database and the objects are saved otherwise.
const FOLDERS: [&str; 2] = ["secrets", "tls"];
/// Keys and certificates are a few KB.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
const DEPTH_MAX: usize = 4;

/// A file to save.
pub(super) struct SavedFile {
    pub(super) entry_name: String,
    pub(super) bytes: Vec<u8>,
}

/// All files to save, in the order of their names.
pub(super) fn of_installation(data_dir: &Path) -> Result<Vec<SavedFile>, BackupError> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        let path = data_dir.join(folder);
        if path.exists() {
            collect(&path, &format!("{FILES}{folder}"), DEPTH_MAX, &mut files)?;
        }
    }
    files.sort_by(|left, right| left.entry_name.cmp(&right.entry_name));
    Ok(files)
}

fn collect(folder: &Path, name: &str, depth: usize, files: &mut Vec<SavedFile>) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        // Links are followed: a secret may lie elsewhere.
        let facts = std::fs::metadata(&path).map_err(failed(&path))?;
        let Some(own) = path.file_name().and_then(|own| own.to_str()) else {
            return Err(failed(&path)(io::Error::other("its name is no text")));
        };
        // What another process is about to give its name.
        if path.extension().is_some_and(|ending| ending.to_string_lossy().starts_with("tmp-")) {
            continue;
        }
        let name = format!("{name}/{own}");
        if facts.is_dir() && depth > 0 {
            collect(&path, &name, depth - 1, files)?;
        } else if facts.is_file() && facts.len() <= FILE_MAX_BYTES {
            let bytes = std::fs::read(&path).map_err(failed(&path))?;
            files.push(SavedFile { entry_name: name, bytes });
        } else {
            return Err(failed(&path)(io::Error::other("it is no small file, which is all that belongs there")));
        }
    }
    Ok(())
}

/// Where a saved file belongs, below the data folder; none when the name leads elsewhere.
pub(super) fn place(data_dir: &Path, entry_name: &str) -> Option<PathBuf> {
    let below = entry_name.strip_prefix(FILES)?;
    let mut segments = below.split('/');
    let is_known = segments.next().is_some_and(|first| FOLDERS.contains(&first));
    let is_plain = segments.clone().count() > 0 && segments.all(|own| !matches!(own, "" | "." | ".."));
    (is_known && is_plain).then(|| data_dir.join(below))
}

/// Puts a file back, readable by its owner only.
pub(super) fn put_back(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        let data = Path::new("/data");
        assert_eq!(place(data, "data/secrets/blob-url.key"), Some(PathBuf::from("/data/secrets/blob-url.key")));
        for bad in ["data/../etc/x", "data/secrets/../../x", "data/secrets//x", "data/secrets", "data/drover.db", "/x"]
        {
            assert_eq!(place(data, bad), None, "{bad}");
        }
    }
}
