//! Objects from one store into another.

use drover_blob::{ExpectedContent, GetError, ObjectKey, PutError};
use drover_store::content::ContentRow;
use drover_types::{Sha256Digest, TenantId};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::MoveError;
use crate::backup::{Fault, OnProgress, Progress, READ_ATTEMPTS};
use crate::compose::Parts;

/// Objects on their way at once.
const OBJECTS_AT_ONCE: usize = 4;

/// Copies those that are not there yet, and names those that are lost.
pub(super) async fn copy(
    from: &Parts,
    to: &Parts,
    named: &[ContentRow],
    on_progress: OnProgress<'_>,
) -> Result<Vec<Fault>, MoveError> {
    let copies = stream::iter(named.iter().copied()).map(|row| in_some_attempts(from, to, row));
    let mut copies = std::pin::pin!(copies.buffer_unordered(OBJECTS_AT_ONCE));
    let (mut done, mut faults) = (0, Vec::new());
    while let Some(fault) = copies.try_next().await? {
        faults.extend(fault);
        done += 1;
        on_progress(Progress::Objects { done, of: named.len() });
    }
    Ok(faults)
}

/// A move loses nothing: an object that cannot be read keeps everything from being moved, but not at the first failure.
async fn in_some_attempts(from: &Parts, to: &Parts, row: ContentRow) -> Result<Option<Fault>, MoveError> {
    for _ in 1..READ_ATTEMPTS {
        if let Ok(done) = one_object(from, to, row).await {
            return Ok(done);
        }
    }
    one_object(from, to, row).await
}

/// Copies an object that is not there yet. The target's store checks it against its name.
async fn one_object(from: &Parts, to: &Parts, row: ContentRow) -> Result<Option<Fault>, MoveError> {
    let ContentRow { tenant_id, sha256, size_bytes } = row;
    let key = ObjectKey::content(tenant_id, sha256);
    let size_bytes = u64::try_from(size_bytes).unwrap_or(0);
    match to.blobs.head(&key).await {
        Ok(info) if info.size_bytes == size_bytes => return Ok(None),
        Ok(_) | Err(GetError::NotFound { .. }) => {}
        Err(source) => return Err(MoveError::Get { key, source }),
    }
    let bytes = match from.blobs.get(&key, None).await {
        Ok(bytes) => bytes,
        Err(GetError::NotFound { .. }) => return Ok(Some(fault(tenant_id, sha256, "it is not in the object store"))),
        Err(source) => return Err(MoveError::Get { key, source }),
    };
    let expected = ExpectedContent { size_bytes, sha256 };
    match to.blobs.put(tenant_id, Some(&expected), size_bytes, bytes).await {
        Ok(_) => Ok(None),
        Err(PutError::SizeMismatch { .. } | PutError::DigestMismatch { .. } | PutError::TooLarge { .. }) => {
            Ok(Some(fault(tenant_id, sha256, "its bytes are not what its name says")))
        }
        Err(source) => Err(MoveError::Put { key, source }),
    }
}

fn fault(tenant_id: TenantId, sha256: Sha256Digest, what: &str) -> Fault {
    Fault { tenant_id, sha256, what: what.to_owned() }
}
