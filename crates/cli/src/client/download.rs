//! Fetching a file through a presigned address.

use std::io::Write as _;
use std::path::Path;

use drover_trust::Hasher;
use drover_types::Sha256Digest;
use reqwest::Response;
use reqwest::header::LOCATION;
use tempfile::NamedTempFile;
use url::Url;

use super::attempt::{Failure, Repeat, may_repeat, require_success, unreachable};
use super::server_url::require_safe_transport;
use super::transfer::{Meter, STALL_TIMEOUT};
use super::{Client, ClientError, Progress};

/// The API points to the object store once; the store may point on once more.
const MAX_REDIRECTS: usize = 3;

impl Client {
    /// Fetches into a temporary file beside `file`, checks it, and only then gives it its name.
    pub(crate) async fn download(
        &self,
        url: Url,
        expected: (u64, Sha256Digest),
        file: &Path,
        progress: Progress,
    ) -> Result<(), ClientError> {
        let mut attempt = 0;
        loop {
            let failure = match self.download_once(&url, expected, file, &progress).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            attempt += 1;
            if attempt >= self.retry.attempts || !may_repeat(&failure.error, Repeat::Idempotent) {
                return Err(failure.error);
            }
            self.wait(attempt - 1, failure.retry_after).await;
        }
    }

    async fn download_once(
        &self,
        url: &Url,
        (expected_bytes, expected): (u64, Sha256Digest),
        file: &Path,
        progress: &Progress,
    ) -> Result<(), Failure> {
        let in_file = |source| ClientError::File { path: file.display().to_string(), source };
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut part = NamedTempFile::new_in(folder).map_err(in_file)?;
        let mut response = self.follow(url).await?;
        let meter = Meter::new(progress);
        let mut hasher = Hasher::new();
        loop {
            let next = tokio::time::timeout(STALL_TIMEOUT, response.chunk()).await;
            let next = next.map_err(|_| ClientError::Stalled { after: STALL_TIMEOUT })?;
            let Some(chunk) = next.map_err(|source| unreachable(response.url(), source))? else { break };
            hasher.update(&chunk);
            part.write_all(&chunk).map_err(in_file)?;
            meter.add(chunk.len());
            if meter.done_bytes() > expected_bytes {
                break;
            }
        }
        let (got_bytes, got) = (meter.done_bytes(), hasher.finish());
        if (got_bytes, got) != (expected_bytes, expected) {
            return Err(ClientError::Damaged { expected_bytes, expected, got_bytes, got }.into());
        }
        part.as_file().sync_all().map_err(in_file)?;
        part.persist(file).map_err(|failed| in_file(failed.error))?;
        Ok(())
    }

    /// GETs with the token from the server itself, and without it from wherever the server points.
    async fn follow(&self, url: &Url) -> Result<Response, Failure> {
        let mut response = self.fetch(url, true).await?;
        for _ in 0..MAX_REDIRECTS {
            if !response.status().is_redirection() {
                break;
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let target = location.and_then(|location| response.url().join(location).ok());
            let target = target.ok_or(ClientError::RedirectWithoutTarget)?;
            require_safe_transport(&target).map_err(ClientError::Redirect)?;
            // A presigned address needs no credential, so none is sent, not even to the same origin.
            response = self.fetch(&target, false).await?;
        }
        require_success(response).await
    }

    async fn fetch(&self, url: &Url, with_token: bool) -> Result<Response, ClientError> {
        let request = self.http_for(url).get(url.clone());
        let request = if with_token { self.authorise(request) } else { request };
        let answer = tokio::time::timeout(STALL_TIMEOUT, request.send()).await;
        let answer = answer.map_err(|_| ClientError::Stalled { after: STALL_TIMEOUT })?;
        answer.map_err(|source| unreachable(url, source))
    }
}
