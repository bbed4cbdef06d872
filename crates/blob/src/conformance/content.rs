//! Bytes to store: made as they are read, never held as a whole.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drover_types::Sha256Digest;
use futures::stream;

use crate::{ByteStream, ExpectedContent};

const CHUNK_BYTES: u64 = 64 * 1024;

/// Bytes that look random and are the same for the same seed and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Content {
    /// Which bytes.
    pub seed: u64,
    /// How many.
    pub size_bytes: u64,
}

impl Content {
    /// The bytes from `start` to `end`, `end` not included.
    pub fn slice(&self, start: u64, end: u64) -> Vec<u8> {
        let end = end.min(self.size_bytes);
        let words = (start / 8)..end.div_ceil(8);
        let mut bytes: Vec<u8> = words.flat_map(|index| self.word(index)).collect();
        let before = usize::try_from(start % 8).unwrap_or(0);
        let length = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        bytes.drain(..before.min(bytes.len()));
        bytes.truncate(length);
        bytes
    }

    /// All bytes in chunks.
    pub fn stream(&self) -> ByteStream {
        self.stream_until(self.size_bytes)
    }

    /// The bytes before `end` in chunks.
    pub fn stream_until(&self, end: u64) -> ByteStream {
        let content = *self;
        let starts = (0..end).step_by(usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX));
        let chunks = starts.map(move |start| Ok(Bytes::from(content.slice(start, end.min(start + CHUNK_BYTES)))));
        Box::pin(stream::iter(chunks))
    }

    /// Its size and digest.
    pub fn expected(&self) -> ExpectedContent {
        let mut hash = Context::new(&SHA256);
        for start in (0..self.size_bytes).step_by(usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX)) {
            hash.update(&self.slice(start, start + CHUNK_BYTES));
        }
        let mut digest = [0_u8; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        ExpectedContent { size_bytes: self.size_bytes, sha256: Sha256Digest::from_bytes(digest) }
    }

    /// Eight bytes: a multiplication that mixes seed and place well enough that no shift goes unnoticed.
    fn word(&self, index: u64) -> [u8; 8] {
        let mixed = (index ^ self.seed.rotate_left(32)).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).to_le_bytes()
    }
}
