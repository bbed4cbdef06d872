//! One call: its attempts, the waits between them, and what an answer means.

use std::time::Duration;

use drover_api::Problem;
use drover_trust::is_untrusted;
use drover_types::Backoff;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use url::Url;

use super::{Client, ClientError};

/// No single call, list pages included, takes longer.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// A page of 500 firmware with full metadata stays far below.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;
const MAX_EXCERPT_CHARS: usize = 200;
/// A server that asks for more patience than this gets an error instead.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// How often a call is tried, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The waits between them.
    pub backoff: Backoff,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        let backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(5) };
        Self { attempts: 5, backoff }
    }
}

/// When a failed attempt may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Doing it twice is the same as doing it once: after any failure of the connection.
    Idempotent,
    /// Only when the server certainly did nothing: no connection, or 503.
    Unsent,
}

/// A call before its first attempt.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) repeat: Repeat,
}

/// A whole answer that says that the call succeeded.
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

impl Client {
    /// Tries until there is an answer, or until the attempts are used up.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, ClientError> {
        let mut attempt = 0;
        loop {
            let failure = match self.attempt(call).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            attempt += 1;
            if attempt >= self.retry.attempts || !may_repeat(&failure.error, call.repeat) {
                return Err(failure.error);
            }
            self.wait(attempt - 1, failure.retry_after).await;
        }
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, Failure> {
        let mut request = self.http.request(call.method.clone(), call.url.clone()).timeout(CALL_TIMEOUT);
        request = self.authorise(request);
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
        }
        let response = request.send().await.map_err(|source| unreachable(&call.url, source))?;
        let response = require_success(response).await?;
        let body = read_body(response).await?;
        Ok(Answer { body })
    }

    /// Adds the credential, and the tenant to work in. The value is marked as sensitive, so that no log shows it.
    pub(crate) fn authorise(&self, request: RequestBuilder) -> RequestBuilder {
        let request = match self.tenant {
            Some(tenant) => request.header("drover-tenant", tenant.to_string()),
            None => request,
        };
        let Some(token) = &self.token else { return request };
        match HeaderValue::from_str(&format!("Bearer {token}")) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value)
            }
            // A token with bytes that no header can carry was never issued: the server answers 401.
            Err(_) => request,
        }
    }

    /// Waits before the next attempt: as long as the server asked for, or by the backoff.
    pub(crate) async fn wait(&self, retry: u32, retry_after: Option<Duration>) {
        let delay = retry_after.unwrap_or_else(|| self.retry.backoff.delay(retry, self.random_share()));
        tokio::time::sleep(delay).await;
    }

    /// Uniform in `0.0..1.0`.
    fn random_share(&self) -> f64 {
        let [high, ..] = (self.random)().to_be_bytes();
        f64::from(high) / 256.0
    }
}

/// A failed attempt.
pub(crate) struct Failure {
    pub(crate) error: ClientError,
    pub(crate) retry_after: Option<Duration>,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { error, retry_after: None }
    }
}

pub(crate) fn unreachable(url: &Url, source: reqwest::Error) -> ClientError {
    ClientError::Unreachable { origin: url.origin().ascii_serialization(), source: source.without_url() }
}

pub(crate) fn may_repeat(error: &ClientError, repeat: Repeat) -> bool {
    match error {
        ClientError::Unreachable { source, .. } if is_untrusted(source) => false,
        ClientError::Unreachable { source, .. } => repeat == Repeat::Idempotent || source.is_connect(),
        ClientError::Stalled { .. } => repeat == Repeat::Idempotent,
        ClientError::Problem(problem) => problem.status == 503,
        ClientError::Unexpected { status, .. } => *status == 503,
        _ => false,
    }
}

/// Passes answers of success on; turns all others into the error that they tell.
pub(crate) async fn require_success(response: Response) -> Result<Response, Failure> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let retry_after = retry_after(status, response.headers());
    let origin = response.url().origin().ascii_serialization();
    let body = read_body(response).await?;
    let error = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ClientError::Problem(Box::new(problem)),
        Err(_) => ClientError::Unexpected { origin, status: status.as_u16(), excerpt: excerpt(&body) },
    };
    Err(Failure { error, retry_after })
}

/// An answer of success that nobody here understands.
pub(crate) async fn unexpected(response: Response) -> ClientError {
    let (origin, status) = (response.url().origin().ascii_serialization(), response.status().as_u16());
    match read_body(response).await {
        Ok(body) => ClientError::Unexpected { origin, status, excerpt: excerpt(&body) },
        Err(error) => error,
    }
}

fn retry_after(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    (status == StatusCode::SERVICE_UNAVAILABLE).then(|| Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(bytes) = chunk.map_err(|source| unreachable(response.url(), source))? else { return Ok(body) };
        if body.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(ClientError::BodyTooLarge { limit_bytes: MAX_BODY_BYTES });
        }
        body.extend_from_slice(&bytes);
    }
}

/// The start of a body that is not ours, safe to print.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MAX_EXCERPT_CHARS)]);
    text.chars().filter(|c| !c.is_control()).take(MAX_EXCERPT_CHARS).collect()
}
