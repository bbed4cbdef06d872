//! Objects with names of one's own choice, and presigned addresses.

use std::path::Path;

use drover_api::{ObjectFilter, Page, PresignReply, PresignRequest, StoredObject, UploadCreate};
use drover_trust::Hasher;
use drover_types::{Sha256Digest, UploadKind};
use futures::TryStreamExt as _;
use tokio_util::io::ReaderStream;
use url::Url;

use super::json::decode;
use super::parts::WHOLE_MAX_BYTES;
use super::{Client, ClientError, Progress};

impl Client {
    /// Stores a file under a name, in constant memory: a long one in parts, going on where an earlier try broke off.
    pub async fn put_object(&self, name: &str, file: &Path, progress: Progress) -> Result<StoredObject, ClientError> {
        let in_file = |source| ClientError::File { path: file.display().to_string(), source };
        let size_bytes = tokio::fs::metadata(file).await.map_err(in_file)?.len();
        if size_bytes <= WHOLE_MAX_BYTES {
            return decode(&self.upload(self.object_url(name), file, progress).await?);
        }
        let sha256 = digest_of(file).await.map_err(in_file)?;
        let (kind, name) = (UploadKind::Object, name.to_owned());
        let what = UploadCreate { kind, firmware_id: None, name, size_bytes, sha256, part_size_bytes: None };
        match self.upload_in_parts(&what, file, progress).await {
            Ok(done) => Ok(StoredObject {
                object_key: done.name,
                size_bytes: done.size_bytes,
                checksum: done.sha256,
                created_at: done.ended_at.unwrap_or(done.updated_at),
            }),
            // The same bytes again, as with a short file.
            Err(ClientError::Problem(problem)) if problem.type_uri.ends_with(":object_uploaded") => {
                let filter = ObjectFilter { prefix: Some(what.name), ..ObjectFilter::default() };
                let there = self.objects(&filter, 1).await?.items.pop();
                there.ok_or(ClientError::Problem(problem))
            }
            Err(error) => Err(error),
        }
    }

    /// At most `at_most` objects.
    pub async fn objects(&self, filter: &ObjectFilter, at_most: usize) -> Result<Page<StoredObject>, ClientError> {
        self.list(&["objects"], filter, at_most).await
    }

    /// A time-limited address of an object.
    pub async fn presign(&self, body: &PresignRequest) -> Result<PresignReply, ClientError> {
        decode(&self.post_once(self.server().join(["v1", "presign"]), Some(body)).await?)
    }

    /// Slashes in the name stay slashes.
    fn object_url(&self, name: &str) -> Url {
        let path: Vec<&str> = std::iter::once("objects").chain(name.split('/')).collect();
        self.api_url(&path)
    }
}

/// The digest of a file, in constant memory.
async fn digest_of(file: &Path) -> std::io::Result<Sha256Digest> {
    let mut chunks = ReaderStream::with_capacity(tokio::fs::File::open(file).await?, 256 * 1024);
    let mut hasher = Hasher::new();
    while let Some(chunk) = chunks.try_next().await? {
        hasher.update(&chunk);
    }
    Ok(hasher.finish())
}
