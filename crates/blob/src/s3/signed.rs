//! Requests of S3 that its client does not know, sent to URLs that it signs.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use drover_types::Timestamp;
use futures::stream;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use reqwest::header::{CONTENT_LENGTH, ETAG};
use reqwest::{Body, Response};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::S3Store;
use super::client::READ_TIMEOUT;
use super::staging::part_query;
use crate::error::BoxError;
use crate::intake::Intake;
use crate::{ByteStream, ExpectedContent, PutError};

/// How long one of these URLs is good; they are used at once.
const URL_TTL: Duration = Duration::from_mins(10);
/// Pages of 1 000 unfinished uploads that are looked at.
const PAGES_MAX: usize = 20;
/// The start of an error's body that is kept.
const EXCERPT_BYTES: usize = 500;

impl S3Store {
    /// Sends one part while it arrives, however slowly: whoever reads the body limits its silence, here only S3's counts.
    /// Gives its entity tag, and what passed.
    pub(super) async fn send_part(
        &self,
        path: &Path,
        token: &str,
        number: u32,
        size_bytes: u64,
        body: ByteStream,
    ) -> Result<(String, ExpectedContent), PutError> {
        let failed = |source| PutError::Unavailable { action: "store the part", source };
        let url = self.client.signed_url_opts(Method::PUT, path, URL_TTL, &part_query(token, number)).await;
        let (intake, silence) = (Some(Intake::of_part(body, size_bytes)), Silence::begins());
        let passing = Passing { intake, failure: None, has_ended: false, silence: silence.clone() };
        let passing = Arc::new(Mutex::new(passing));
        let request = self.http.put(url.map_err(|source| failed(source.into()))?).header(CONTENT_LENGTH, size_bytes);
        let request = request.body(Body::wrap_stream(pass(Arc::clone(&passing))));
        let answer = tokio::select! {
            answer = async { require_success(request.send().await).await } => answer,
            () = silence.lasts(self.silence_max) => {
                let seconds = self.silence_max.as_secs();
                return Err(failed(format!("S3 neither took more of it nor answered for {seconds} s").into()));
            }
        };
        let mut passing = passing.lock().await;
        if let Some(failure) = passing.failure.take() {
            return Err(failure);
        }
        if passing.has_ended
            && let Some(intake) = passing.intake.take_if(|intake| intake.is_short())
        {
            return Err(intake.finish().err().unwrap_or_else(|| failed("the part was not read".into())));
        }
        let answer = answer.map_err(failed)?;
        let tag = answer.headers().get(ETAG).and_then(|value| value.to_str().ok());
        let tag = tag.ok_or_else(|| failed("the answer has no entity tag".into()))?.to_owned();
        let mut intake = passing.intake.take().ok_or_else(|| failed("the part was not read".into()))?;
        // Whoever sends waits for the end: it may not have been asked for yet.
        while intake.next().await?.is_some() {}
        Ok((tag, intake.finish()?))
    }

    /// Multipart uploads to keys that begin with `prefix` that were neither completed nor aborted.
    pub(super) async fn unfinished(&self, prefix: &str) -> Result<Vec<Unfinished>, BoxError> {
        let (mut found, mut marker) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let mut query = vec![("uploads", String::new()), ("prefix", prefix.to_owned())];
            if let Some((key, upload_id)) = marker.take() {
                query.extend([("key-marker", key), ("upload-id-marker", upload_id)]);
            }
            let options = SignedUrlOptions::default().with_query(query);
            let url = self.client.signed_url_opts(Method::GET, &Path::from(""), URL_TTL, &options).await?;
            let answer = require_success(self.http.get(url).timeout(READ_TIMEOUT).send().await).await?;
            let page: UnfinishedPage = quick_xml::de::from_str(&answer.text().await?)?;
            found.extend(page.uploads);
            if !page.is_truncated {
                break;
            }
            marker = page.next_key_marker.zip(page.next_upload_id_marker);
        }
        Ok(found)
    }

    pub(super) async fn abort(&self, unfinished: &Unfinished) -> object_store::Result<()> {
        let path = Path::from(unfinished.key.as_str());
        match self.client.abort_multipart(&path, &unfinished.upload_id).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            aborted => aborted,
        }
    }
}

