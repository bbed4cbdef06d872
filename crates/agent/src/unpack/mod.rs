//! Safe unpacking: what is in a signed artifact still has to keep to its signed limits.
//!
//! Only regular files and folders come out, below the target and nowhere else. The archive's headers are read raw,
//! so that no extension of the format does anything that is not checked here.

mod error;
mod header;
mod path;
mod tree;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use drover_trust::{ArtifactFormat, Hasher, ManifestArtifact};
use drover_types::Sha256Digest;

pub use error::UnpackError;
use header::Names;
pub(crate) use tree::FileEntry;
use tree::Tree;

/// Headers and padding that one entry of an archive may take, in bytes.
const OVERHEAD_PER_ENTRY_BYTES: u64 = 8 * 1024;
/// Padding at the end of an archive, in bytes: tar writes records of 10 KiB, some programs larger ones.
const TRAILER_BYTES: u64 = 4 * 1024 * 1024;

/// Unpacks one artifact after the other into `target`, an empty folder, and says what was written. `sources` has the
/// file of each artifact; its bytes are checked against the manifest once more while they are read.
pub(crate) fn unpack(
    artifacts: &[ManifestArtifact],
    sources: &[File],
    target: &Path,
) -> Result<Vec<FileEntry>, UnpackError> {
    let mut tree = Tree::open(target)?;
    for (artifact, source) in artifacts.iter().zip(sources) {
        tree.begin(artifact.unpacked_bytes, artifact.unpacked_entries);
        let mut source = Hashing { inner: source, hasher: Hasher::new() };
        match artifact.format {
            ArtifactFormat::TarGz => unpack_archive(artifact, &mut source, &mut tree)?,
            ArtifactFormat::Raw => tree.write_file(&artifact.name, 0o644, &mut source)?,
        }
        // What comes after the end of the archive belongs to the artifact too.
        io::copy(&mut source, &mut io::sink()).map_err(UnpackError::Read)?;
        let found = source.hasher.finish();
        if found != artifact.sha256 {
            return Err(UnpackError::Altered { name: artifact.name.clone(), expected: artifact.sha256, found });
        }
    }
    tree.sync()?;
    Ok(tree.into_files())
}

fn unpack_archive(artifact: &ManifestArtifact, source: &mut impl Read, tree: &mut Tree) -> Result<(), UnpackError> {
    let limit_bytes = artifact
        .unpacked_bytes
        .saturating_add(artifact.unpacked_entries.saturating_mul(OVERHEAD_PER_ENTRY_BYTES))
        .saturating_add(TRAILER_BYTES);
    let stream = Limited { inner: flate2::read::MultiGzDecoder::new(source), left_bytes: limit_bytes };
    let mut archive = tar::Archive::new(stream);
    let mut names = Names::default();
    for entry in archive.entries().map_err(UnpackError::read)?.raw(true) {
        let mut entry = entry.map_err(UnpackError::read)?;
        if names.take_extension(&mut entry)? {
            continue;
        }
        let name = names.name_of(&entry)?;
        let mode = entry.header().mode().map_err(UnpackError::Read)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            tree.make_folder(&name)?;
        } else if kind.is_file() {
            tree.write_file(&name, mode, &mut entry)?;
        } else {
            return Err(UnpackError::Kind { name, kind: header::kind_name(kind) });
        }
    }
    Ok(())
}

/// Takes the digest of what is read.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

/// Ends with an error where [`Read::take`] would pretend that the stream ended.
struct Limited<R> {
    inner: R,
    left_bytes: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left_bytes =
            self.left_bytes.checked_sub(count as u64).ok_or_else(|| io::Error::other(error::StreamTooLong))?;
        Ok(count)
    }
}

/// The digest of an open file, from where it stands.
pub(crate) fn digest_of(file: &mut impl Read) -> io::Result<(Sha256Digest, u64)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    let mut size_bytes = 0_u64;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher.finish(), size_bytes));
        }
        hasher.update(&buffer[..count]);
        size_bytes += count as u64;
    }
}

#[cfg(test)]
mod tests;
