//! A tar.gz whose bytes depend on its content only.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use drover_trust::Hasher;
use drover_types::Sha256Digest;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{EntryType, Header};

use super::PackError;
use super::walk::{Entries, Entry};

const BUFFER_BYTES: usize = 256 * 1024;

/// What an archive is, without its bytes.
pub(super) struct Archived {
    pub(super) size_bytes: u64,
    pub(super) sha256: Sha256Digest,
    pub(super) unpacked_bytes: u64,
    pub(super) unpacked_entries: u64,
}

/// Passes bytes on, and hashes and counts them.
pub(super) struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    size_bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), size_bytes: 0 }
    }

    pub(super) fn finish(mut self) -> std::io::Result<(u64, Sha256Digest)> {
        self.inner.flush()?;
        Ok((self.size_bytes, self.hasher.finish()))
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size_bytes += u64::try_from(written).unwrap_or(u64::MAX);
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Sorted names, no times, no owners, modes 0755 and 0644, no name or time in the gzip header.
pub(super) fn write(entries: &Entries, target: &File, target_path: &Path) -> Result<Archived, PackError> {
    let in_target = |source| PackError::Write { path: target_path.to_owned(), source };
    let hashing = HashingWriter::new(BufWriter::with_capacity(BUFFER_BYTES, target));
    let mut builder = tar::Builder::new(GzEncoder::new(hashing, Compression::default()));
    let mut unpacked_bytes = 0_u64;
    for (path, entry) in entries {
        unpacked_bytes += append(&mut builder, path, entry)?;
    }
    let encoder = builder.into_inner().map_err(in_target)?;
    let (size_bytes, sha256) = encoder.finish().and_then(HashingWriter::finish).map_err(in_target)?;
    let unpacked_entries = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    Ok(Archived { size_bytes, sha256, unpacked_bytes, unpacked_entries })
}

/// Gives the number of bytes that unpacking writes.
fn append(builder: &mut tar::Builder<impl Write>, path: &str, entry: &Entry) -> Result<u64, PackError> {
    let in_source = |source| PackError::Read { path: entry.source.clone(), source };
    let mut header = Header::new_gnu();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    let Some(facts) = &entry.file else {
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        builder.append_data(&mut header, format!("{path}/"), std::io::empty()).map_err(in_source)?;
        return Ok(0);
    };
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if facts.is_executable { 0o755 } else { 0o644 });
    header.set_size(facts.size_bytes);
    let file = File::open(&entry.source).map_err(in_source)?;
    let mut exact = Exact { inner: file, left_bytes: facts.size_bytes };
    builder.append_data(&mut header, path, &mut exact).map_err(in_source)?;
    if exact.left_bytes > 0 || exact.inner.read(&mut [0]).map_err(in_source)? > 0 {
        return Err(PackError::Changed { path: entry.source.clone() });
    }
    Ok(facts.size_bytes)
}

/// Never more bytes than the header says, whatever happens to the file meanwhile.
struct Exact {
    inner: File,
    left_bytes: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let want = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.inner.read(&mut buffer[..want])?;
        self.left_bytes -= u64::try_from(got).unwrap_or(0);
        Ok(got)
    }
}
