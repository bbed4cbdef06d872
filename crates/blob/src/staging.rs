//! The second seam: uploads in parts.

use std::time::Duration;

use drover_types::{Sha256Digest, TenantId, Timestamp, UploadId};

use crate::{ByteStream, ClearError, ExpectedContent, PresignError, PresignedUrl, PutError, StoredBlob};

/// The shortest part that every back-end takes; the last part may be shorter.
pub const PART_MIN_BYTES: u64 = 5 * 1024 * 1024;
/// The most parts that every back-end takes.
pub const PARTS_MAX: u64 = 10_000;

/// An upload in parts. Its parts lie apart from all objects until it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedUpload {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: UploadId,
    /// What [`StagingStore::stage`] gave.
    pub token: String,
}

/// A part that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedPart {
    /// Its place, from 1.
    pub number: u32,
    /// Its length.
    pub size_bytes: u64,
    /// Its digest; none when it never passed through here.
    pub sha256: Option<Sha256Digest>,
    /// What the back-end calls this very content of the part. S3: its entity tag, with quotes. The folder: nothing.
    pub tag: String,
}

/// Takes objects in parts, in any order and over days. Every method may be called from many tasks and processes at
/// once, and again after a crash.
#[async_trait::async_trait]
pub trait StagingStore: Send + Sync {
    /// Prepares for the parts of an object of `size_bytes`. Gives the back-end's own name for it, which has to be kept
    /// for [`StagedUpload`].
    async fn stage(&self, tenant: TenantId, id: UploadId, size_bytes: u64) -> Result<String, PutError>;

    /// Takes part `number` (from 1), which must be `size_bytes` long; in constant memory, hashed while it streams. On
    /// success it is durable and takes the place of an earlier part of this number; on an error, and when the future is
    /// dropped, the earlier one stays.
    async fn put_part(
        &self,
        upload: &StagedUpload,
        number: u32,
        size_bytes: u64,
        body: ByteStream,
    ) -> Result<StagedPart, PutError>;

    /// Whether [`Self::part_url`] gives URLs.
    fn has_part_urls(&self) -> bool;

    /// A URL to which whoever holds it may PUT part `number`, of any length, and whose answer carries the part's tag as
    /// `ETag`. None when parts can only come through [`Self::put_part`]. `ttl` as in
    /// [`crate::BlobStore::presign`].
    async fn part_url(
        &self,
        upload: &StagedUpload,
        number: u32,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Option<PresignedUrl>, PresignError>;

    /// Makes an object of the parts, which must be all there are, in their order. What they hold together is read back and
    /// must be `expected`; only then it gets its name. The parts stay, in one form or another, so that this can be called
    /// again until [`Self::unstage`]. Reads everything: give it time.
    async fn publish(
        &self,
        upload: &StagedUpload,
        parts: &[StagedPart],
        expected: &ExpectedContent,
    ) -> Result<StoredBlob, PutError>;

    /// Removes what there is of an upload, published or not, also one that was staged without its token ever being kept.
    /// One that does not exist is no error. A published object stays.
    async fn unstage(&self, tenant: TenantId, id: UploadId) -> Result<(), ClearError>;

    /// Removes what uploads of any kind that were begun before `before` have left, when nobody knows them any more.
    /// Gives how many things those were. Bounded work: call it now and then.
    async fn sweep(&self, before: Timestamp) -> Result<u64, ClearError>;
}
