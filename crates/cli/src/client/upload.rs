//! Sending a file.

use std::path::Path;

use futures::TryStreamExt as _;
use reqwest::Body;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use tokio_util::io::ReaderStream;
use url::Url;

use super::attempt::{Failure, Repeat, may_repeat, require_success, unreachable};
use super::transfer::Meter;
use super::{Client, ClientError, Progress};

const CHUNK_BYTES: usize = 256 * 1024;
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

impl Client {
    /// PUTs a file; each attempt reads it from its start. Gives the body of the answer.
    pub(crate) async fn upload(&self, url: Url, file: &Path, progress: Progress) -> Result<Vec<u8>, ClientError> {
        let mut attempt = 0;
        loop {
            let failure = match self.upload_once(&url, file, &progress).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            attempt += 1;
            if attempt >= self.retry.attempts || !may_repeat(&failure.error, Repeat::Idempotent) {
                return Err(failure.error);
            }
            self.wait(attempt - 1, failure.retry_after).await;
        }
    }

    async fn upload_once(&self, url: &Url, file: &Path, progress: &Progress) -> Result<Vec<u8>, Failure> {
        let in_file = |source| ClientError::File { path: file.display().to_string(), source };
        let handle = tokio::fs::File::open(file).await.map_err(in_file)?;
        let size_bytes = handle.metadata().await.map_err(in_file)?.len();
        let meter = Meter::new(progress);
        let counted = meter.clone();
        let chunks = ReaderStream::with_capacity(handle, CHUNK_BYTES).inspect_ok(move |chunk| counted.add(chunk.len()));
        let request = self.http_for(url).put(url.clone()).body(Body::wrap_stream(chunks));
        let request = request.header(CONTENT_LENGTH, size_bytes).header(CONTENT_TYPE, "application/octet-stream");
        let request = self.authorise(request);
        tokio::select! {
            answer = async {
                let response = request.send().await.map_err(|source| unreachable(url, source))?;
                let response = require_success(response).await?;
                let body = response.bytes().await.map_err(|source| unreachable(url, source))?;
                if body.len() > MAX_ANSWER_BYTES {
                    return Err(ClientError::BodyTooLarge { limit_bytes: MAX_ANSWER_BYTES }.into());
                }
                Ok(body.to_vec())
            } => answer,
            stalled = meter.stalled() => Err(stalled.into()),
        }
    }
}
