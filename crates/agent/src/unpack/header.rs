//! Names of entries, with the two extensions that real archives use for long ones.

use std::io::Read;

use tar::{Entry, EntryType};

use super::UnpackError;
use super::path::MAX_PATH_BYTES;

/// No extension header is longer, in bytes.
const MAX_EXTENSION_BYTES: u64 = 64 * 1024;

/// The long name that the next entry has, if any.
#[derive(Default)]
pub(super) struct Names {
    long_name: Option<Vec<u8>>,
}

impl Names {
    /// Takes in an entry that only says something about the next one; false when it is an entry of its own.
    pub(super) fn take_extension<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<bool, UnpackError> {
        let kind = entry.header().entry_type();
        if !matches!(kind, EntryType::GNULongName | EntryType::XHeader | EntryType::XGlobalHeader) {
            return Ok(false);
        }
        if entry.size() > MAX_EXTENSION_BYTES {
            return Err(UnpackError::Header { reason: "it is longer than 64 KiB" });
        }
        let mut bytes = Vec::new();
        entry.take(MAX_EXTENSION_BYTES).read_to_end(&mut bytes).map_err(UnpackError::read)?;
        if kind == EntryType::GNULongName {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            bytes.truncate(end);
            self.set(bytes)?;
            return Ok(true);
        }
        for (key, value) in pax_records(&bytes)? {
            match key {
                "path" if kind == EntryType::XHeader => self.set(value.to_vec())?,
                // These change how the archive is read; what packs firmware has no need of them.
                "path" | "size" | "linkpath" => {
                    return Err(UnpackError::Header { reason: "it changes a size, a link or all paths" });
                }
                key if key.starts_with("GNU.sparse") => {
                    return Err(UnpackError::Header { reason: "sparse files are not supported" });
                }
                _ => {}
            }
        }
        Ok(true)
    }

    fn set(&mut self, name: Vec<u8>) -> Result<(), UnpackError> {
        if name.len() > MAX_PATH_BYTES {
            return Err(UnpackError::Header { reason: "a path has more than 1024 bytes" });
        }
        match self.long_name.replace(name) {
            None => Ok(()),
            Some(_) => Err(UnpackError::Header { reason: "two long names for one entry" }),
        }
    }

    /// The name of an entry of its own.
    pub(super) fn name_of<R: Read>(&mut self, entry: &Entry<'_, R>) -> Result<String, UnpackError> {
        let bytes = self.long_name.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        String::from_utf8(bytes).map_err(|error| UnpackError::Path {
            path: String::from_utf8_lossy(error.as_bytes()).chars().take(200).collect(),
            reason: "it is not UTF-8",
        })
    }
}

/// The records of a POSIX extension header: `<length> <key>=<value>\n`, the length counting all of it.
fn pax_records(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, UnpackError> {
    let malformed = || UnpackError::Header { reason: "an extension record is malformed" };
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let space = rest.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let digits = std::str::from_utf8(&rest[..space]).map_err(|_| malformed())?;
        let length: usize = digits.parse().map_err(|_| malformed())?;
        if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
            return Err(malformed());
        }
        let record = &rest[space + 1..length - 1];
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(malformed)?;
        let key = std::str::from_utf8(&record[..equals]).map_err(|_| malformed())?;
        records.push((key, &record[equals + 1..]));
        rest = &rest[length..];
    }
    Ok(records)
}

/// What a person calls an entry that is refused.
pub(super) fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Link => "hard link",
        EntryType::Symlink => "symbolic link",
        EntryType::Char => "character device",
        EntryType::Block => "block device",
        EntryType::Fifo => "named pipe",
        EntryType::GNUSparse => "sparse file",
        _ => "special entry",
    }
}
