//! Sending a long file in parts, and going on where an earlier try broke off.
//!
//! What is there already is known to the server alone: nothing is kept here, so any machine that has the file can go on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use drover_api::{PartDone, Upload, UploadCreate, UploadFilter, UploadPart};
use drover_trust::Hasher;
use drover_types::{Sha256Digest, UploadState};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use reqwest::{Body, RequestBuilder, Response};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;
use url::Url;

use super::attempt::{Failure, Repeat, may_repeat, require_success, unexpected, unreachable};
use super::json::decode;
use super::transfer::{Meter, Total};
use super::{Client, ClientError, Progress};

/// Files longer than this go in parts.
pub(crate) const WHOLE_MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Parts under way at once.
const PARTS_AT_ONCE: usize = 4;
const CHUNK_BYTES: usize = 256 * 1024;
/// Uploads of one content that are looked through for one to go on with.
const CANDIDATES_MAX: usize = 100;
/// How often a verification is asked after, at first and at last, and for how long.
const VERIFYING_POLL: Duration = Duration::from_millis(500);
const VERIFYING_POLL_MAX: Duration = Duration::from_secs(5);
const VERIFYING_MAX: Duration = Duration::from_hours(2);

impl Client {
    /// Sends `file` as `what` says, in parts, several at once. An upload of the same that was begun before, here or
    /// elsewhere, is continued: only the parts that are missing are sent.
    pub async fn upload_in_parts(
        &self,
        what: &UploadCreate,
        file: &Path,
        progress: Progress,
    ) -> Result<Upload, ClientError> {
        let mut upload = self.begun_upload(what).await?;
        if upload.state == UploadState::Open {
            let (total, past_store) = (Total::new(progress), AtomicBool::new(false));
            let sending = Sending { client: self, upload: &upload, file, total, past_store };
            sending.send_missing().await?;
            upload = self.complete_upload(upload.id).await?;
        }
        self.verified(upload).await
    }

    /// The upload to go on with, or a new one.
    async fn begun_upload(&self, what: &UploadCreate) -> Result<Upload, ClientError> {
        let filter = UploadFilter { kind: Some(what.kind), sha256: Some(what.sha256), ..UploadFilter::default() };
        let known = self.uploads(&filter, CANDIDATES_MAX).await?.items;
        let same = |upload: &Upload| {
            let is_unfinished = matches!(upload.state, UploadState::Open | UploadState::Verifying);
            is_unfinished && upload.name == what.name && upload.firmware_id == what.firmware_id
        };
        match known.into_iter().find(same) {
            Some(known) => self.upload_view(known.id).await,
            None => self.create_upload(what).await,
        }
    }

    /// Waits until the server has read the whole back.
    async fn verified(&self, mut upload: Upload) -> Result<Upload, ClientError> {
        let (mut waited, mut wait) = (Duration::ZERO, VERIFYING_POLL);
        while upload.state == UploadState::Verifying {
            if waited >= VERIFYING_MAX {
                return Err(ClientError::Stalled { after: VERIFYING_MAX });
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = (wait * 2).min(VERIFYING_POLL_MAX);
            upload = self.upload_view(upload.id).await?;
        }
        match upload.state {
            UploadState::Complete => Ok(upload),
            // The answer to completing it says why it failed or was given up.
            _ => self.complete_upload(upload.id).await,
        }
    }
}

/// An upload under way.
struct Sending<'a> {
    client: &'a Client,
    upload: &'a Upload,
    file: &'a Path,
    total: Total,
    /// The object store could not be used directly: the rest goes through the server.
    past_store: AtomicBool,
}

/// Where a part is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the object store, past the server.
    Store,
    /// To the server, which passes it on.
    Server,
}

/// Whether the server refuses, or the file cannot be read: another way would not help.
fn is_our_own(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => problem.status < 500,
        ClientError::File { .. } => true,
        _ => false,
    }
}

/// Whether the same may work when it is tried once more. A store that is not reached is left at once.
fn is_worth_another(error: &ClientError, way: Way) -> bool {
    match error {
        ClientError::Damaged { .. } => true,
        ClientError::Stalled { .. } => way == Way::Server,
        ClientError::Unreachable { source, .. } if way == Way::Store && source.is_connect() => false,
        other => may_repeat(other, Repeat::Idempotent),
    }
}

