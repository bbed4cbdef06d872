//! Firmware and its artifacts.

use std::path::Path;

use drover_api::{ArtifactView, Firmware, FirmwareCreate, FirmwareFilter, Page};
use drover_types::{FirmwareId, Sha256Digest};

use super::json::decode;
use super::{Client, ClientError, Progress};

impl Client {
    /// At most `at_most` firmware.
    pub async fn firmware_list(&self, filter: &FirmwareFilter, at_most: usize) -> Result<Page<Firmware>, ClientError> {
        self.list(&["firmware"], filter, at_most).await
    }

    /// Creates a firmware from its signed manifest, as a draft.
    pub async fn create_firmware(&self, body: &FirmwareCreate) -> Result<Firmware, ClientError> {
        self.create(&["firmware"], body).await
    }

    /// One firmware.
    pub async fn firmware(&self, id: FirmwareId) -> Result<Firmware, ClientError> {
        self.get(&["firmware", &id.to_string()]).await
    }

    /// Deletes a firmware that no rollout uses.
    pub async fn delete_firmware(&self, id: FirmwareId) -> Result<(), ClientError> {
        self.delete(&["firmware", &id.to_string()]).await
    }

    /// Sends the bytes of an artifact from a file, in constant memory.
    pub async fn upload_artifact(
        &self,
        id: FirmwareId,
        name: &str,
        file: &Path,
        progress: Progress,
    ) -> Result<ArtifactView, ClientError> {
        let url = self.api_url(&["firmware", &id.to_string(), "artifacts", name]);
        decode(&self.upload(url, file, progress).await?)
    }

    /// Makes a complete firmware available to rollouts.
    pub async fn publish_firmware(&self, id: FirmwareId) -> Result<Firmware, ClientError> {
        self.act(&["firmware", &id.to_string(), "publish"]).await
    }

    /// Fetches an artifact into `file` and checks its size and digest before the file appears there.
    pub async fn download_artifact(
        &self,
        id: FirmwareId,
        artifact: &ArtifactView,
        file: &Path,
        progress: Progress,
    ) -> Result<(), ClientError> {
        let mut url = self.api_url(&["firmware", &id.to_string(), "download"]);
        url.query_pairs_mut().append_pair("artifact", &artifact.name);
        let expected: (u64, Sha256Digest) = (artifact.size_bytes, artifact.checksum);
        self.download(url, expected, file, progress).await
    }
}
