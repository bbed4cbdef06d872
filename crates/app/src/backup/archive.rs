//! Writing a tar archive while its content arrives. Any `tar` can list and unpack it.

use drover_trust::Hasher;
use drover_types::{Sha256Digest, Timestamp};
use tar::{EntryType, Header};
use tokio::io::{AsyncWrite, AsyncWriteExt as _, BufWriter};

use super::BackupError;
use super::manifest::{Entry, MANIFEST, MANIFEST_DIGEST, MANIFEST_MAX_BYTES, Manifest};

/// Tar's unit: heads are one long, contents are filled up to it.
pub(super) const BLOCK_BYTES: usize = 512;
const BUFFER_BYTES: usize = 1024 * 1024;

pub(super) struct ArchiveWriter<W> {
    out: BufWriter<W>,
    modified_s: u64,
    entries: Vec<Entry>,
}

impl<W: AsyncWrite + Unpin + Send> ArchiveWriter<W> {
    pub(super) fn new(out: W, now: Timestamp) -> Self {
        let modified_s = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
        Self { out: BufWriter::with_capacity(BUFFER_BYTES, out), modified_s, entries: Vec::new() }
    }

    /// What was written so far.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry at once.
    pub(super) async fn entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mut entry = self.begin(name, bytes.len() as u64).await?;
        entry.write(bytes).await?;
        entry.end().await.map(drop)
    }

    /// Begins an entry of so many bytes.
    pub(super) async fn begin(&mut self, name: &str, size_bytes: u64) -> Result<EntryWriter<'_, W>, BackupError> {
        let head = head(name, size_bytes, self.modified_s).map_err(BackupError::Write)?;
        self.out.write_all(head.as_bytes()).await.map_err(BackupError::Write)?;
        Ok(EntryWriter {
            name: name.to_owned(),
            size_bytes,
            missing_bytes: size_bytes,
            is_too_long: false,
            hasher: Hasher::new(),
            archive: self,
        })
    }

    /// Writes the manifest and the end.
    pub(super) async fn finish(mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let text = serde_json::to_vec_pretty(manifest).map_err(|error| BackupError::Write(error.into()))?;
        let size_bytes = text.len() as u64;
        if size_bytes > MANIFEST_MAX_BYTES {
            return Err(BackupError::TooLong { size_bytes, max_bytes: MANIFEST_MAX_BYTES });
        }
        let digest = drover_trust::sha256(&text).to_string();
        self.entry(MANIFEST, &text).await?;
        self.entry(MANIFEST_DIGEST, digest.as_bytes()).await?;
        let end = [0; 2 * BLOCK_BYTES];
        self.out.write_all(&end).await.map_err(BackupError::Write)?;
        self.out.flush().await.map_err(BackupError::Write)
    }
}

/// Readable by the owner only, should somebody unpack it: there are secrets in it.
fn head(name: &str, size_bytes: u64, modified_s: u64) -> std::io::Result<Header> {
    let mut head = Header::new_ustar();
    head.set_path(name)?;
    head.set_entry_type(EntryType::Regular);
    head.set_mode(0o600);
    head.set_size(size_bytes);
    head.set_mtime(modified_s);
    head.set_cksum();
    Ok(head)
}

/// An entry that is being written.
pub(super) struct EntryWriter<'a, W> {
    name: String,
    size_bytes: u64,
    missing_bytes: u64,
    is_too_long: bool,
    hasher: Hasher,
    archive: &'a mut ArchiveWriter<W>,
}

impl<W: AsyncWrite + Unpin + Send> EntryWriter<'_, W> {
    /// Writes more; false when that is more than was announced, and nothing of it is written.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<bool, BackupError> {
        let Some(missing_bytes) = self.missing_bytes.checked_sub(bytes.len() as u64) else {
            self.is_too_long = true;
            return Ok(false);
        };
        self.archive.out.write_all(bytes).await.map_err(BackupError::Write)?;
        self.hasher.update(bytes);
        self.missing_bytes = missing_bytes;
        Ok(true)
    }

    /// What was written so far.
    pub(super) const fn written_bytes(&self) -> u64 {
        self.size_bytes - self.missing_bytes
    }

    /// Whether what was announced is there, and nothing more.
    pub(super) const fn is_full(&self) -> bool {
        self.missing_bytes == 0 && !self.is_too_long
    }

    /// Fills up what is missing with zeros, so that the archive stays readable, and gives the digest of the whole.
    pub(super) async fn end(mut self) -> Result<Sha256Digest, BackupError> {
        let zeros = [0; BLOCK_BYTES];
        let padding_bytes = padding_bytes(self.size_bytes);
        while self.missing_bytes > 0 {
            let piece = usize::try_from(self.missing_bytes).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            self.write(&zeros[..piece]).await?;
        }
        let padding = usize::try_from(padding_bytes).unwrap_or(0);
        self.archive.out.write_all(&zeros[..padding]).await.map_err(BackupError::Write)?;
        let sha256 = self.hasher.finish();
        self.archive.entries.push(Entry { name: self.name, size_bytes: self.size_bytes, sha256 });
        Ok(sha256)
    }
}

/// Bytes between the end of a content and the next block.
pub(super) const fn padding_bytes(size_bytes: u64) -> u64 {
    size_bytes.next_multiple_of(BLOCK_BYTES as u64) - size_bytes
}
