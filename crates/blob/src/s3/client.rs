//! The client of an S3 service.

use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ClientOptions, RetryConfig};

use crate::S3Credentials;
use crate::location::S3Location;

const DEFAULT_REGION: &str = "us-east-1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two reads of an answer. It runs from the start of a request, so what is sent has to pass in that time, too:
/// only requests whose body is in memory go with it.
pub(super) const READ_TIMEOUT: Duration = Duration::from_mins(2);
const MAX_RETRIES: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_mins(1);

/// A client for `endpoint` (none is Amazon's own). The crypto provider is aws-lc-rs, the only one compiled in.
pub(super) fn build(
    location: &S3Location,
    endpoint: Option<&str>,
    credentials: &S3Credentials,
) -> object_store::Result<AmazonS3> {
    let http = endpoint.is_some_and(|url| url.starts_with("http://"));
    let virtual_hosted = location.virtual_hosted.unwrap_or(endpoint.is_none());
    // No limit for a whole request: a large object on a slow line may take hours.
    let options = ClientOptions::new()
        .with_allow_http(http)
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_read_timeout(READ_TIMEOUT);
    let retry = RetryConfig { max_retries: MAX_RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_retry(retry)
        .with_bucket_name(&location.bucket)
        .with_region(location.region.as_deref().unwrap_or(DEFAULT_REGION))
        .with_virtual_hosted_style_request(virtual_hosted)
        // Objects are removed one by one, and not every service knows the bulk request.
        .with_disable_bulk_delete(true)
        .with_access_key_id(&credentials.access_key_id)
        .with_secret_access_key(&credentials.secret_access_key);
    if let Some(token) = &credentials.session_token {
        builder = builder.with_token(token);
    }
    if let Some(url) = endpoint {
        builder = builder.with_endpoint(endpoint_of(url, &location.bucket, virtual_hosted));
    }
    builder.build()
}

/// A client for URLs that are signed already. It follows no redirects: a signature is for one address. Each request has a
/// limit of its own.
pub(super) fn plain() -> reqwest::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    builder.connect_timeout(CONNECT_TIMEOUT).build()
}

/// With virtual hosts the bucket is part of the host name.
fn endpoint_of(url: &str, bucket: &str, virtual_hosted: bool) -> String {
    match url.split_once("://") {
        Some((scheme, host)) if virtual_hosted => format!("{scheme}://{bucket}.{host}"),
        _ => url.to_owned(),
    }
}