impl Sending<'_> {
    async fn send_missing(&self) -> Result<(), ClientError> {
        self.total.add(self.upload.bytes_received);
        let there: std::collections::HashSet<u32> = self.upload.parts.iter().map(|part| part.number).collect();
        let missing = (1..=self.upload.parts_total).filter(|number| !there.contains(number));
        stream::iter(missing)
            .map(|number| self.send(number))
            .buffer_unordered(PARTS_AT_ONCE)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await
    }

    async fn send(&self, number: u32) -> Result<(), ClientError> {
        if self.upload.direct && !self.past_store.load(Ordering::Relaxed) {
            match self.send_repeatedly(number, Way::Store).await {
                // The server takes parts in any case; what it refuses itself, or this side cannot read, it is not asked.
                Err(error) if !is_our_own(&error) => self.past_store.store(true, Ordering::Relaxed),
                sent => return sent,
            }
        }
        self.send_repeatedly(number, Way::Server).await
    }

    async fn send_repeatedly(&self, number: u32, way: Way) -> Result<(), ClientError> {
        let mut attempt = 0;
        loop {
            let meter = Meter::new(&Progress::none());
            let sent = tokio::select! {
                sent = self.send_once(number, way, &meter) => sent,
                stalled = meter.stalled() => Err(stalled.into()),
            };
            let Err(failure) = sent else { return Ok(()) };
            self.total.take_back(meter.done_bytes());
            attempt += 1;
            if attempt >= self.client.retry.attempts || !is_worth_another(&failure.error, way) {
                return Err(failure.error);
            }
            self.client.wait(attempt - 1, failure.retry_after).await;
        }
    }

    async fn send_once(&self, number: u32, way: Way, meter: &Meter) -> Result<(), Failure> {
        match way {
            Way::Store => self.send_directly(number, meter).await,
            Way::Server => self.send_to_server(number, meter).await,
        }
    }

    async fn send_directly(&self, number: u32, meter: &Meter) -> Result<(), Failure> {
        let place = self.client.part_url(self.upload.id, number).await?;
        let url: Url = place.url.parse().map_err(|_| ClientError::RedirectWithoutTarget)?;
        super::server_url::require_safe_transport(&url).map_err(ClientError::Redirect)?;
        // No credential goes there: the address is one. Nor does what vouches for the server vouch for it.
        let request = self.client.http_for(&url).put(url);
        let (answer, _) = self.put(request, number, meter).await?;
        // What answers without a usable one is no object store: some page on the way says 200 to everything.
        let etag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let done = PartDone { etag };
        if !done.is_usable() {
            return Err(unexpected(answer).await.into());
        }
        self.client.part_done(self.upload.id, number, &done).await?;
        Ok(())
    }

    async fn send_to_server(&self, number: u32, meter: &Meter) -> Result<(), Failure> {
        let url = self.client.api_url(&["uploads", &self.upload.id.to_string(), "parts", &number.to_string()]);
        let (answer, sent) = self.put(self.client.authorise(self.client.http.put(url.clone())), number, meter).await?;
        let body = answer.bytes().await.map_err(|source| unreachable(&url, source))?;
        let part: UploadPart = decode(&body)?;
        match part.sha256 {
            Some(got) if got != sent => {
                let (expected_bytes, got_bytes) = (self.part_bytes(number), part.size_bytes);
                Err(ClientError::Damaged { expected_bytes, expected: sent, got_bytes, got }.into())
            }
            _ => Ok(()),
        }
    }

    /// Sends the bytes of a part. Gives the answer and the digest of what was sent.
    async fn put(
        &self,
        request: RequestBuilder,
        number: u32,
        meter: &Meter,
    ) -> Result<(Response, Sha256Digest), Failure> {
        let in_file = |source| ClientError::File { path: self.file.display().to_string(), source };
        let size_bytes = self.part_bytes(number);
        let mut handle = tokio::fs::File::open(self.file).await.map_err(in_file)?;
        let start = u64::from(number - 1) * self.upload.part_size_bytes;
        handle.seek(std::io::SeekFrom::Start(start)).await.map_err(in_file)?;
        let (meter, total) = (meter.clone(), self.total.clone());
        let hash = Arc::new(Mutex::new(Hasher::new()));
        let hashing = Arc::clone(&hash);
        let chunks = ReaderStream::with_capacity(handle.take(size_bytes), CHUNK_BYTES).inspect_ok(move |chunk| {
            meter.add(chunk.len());
            total.add(chunk.len() as u64);
            hashing.lock().unwrap_or_else(PoisonError::into_inner).update(chunk);
        });
        let request = request.header(CONTENT_LENGTH, size_bytes).header(CONTENT_TYPE, "application/octet-stream");
        let (client, request) = request.body(Body::wrap_stream(chunks)).build_split();
        let request = request.map_err(ClientError::Setup)?;
        let url = request.url().clone();
        let answer = client.execute(request).await.map_err(|source| unreachable(&url, source))?;
        let answer = require_success(answer).await?;
        let sent = hash.lock().unwrap_or_else(PoisonError::into_inner).clone().finish();
        Ok((answer, sent))
    }

    fn part_bytes(&self, number: u32) -> u64 {
        let start = u64::from(number - 1) * self.upload.part_size_bytes;
        self.upload.size_bytes.saturating_sub(start).min(self.upload.part_size_bytes)
    }
}