/// A body on its way, and why it stopped.
struct Passing {
    intake: Option<Intake>,
    failure: Option<PutError>,
    has_ended: bool,
    silence: Silence,
}

/// Since when S3 is waited for; none while the body is.
#[derive(Clone)]
struct Silence(Arc<std::sync::Mutex<Option<Instant>>>);

impl Silence {
    fn begins() -> Self {
        Self(Arc::new(std::sync::Mutex::new(Some(Instant::now()))))
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// Ends when S3 was waited for so long at a stretch.
    async fn lasts(&self, limit: Duration) {
        loop {
            let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let end = since.unwrap_or_else(Instant::now) + limit;
            if since.is_some() && end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// The checked bytes of a part.
fn pass(passing: Arc<Mutex<Passing>>) -> impl futures::Stream<Item = std::io::Result<bytes::Bytes>> {
    stream::unfold(passing, |passing| async move {
        let mut guard = passing.lock().await;
        guard.silence.set(None);
        let next = guard.intake.as_mut()?.next().await;
        guard.silence.set(Some(Instant::now()));
        let chunk = match next {
            Ok(Some(chunk)) => Ok(chunk),
            Ok(None) => {
                guard.has_ended = true;
                return None;
            }
            Err(failure) => {
                guard.failure = Some(failure);
                Err(std::io::Error::other("the part broke off"))
            }
        };
        drop(guard);
        Some((chunk, passing))
    })
}

async fn require_success(answer: reqwest::Result<Response>) -> Result<Response, BoxError> {
    let answer = answer.map_err(reqwest::Error::without_url)?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let mut body = answer.text().await.unwrap_or_default();
    body.truncate(body.floor_char_boundary(EXCERPT_BYTES));
    Err(format!("S3 answered {status}: {body}").into())
}

/// A page of the list of unfinished multipart uploads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UnfinishedPage {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Unfinished>,
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

/// A multipart upload that was neither completed nor aborted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Unfinished {
    /// Its key, with the prefix.
    pub(super) key: String,
    upload_id: String,
    initiated: String,
}

impl Unfinished {
    /// When it was begun; none when the service does not say it in a form that is known.
    pub(super) fn started_at(&self) -> Option<Timestamp> {
        self.initiated.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_unfinished_uploads() {
        let text = "<?xml version=\"1.0\"?><ListMultipartUploadsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Bucket>b</Bucket><KeyMarker></KeyMarker><NextKeyMarker>a/b</NextKeyMarker>\
            <NextUploadIdMarker>x&amp;y</NextUploadIdMarker><IsTruncated>true</IsTruncated>\
            <Upload><Key>a/a</Key><UploadId>u&lt;1</UploadId><Initiated>2026-01-01T00:00:00.000Z</Initiated></Upload>\
            <Upload><Key>a/b</Key><UploadId>u2</UploadId><Initiated>long ago</Initiated></Upload>\
            </ListMultipartUploadsResult>";
        let page: UnfinishedPage = quick_xml::de::from_str(text).expect("it is understood");
        assert!(page.is_truncated);
        assert_eq!(page.next_upload_id_marker.as_deref(), Some("x&y"));
        assert_eq!(page.uploads[0].upload_id, "u<1");
        assert_eq!(page.uploads[0].started_at(), Some(Timestamp::from_micros(1_767_225_600_000_000)));
        assert_eq!(page.uploads[1].started_at(), None);
        let empty = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>";
        let page: UnfinishedPage = quick_xml::de::from_str(empty).expect("it is understood");
        assert!(page.uploads.is_empty());
    }
}
