//! A backup that was read from end to end and found whole.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use drover_blob::ByteStream;
use drover_trust::Hasher;
use drover_types::Sha256Digest;
use futures::StreamExt as _;
use tar::Header;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, BufReader};
use tokio_util::io::ReaderStream;

use super::VerifyError;
use super::archive::{BLOCK_BYTES, padding_bytes};
use super::manifest::{Entry, FORMAT, MANIFEST, MANIFEST_DIGEST, MANIFEST_MAX_BYTES, Manifest};

const READ_BYTES: usize = 256 * 1024;

/// Where an entry lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    offset: u64,
    size_bytes: u64,
    sha256: Sha256Digest,
}

/// A backup whose every byte is what was written.
#[derive(Debug)]
pub struct Backup {
    path: PathBuf,
    manifest: Manifest,
    places: BTreeMap<String, Place>,
}

/// The least of the manifest that every format has.
#[derive(serde::Deserialize)]
struct Format {
    format: u32,
    drover: String,
}

impl Backup {
    /// Reads the whole file and checks everything in it.
    pub async fn open(path: &Path) -> Result<Self, VerifyError> {
        let mut places = scan(path).await?;
        let incomplete = || VerifyError::Incomplete { path: path.to_owned() };
        let (text, digest) = (places.remove(MANIFEST), places.remove(MANIFEST_DIGEST));
        let (text, digest) = (text.ok_or_else(incomplete)?, digest.ok_or_else(incomplete)?);
        let written = small(path, digest).await?;
        if written != text.sha256.to_string().as_bytes() {
            return Err(damaged(path, MANIFEST, "does not have its digest"));
        }
        let text = small(path, text).await?;
        let unreadable = |_| damaged(path, MANIFEST, "cannot be read");
        let Format { format, drover } = serde_json::from_slice(&text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(VerifyError::Newer { path: path.to_owned(), drover });
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(unreadable)?;
        check(path, &manifest.entries, &places)?;
        Ok(Self { path: path.to_owned(), manifest, places })
    }

    /// What it says of itself.
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether it has this entry.
    pub(super) fn has(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The bytes of entries, one behind the other.
    pub(super) fn read(&self, names: impl IntoIterator<Item = String>) -> ByteStream {
        let places: Vec<_> = names.into_iter().map(|name| self.places.get(&name).copied()).collect();
        let path = self.path.clone();
        let entries = futures::stream::iter(places).then(move |place| open_at(path.clone(), place));
        Box::pin(entries.flat_map(|opened| match opened {
            Ok(bytes) => ReaderStream::with_capacity(bytes, READ_BYTES).boxed(),
            Err(error) => futures::stream::once(async move { Err::<Bytes, _>(error) }).boxed(),
        }))
    }
}

async fn open_at(path: PathBuf, place: Option<Place>) -> io::Result<tokio::io::Take<File>> {
    let place = place.ok_or_else(|| io::Error::other("the backup has no such entry"))?;
    let mut file = File::open(path).await?;
    file.seek(SeekFrom::Start(place.offset)).await?;
    Ok(file.take(place.size_bytes))
}

/// Everything that the manifest names is there, and nothing else.
fn check(path: &Path, wanted: &[Entry], found: &BTreeMap<String, Place>) -> Result<(), VerifyError> {
    for entry in wanted {
        let Some(place) = found.get(&entry.name) else { return Err(damaged(path, &entry.name, "is missing")) };
        if (place.size_bytes, place.sha256) != (entry.size_bytes, entry.sha256) {
            return Err(damaged(path, &entry.name, "does not have its digest"));
        }
    }
    let known: BTreeSet<&str> = wanted.iter().map(|entry| entry.name.as_str()).collect();
    match found.keys().find(|name| !known.contains(name.as_str())) {
        Some(name) => Err(damaged(path, name, "does not belong to it")),
        None => Ok(()),
    }
}

/// All entries with their digests, in one pass.
async fn scan(path: &Path) -> Result<BTreeMap<String, Place>, VerifyError> {
    let unreadable = |source| VerifyError::Read { path: path.to_owned(), source };
    let file = File::open(path).await.map_err(unreadable)?;
    let (mut input, mut offset, mut places) = (BufReader::with_capacity(READ_BYTES, file), 0, BTreeMap::new());
    loop {
        let mut head = [0; BLOCK_BYTES];
        match input.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && offset == 0 => {
                return Err(VerifyError::NotABackup { path: path.to_owned() });
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(VerifyError::Incomplete { path: path.to_owned() });
            }
            read => drop(read.map_err(unreadable)?),
        }
        offset += BLOCK_BYTES as u64;
        if head.iter().all(|byte| *byte == 0) {
            return Ok(places);
        }
        let (name, size_bytes) = match understand(&head) {
            Some(entry) => entry,
            None if places.is_empty() => return Err(VerifyError::NotABackup { path: path.to_owned() }),
            None => return Err(damaged(path, "the head of an entry", "cannot be read")),
        };
        let sha256 = digest(&mut input, size_bytes).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => VerifyError::Incomplete { path: path.to_owned() },
            _ => unreadable(error),
        })?;
        let place = Place { offset, size_bytes, sha256 };
        if places.insert(name.clone(), place).is_some() {
            return Err(damaged(path, &name, "is there twice"));
        }
        offset += size_bytes + padding_bytes(size_bytes);
    }
}

/// Name and length of an entry; none when the head's own sum or its words are wrong.
fn understand(bytes: &[u8]) -> Option<(String, u64)> {
    let head = Header::from_byte_slice(bytes);
    // The sum counts its own eight digits as spaces.
    let sum: u32 =
        bytes.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
    (head.cksum().ok()? == sum).then_some(())?;
    let name = String::from_utf8(head.path_bytes().into_owned()).ok()?;
    Some((name, head.entry_size().ok()?))
}

/// The digest of the next bytes; their padding is skipped.
async fn digest(input: &mut (impl AsyncRead + Unpin), size_bytes: u64) -> io::Result<Sha256Digest> {
    let (mut hasher, mut missing, mut buffer) = (Hasher::new(), size_bytes, vec![0; READ_BYTES]);
    while missing > 0 {
        let piece = usize::try_from(missing).unwrap_or(READ_BYTES).min(READ_BYTES);
        input.read_exact(&mut buffer[..piece]).await?;
        hasher.update(&buffer[..piece]);
        missing -= piece as u64;
    }
    let padding = usize::try_from(padding_bytes(size_bytes)).unwrap_or(0);
    input.read_exact(&mut buffer[..padding]).await?;
    Ok(hasher.finish())
}

async fn small(path: &Path, place: Place) -> Result<Vec<u8>, VerifyError> {
    if place.size_bytes > MANIFEST_MAX_BYTES {
        return Err(damaged(path, MANIFEST, "is too long"));
    }
    let unreadable = |source| VerifyError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let mut entry = open_at(path.to_owned(), Some(place)).await.map_err(unreadable)?;
    entry.read_to_end(&mut bytes).await.map_err(unreadable)?;
    Ok(bytes)
}

fn damaged(path: &Path, entry: &str, what: &'static str) -> VerifyError {
    VerifyError::Damaged { path: path.to_owned(), entry: entry.to_owned(), what }
}
