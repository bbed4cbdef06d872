//! Objects with names of one's own choice, and presigned addresses.

use std::path::Path;

use drover_api::{ObjectFilter, Page, PresignReply, PresignRequest, StoredObject};
use url::Url;

use super::json::decode;
use super::{Client, ClientError, Progress};

impl Client {
    /// Stores a file under a name, in constant memory.
    pub async fn put_object(&self, name: &str, file: &Path, progress: Progress) -> Result<StoredObject, ClientError> {
        decode(&self.upload(self.object_url(name), file, progress).await?)
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
