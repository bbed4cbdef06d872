//! Objects in a bucket.
//!
//! `[prefix/]t/<tenant>/sha256/<ab>/<hex>` are the objects, `[prefix/]tmp/` holds long uploads whose digest is not
//! known yet, `[prefix/]uploads/` those that come in parts. S3 shows an object only when its upload is complete, so a name always has its whole content.

mod client;
mod copy;
mod multipart;
mod put;
mod signed;
mod staging;

use std::ops::Range;
use std::time::Duration;

use drover_types::{TenantId, Timestamp};
use futures::StreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use object_store::{GetOptions, GetRange, ObjectStoreExt, PutPayload};

use crate::error::BoxError;
use crate::file::inside;
use crate::location::S3Location;
use crate::{
    BlobInfo, BlobStore, ByteStream, CheckError, DeleteError, ExpectedContent, GetError, ObjectKey, PresignError,
    PresignMethod, PresignedUrl, PutError, S3Credentials, StoredBlob, attachment, file_name, random, ttl,
};
use copy::COPY_LIMIT_BYTES;

/// How long a readiness check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// A bucket, or the part of it under a prefix.
pub(crate) struct S3Store {
    client: AmazonS3,
    /// Signs URLs with the address that devices use.
    public_client: AmazonS3,
    /// Sends what the client does not know how to.
    http: reqwest::Client,
    prefix: String,
    /// The longest object that S3 copies in one request.
    copy_limit_bytes: u64,
    /// How long S3 may keep a part waiting that passes through here.
    silence_max: Duration,
}

impl S3Store {
    pub(crate) fn new(location: &S3Location, credentials: &S3Credentials) -> Result<Self, BoxError> {
        let http = client::plain()?;
        let client = client::build(location, location.endpoint.as_deref(), credentials)?;
        let public_endpoint = location.public_endpoint.as_deref().or(location.endpoint.as_deref());
        let public_client = client::build(location, public_endpoint, credentials)?;
        let (prefix, silence_max) = (location.prefix.clone(), client::READ_TIMEOUT);
        Ok(Self { client, public_client, http, prefix, copy_limit_bytes: COPY_LIMIT_BYTES, silence_max })
    }

    fn path(&self, key: &ObjectKey) -> Path {
        self.below_prefix(&key.to_string())
    }

    fn temporary_path(&self) -> std::io::Result<Path> {
        Ok(self.below_prefix(&format!("tmp/{}", random::token()?)))
    }

    /// All names are of `[A-Za-z0-9._/-]`, which stand for themselves in a path.
    fn below_prefix(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    /// The object's size, or none when it is not there.
    async fn size_bytes(&self, path: &Path) -> object_store::Result<Option<u64>> {
        match self.client.head(path).await {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what may not be there.
    async fn remove(&self, path: &Path) -> object_store::Result<()> {
        match self.client.delete(path).await {
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            removed => removed,
        }
    }

    /// Writes and removes a small object.
    async fn probe(&self) -> object_store::Result<()> {
        let generic = |source: std::io::Error| object_store::Error::Generic { store: "S3", source: source.into() };
        let path = self.temporary_path().map_err(generic)?;
        self.client.put(&path, PutPayload::from_static(b"drover")).await?;
        self.remove(&path).await
    }
}

#[async_trait::async_trait]
impl BlobStore for S3Store {
    async fn put(
        &self,
        tenant: TenantId,
        expected: Option<&ExpectedContent>,
        max_bytes: u64,
        body: ByteStream,
    ) -> Result<StoredBlob, PutError> {
        self.store(tenant, expected, max_bytes, body).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<BlobInfo, GetError> {
        let found = self.size_bytes(&self.path(key)).await;
        let size = found.map_err(|source| unreadable("look up the object", source))?;
        let size_bytes = size.ok_or(GetError::NotFound { key: *key })?;
        Ok(BlobInfo { size_bytes, etag: key.etag() })
    }

    async fn get(&self, key: &ObjectKey, range: Option<Range<u64>>) -> Result<ByteStream, GetError> {
        let mut options = GetOptions::default();
        if range.is_some() {
            // Asked first: S3 shortens a range that goes beyond the end without a word.
            let wanted = inside(range, self.head(key).await?.size_bytes)?;
            options.range = Some(GetRange::Bounded(wanted));
        }
        let answer = object_store::ObjectStore::get_opts(&self.client, &self.path(key), options).await;
        let found = answer.map_err(|error| match error {
            object_store::Error::NotFound { .. } => GetError::NotFound { key: *key },
            other => unreadable("read the object", other),
        })?;
        Ok(Box::pin(found.into_stream().map(|chunk| chunk.map_err(std::io::Error::other))))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), DeleteError> {
        let removed = self.remove(&self.path(key)).await;
        removed.map_err(|source| DeleteError { key: *key, source: source.into() })
    }

    async fn presign(
        &self,
        method: PresignMethod,
        key: &ObjectKey,
        ttl: Duration,
        now: Timestamp,
        file_name: Option<&str>,
    ) -> Result<PresignedUrl, PresignError> {
        file_name.map_or(Ok(()), file_name::check)?;
        let seconds = ttl::seconds(ttl)?;
        let disposition = file_name.map(|name| ("response-content-disposition", attachment(name)));
        let options = SignedUrlOptions::default().with_query(disposition);
        let method = match method {
            PresignMethod::Get => Method::GET,
            PresignMethod::Head => Method::HEAD,
        };
        let lifetime = Duration::from_secs(seconds);
        let signed = self.public_client.signed_url_opts(method, &self.path(key), lifetime, &options).await;
        let url = signed.map_err(|source| PresignError::Unavailable { source: source.into() })?;
        Ok(PresignedUrl { url: url.into(), expires_at: ttl::expiry(now, seconds) })
    }

    async fn check(&self) -> Result<(), CheckError> {
        let answer = tokio::time::timeout(CHECK_TIMEOUT, self.probe()).await;
        let probed = answer.map_err(|_| CheckError::Timeout { limit: CHECK_TIMEOUT })?;
        probed.map_err(|source| CheckError::Unavailable { source: source.into() })
    }
}

fn unreadable(action: &'static str, source: object_store::Error) -> GetError {
    GetError::Unavailable { action, source: source.into() }
}

fn unwritable(action: &'static str) -> impl FnOnce(object_store::Error) -> PutError {
    move |source| PutError::Unavailable { action, source: source.into() }
}

#[cfg(test)]
mod tests;
