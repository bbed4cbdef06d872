//! Checking an upload while it streams.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use drover_types::Sha256Digest;
use futures::StreamExt;

use crate::{ByteStream, ExpectedContent, PutError};

/// An upload's body that counts and hashes what passes, and stops at the first byte too many.
pub(crate) struct Intake {
    body: ByteStream,
    expected_bytes: Option<u64>,
    expected_sha256: Option<Sha256Digest>,
    max_bytes: u64,
    received_bytes: u64,
    hash: Context,
}

impl Intake {
    pub(crate) fn new(body: ByteStream, expected: Option<&ExpectedContent>, max_bytes: u64) -> Result<Self, PutError> {
        if expected.is_some_and(|content| content.size_bytes > max_bytes) {
            return Err(PutError::TooLarge { max_bytes });
        }
        let expected_bytes = expected.map(|content| content.size_bytes);
        let expected_sha256 = expected.map(|content| content.sha256);
        let hash = Context::new(&SHA256);
        Ok(Self { body, expected_bytes, expected_sha256, max_bytes, received_bytes: 0, hash })
    }

    /// A part of something: only its size is known beforehand.
    pub(crate) fn of_part(body: ByteStream, size_bytes: u64) -> Self {
        Self {
            body,
            expected_bytes: Some(size_bytes),
            expected_sha256: None,
            max_bytes: size_bytes,
            received_bytes: 0,
            hash: Context::new(&SHA256),
        }
    }

    /// The most that can still come.
    pub(crate) fn size_bound(&self) -> u64 {
        self.expected_bytes.unwrap_or(self.max_bytes)
    }

    /// Less has come than was announced.
    pub(crate) fn is_short(&self) -> bool {
        self.expected_bytes.is_some_and(|expected_bytes| self.received_bytes < expected_bytes)
    }

    /// The next bytes, or none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, PutError> {
        let chunk = match self.body.next().await {
            None => return Ok(None),
            Some(Ok(chunk)) => chunk,
            Some(Err(source)) => return Err(PutError::Truncated { received_bytes: self.received_bytes, source }),
        };
        self.received_bytes = self.received_bytes.saturating_add(chunk.len() as u64);
        if let Some(expected_bytes) = self.expected_bytes.filter(|bytes| self.received_bytes > *bytes) {
            return Err(PutError::SizeMismatch { expected_bytes, actual_bytes: self.received_bytes });
        }
        if self.received_bytes > self.max_bytes {
            return Err(PutError::TooLarge { max_bytes: self.max_bytes });
        }
        self.hash.update(&chunk);
        Ok(Some(chunk))
    }

    /// What has arrived, checked against what was expected. To be called after the end.
    pub(crate) fn finish(self) -> Result<ExpectedContent, PutError> {
        let actual = ExpectedContent { size_bytes: self.received_bytes, sha256: digest(self.hash) };
        if let Some(expected_bytes) = self.expected_bytes.filter(|bytes| *bytes != actual.size_bytes) {
            return Err(PutError::SizeMismatch { expected_bytes, actual_bytes: actual.size_bytes });
        }
        if let Some(expected) = self.expected_sha256.filter(|sha256| *sha256 != actual.sha256) {
            return Err(PutError::DigestMismatch { expected, actual: actual.sha256 });
        }
        Ok(actual)
    }

    /// Reads to the end and keeps nothing: for content that is already there.
    pub(crate) async fn drain(mut self) -> Result<ExpectedContent, PutError> {
        while self.next().await?.is_some() {}
        self.finish()
    }
}

/// The SHA-256 of what was hashed.
pub(crate) fn digest(hash: Context) -> Sha256Digest {
    let mut bytes = [0_u8; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Sha256Digest::from_bytes(bytes)
}
