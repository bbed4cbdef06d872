//! Checking an upload while it streams.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drover_types::Sha256Digest;
use futures::StreamExt;

use crate::{ByteStream, ExpectedContent, PutError};

/// An upload's body that counts and hashes what passes, and stops at the first byte too many.
pub(crate) struct Intake {
    body: ByteStream,
    expected: Option<ExpectedContent>,
    max_bytes: u64,
    received_bytes: u64,
    hash: Context,
}

impl Intake {
    pub(crate) fn new(body: ByteStream, expected: Option<&ExpectedContent>, max_bytes: u64) -> Result<Self, PutError> {
        if expected.is_some_and(|content| content.size_bytes > max_bytes) {
            return Err(PutError::TooLarge { max_bytes });
        }
        Ok(Self { body, expected: expected.copied(), max_bytes, received_bytes: 0, hash: Context::new(&SHA256) })
    }

    /// The most that can still come.
    pub(crate) fn size_bound(&self) -> u64 {
        self.expected.map_or(self.max_bytes, |content| content.size_bytes)
    }

    /// The next bytes, or none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, PutError> {
        let chunk = match self.body.next().await {
            None => return Ok(None),
            Some(Ok(chunk)) => chunk,
            Some(Err(source)) => return Err(PutError::Truncated { received_bytes: self.received_bytes, source }),
        };
        self.received_bytes = self.received_bytes.saturating_add(chunk.len() as u64);
        if let Some(content) = self.expected.filter(|content| self.received_bytes > content.size_bytes) {
            return Err(PutError::SizeMismatch {
                expected_bytes: content.size_bytes,
                actual_bytes: self.received_bytes,
            });
        }
        if self.received_bytes > self.max_bytes {
            return Err(PutError::TooLarge { max_bytes: self.max_bytes });
        }
        self.hash.update(&chunk);
        Ok(Some(chunk))
    }

    /// What has arrived, checked against what was expected. To be called after the end.
    pub(crate) fn finish(self) -> Result<ExpectedContent, PutError> {
        let mut digest = [0_u8; 32];
        digest.copy_from_slice(self.hash.finish().as_ref());
        let actual = ExpectedContent { size_bytes: self.received_bytes, sha256: Sha256Digest::from_bytes(digest) };
        let Some(expected) = self.expected else { return Ok(actual) };
        if expected.size_bytes != actual.size_bytes {
            let (expected_bytes, actual_bytes) = (expected.size_bytes, actual.size_bytes);
            return Err(PutError::SizeMismatch { expected_bytes, actual_bytes });
        }
        if expected.sha256 != actual.sha256 {
            return Err(PutError::DigestMismatch { expected: expected.sha256, actual: actual.sha256 });
        }
        Ok(actual)
    }

    /// Reads to the end and keeps nothing: for content that is already there.
    pub(crate) async fn drain(mut self) -> Result<ExpectedContent, PutError> {
        while self.next().await?.is_some() {}
        self.finish()
    }
}
