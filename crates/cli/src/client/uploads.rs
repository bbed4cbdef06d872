//! Uploads in parts: the calls.

use drover_api::{Page, PartDone, PartUrl, PartUrls, PartUrlsRequest, Upload, UploadCreate, UploadFilter, UploadPart};
use drover_types::UploadId;

use super::json::decode;
use super::{Client, ClientError};

impl Client {
    /// At most `at_most` uploads, newest first.
    pub async fn uploads(&self, filter: &UploadFilter, at_most: usize) -> Result<Page<Upload>, ClientError> {
        self.list(&["uploads"], filter, at_most).await
    }

    /// Begins an upload.
    pub async fn create_upload(&self, body: &UploadCreate) -> Result<Upload, ClientError> {
        self.create(&["uploads"], body).await
    }

    /// One upload with the parts that are there.
    pub async fn upload_view(&self, id: UploadId) -> Result<Upload, ClientError> {
        self.get(&["uploads", &id.to_string()]).await
    }

    /// Ends an upload whose parts are all there; look at it until it is complete or failed.
    pub async fn complete_upload(&self, id: UploadId) -> Result<Upload, ClientError> {
        // Completing twice is the same as once, so an answer that got lost does no harm.
        match self.act(&["uploads", &id.to_string(), "complete"]).await {
            Err(ClientError::Unreachable { .. }) => self.act(&["uploads", &id.to_string(), "complete"]).await,
            answer => answer,
        }
    }

    /// Gives an upload up.
    pub async fn abort_upload(&self, id: UploadId) -> Result<(), ClientError> {
        self.delete(&["uploads", &id.to_string()]).await
    }

    /// Where a part may be sent directly.
    pub(crate) async fn part_url(&self, id: UploadId, number: u32) -> Result<PartUrl, ClientError> {
        let url = self.api_url(&["uploads", &id.to_string(), "parts", "urls"]);
        let body = PartUrlsRequest { numbers: vec![number] };
        let mut urls: PartUrls = decode(&self.post_once(url, Some(&body)).await?)?;
        urls.items.pop().ok_or(ClientError::RedirectWithoutTarget)
    }

    /// Tells that a part went to the object store directly.
    pub(crate) async fn part_done(
        &self,
        id: UploadId,
        number: u32,
        done: &PartDone,
    ) -> Result<UploadPart, ClientError> {
        let path = ["uploads", &id.to_string(), "parts", &number.to_string(), "done"];
        self.put(&path, done).await
    }
}
