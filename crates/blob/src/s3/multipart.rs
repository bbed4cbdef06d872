//! Uploads in parts, of constant memory.

use bytes::{Bytes, BytesMut};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::task::JoinSet;

use super::unwritable;
use crate::PutError;

/// The smallest part, and what a short upload may take without being one of parts.
const MIN_PART_BYTES: u64 = 8 * 1024 * 1024;
/// S3 takes 10 000.
const MAX_PARTS: u64 = 10_000;
/// The largest object of S3.
pub(super) const MAX_OBJECT_BYTES: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// Parts under way at once; each is held in memory.
const PARTS_IN_FLIGHT: usize = 2;

/// Bytes per part of an upload of at most `size_bound` bytes: 8 MiB up to 78 GiB, more beyond, so that the parts
/// suffice. All parts but the last have this size, as some services want it.
pub(super) fn part_bytes(size_bound: u64) -> usize {
    let bytes = size_bound.min(MAX_OBJECT_BYTES).div_ceil(MAX_PARTS).max(MIN_PART_BYTES);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Collects chunks into parts.
pub(super) struct PartBuffer {
    part_bytes: usize,
    filled: BytesMut,
    /// A whole part has been seen, so the next ones get all their memory at once: growing would leave holes.
    long: bool,
}

impl PartBuffer {
    pub(super) fn new(part_bytes: usize) -> Self {
        Self { part_bytes, filled: BytesMut::new(), long: false }
    }

    /// Takes what fits of `chunk`. When the part is full it is returned, and `chunk` may have a rest.
    pub(super) fn take(&mut self, chunk: &mut Bytes) -> Option<Bytes> {
        if self.long && self.filled.capacity() == 0 {
            self.filled.reserve(self.part_bytes);
        }
        let room = self.part_bytes - self.filled.len();
        self.filled.extend_from_slice(&chunk.split_to(room.min(chunk.len())));
        self.long |= self.filled.len() == self.part_bytes;
        (self.filled.len() == self.part_bytes).then(|| self.rest())
    }

    /// What is left for the last part.
    pub(super) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.filled).freeze()
    }
}

/// An upload that is aborted unless it is completed, also when it is dropped.
pub(super) struct PartUpload {
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: JoinSet<object_store::Result<()>>,
}

impl PartUpload {
    pub(super) async fn start(client: &AmazonS3, path: &Path) -> Result<Self, PutError> {
        let upload = client.put_multipart(path).await.map_err(unwritable("start the upload"))?;
        Ok(Self { upload: Some(upload), in_flight: JoinSet::new() })
    }

    /// Sends one part; waits while too many are under way.
    pub(super) async fn send(&mut self, part: Bytes) -> Result<(), PutError> {
        while self.in_flight.len() >= PARTS_IN_FLIGHT {
            self.join_one().await?;
        }
        if let Some(upload) = &mut self.upload {
            self.in_flight.spawn(upload.put_part(PutPayload::from(part)));
        }
        Ok(())
    }

    /// Makes the object appear.
    pub(super) async fn complete(mut self) -> Result<(), PutError> {
        while !self.in_flight.is_empty() {
            self.join_one().await?;
        }
        if let Some(upload) = &mut self.upload {
            upload.complete().await.map_err(unwritable("complete the upload"))?;
        }
        self.upload = None;
        Ok(())
    }

    /// Removes the parts, and waits until they are gone.
    pub(super) async fn abort(mut self) {
        self.in_flight.shutdown().await;
        if let Some(mut upload) = self.upload.take() {
            // The upload's own error is what the caller must see; what stays is for the bucket's lifecycle rule.
            let _ = upload.abort().await;
        }
    }

    async fn join_one(&mut self) -> Result<(), PutError> {
        match self.in_flight.join_next().await {
            Some(Ok(sent)) => sent.map_err(unwritable("send a part of the upload")),
            Some(Err(panicked)) => {
                Err(PutError::Unavailable { action: "send a part of the upload", source: panicked.into() })
            }
            None => Ok(()),
        }
    }
}

impl Drop for PartUpload {
    fn drop(&mut self) {
        let Some(mut upload) = self.upload.take() else { return };
        let mut in_flight = std::mem::take(&mut self.in_flight);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            in_flight.shutdown().await;
            let _ = upload.abort().await;
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_parts_suffice_and_are_not_too_small(size in 0..=MAX_OBJECT_BYTES) {
            let part = part_bytes(size) as u64;
            prop_assert!(part >= MIN_PART_BYTES);
            prop_assert!(size.div_ceil(part) <= MAX_PARTS);
        }

        #[test]
        fn parts_are_full_and_lose_nothing(chunks: [Vec<u8>; 8]) {
            let mut buffer = PartBuffer::new(16);
            let mut parts: Vec<Bytes> = Vec::new();
            for chunk in &chunks {
                let mut chunk = Bytes::from(chunk.clone());
                while !chunk.is_empty() {
                    parts.extend(buffer.take(&mut chunk));
                }
            }
            prop_assert!(parts.iter().all(|part| part.len() == 16));
            parts.push(buffer.rest());
            prop_assert_eq!(parts.concat(), chunks.concat());
        }
    }

    #[test]
    fn memory_stays_small_for_all_usual_sizes() {
        assert_eq!(part_bytes(78 * 1024 * 1024 * 1024), 8 * 1024 * 1024);
    }
}
