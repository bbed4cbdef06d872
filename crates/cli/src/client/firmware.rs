//! Firmware and its artifacts.

use std::path::Path;

use drover_api::{ArtifactView, Firmware, FirmwareCreate, FirmwareFilter, Page, UploadCreate};
use drover_trust::ManifestArtifact;
use drover_types::{FirmwareId, Sha256Digest, UploadKind};

use super::json::decode;
use super::parts::WHOLE_MAX_BYTES;
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

    /// Sends an artifact of a signed manifest: a long one in parts, going on where an earlier try broke off.
    pub async fn send_artifact(
        &self,
        id: FirmwareId,
        artifact: &ManifestArtifact,
        file: &Path,
        progress: Progress,
    ) -> Result<(), ClientError> {
        if artifact.size_bytes <= WHOLE_MAX_BYTES {
            return self.upload_artifact(id, &artifact.name, file, progress).await.map(drop);
        }
        let what = UploadCreate {
            kind: UploadKind::Artifact,
            firmware_id: Some(id),
            name: artifact.name.clone(),
            size_bytes: artifact.size_bytes,
            sha256: artifact.sha256,
            part_size_bytes: None,
        };
        self.upload_in_parts(&what, file, progress).await.map(drop)
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
