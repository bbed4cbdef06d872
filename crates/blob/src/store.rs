//! The seam: what every back-end does.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use drover_types::{Sha256Digest, TenantId, Timestamp};
use futures::Stream;

use crate::{CheckError, DeleteError, GetError, ObjectKey, PresignError, PutError, StagingStore};

/// Bytes as they arrive. An error ends the stream.
pub type ByteStream = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What an upload must turn out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedContent {
    /// Its length.
    pub size_bytes: u64,
    /// Its digest.
    pub sha256: Sha256Digest,
}

/// What was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlob {
    /// The name under which it can be read.
    pub key: ObjectKey,
    /// Its digest.
    pub sha256: Sha256Digest,
    /// Its length.
    pub size_bytes: u64,
    /// The object existed before this put.
    pub already_there: bool,
}

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobInfo {
    /// Its length.
    pub size_bytes: u64,
    /// A strong entity tag with its quotes: the SHA-256 of the content. (S3 sends a tag of its own to whoever
    /// fetches a presigned URL.)
    pub etag: String,
}

/// The request that a presigned URL allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresignMethod {
    /// To read the object, whole or in part.
    Get,
    /// To learn its size and entity tag.
    Head,
}

impl PresignMethod {
    /// The HTTP method.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

/// A URL that carries the right to one request on one object until a time. Treat it as a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct PresignedUrl {
    /// The URL.
    pub url: String,
    /// From this second on it is refused.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for PresignedUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PresignedUrl {{ url: (secret), expires_at: {} }}", self.expires_at)
    }
}

/// A store of immutable objects, which takes long ones in parts. Every method may be called from many tasks and processes at once.
#[async_trait::async_trait]
pub trait BlobStore: StagingStore {
    /// Stores `body` under its tenant and digest.
    ///
    /// The body is hashed while it streams, in constant memory. It must be `expected` when that is given, and at
    /// most `max_bytes` long; an error of the stream counts as a broken upload. On any error, and when the future is
    /// dropped, nothing can be read under any key and what was written is removed. On success the object is
    /// durable.
    ///
    /// Create-only: an object that exists is left as it is and reported as `already_there`, after the body was
    /// read and checked like any other. (One whose size shows that it is damaged is replaced.)
    async fn put(
        &self,
        tenant: TenantId,
        expected: Option<&ExpectedContent>,
        max_bytes: u64,
        body: ByteStream,
    ) -> Result<StoredBlob, PutError>;

    /// The size and entity tag of an object.
    async fn head(&self, key: &ObjectKey) -> Result<BlobInfo, GetError>;

    /// Reads an object, or the bytes `range.start..range.end` of it. The range must not be empty and must lie
    /// inside the object. A stream that ends without an error has yielded every byte asked for.
    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ByteStream, GetError>;

    /// Removes an object. One that does not exist is no error.
    async fn delete(&self, key: &ObjectKey) -> Result<(), DeleteError>;

    /// A URL that allows `method` on `key` from `now` for `ttl`, to whoever holds it.
    ///
    /// `ttl` is 1 s to 7 days, counted in whole seconds. With `file_name` (1 to 128 characters of
    /// `A-Z a-z 0-9 . _ + -`) a browser saves the answer under that name. Whether the object exists is not looked
    /// up. The folder's URLs for GET allow HEAD as well, those of S3 do not. S3 signs with the machine's clock, so
    /// there `now` only dates `expires_at`.
    async fn presign(
        &self,
        method: PresignMethod,
        key: &ObjectKey,
        ttl: Duration,
        now: Timestamp,
        file_name: Option<&str>,
    ) -> Result<PresignedUrl, PresignError>;

    /// Whether the store can be reached and written to, for readiness. Answers within 10 s.
    async fn check(&self) -> Result<(), CheckError>;
}
