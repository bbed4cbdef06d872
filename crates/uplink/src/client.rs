//! Calls to the server's device API.

use std::time::Duration;

use drover_protocol::{
    CHECK_PATH, CheckReply, HEARTBEAT_PATH, Heartbeat, HeartbeatReply, POLL_INTERVAL_HEADER, REGISTER_PATH,
    RegisterReply, RegisterRequest, ReportReply, STATUS_PATH, StatusReport, VALIDATION_PATH, ValidationReport,
};
use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::failed;
use crate::{AddressError, CallError, Network, server_address};

/// No reply of the server is longer, in bytes.
const MAX_REPLY_BYTES: usize = 1024 * 1024;
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The server's device API with one credential: an enrolment token for [`Client::register`], the device's token for
/// everything else. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `base`.
    pub fn new(network: impl Into<Network>, base: &str, token: &str) -> Result<Self, AddressError> {
        let base = server_address(base)?;
        Ok(Self { http: network.into().client_for(&base).clone(), base, token: token.to_owned() })
    }

    /// Introduces the device; the credential is an enrolment token.
    pub async fn register(&self, request: &RegisterRequest) -> Result<RegisterReply, CallError> {
        self.post(REGISTER_PATH, request).await
    }

    /// Asks for work.
    pub async fn check(&self) -> Result<CheckReply, CallError> {
        Ok(self.check_since(None).await?.0)
    }

    /// Asks for work, with what the last check gave when it held no offer: as long as that holds, the server only says
    /// so. With the reply comes what to ask with next.
    pub async fn check_since(&self, last: Option<&Nothing>) -> Result<(CheckReply, Option<Nothing>), CallError> {
        let mut request = self.request(Method::GET, CHECK_PATH);
        if let Some(last) = last {
            request = request.header(IF_NONE_MATCH, last.tag.clone());
        }
        let Raw { status, headers, body } = send(CHECK_PATH, request).await?;
        let reply = match last {
            Some(last) if status == StatusCode::NOT_MODIFIED => CheckReply {
                offer: None,
                poll_interval_ms: poll_interval_ms(&headers).unwrap_or(last.poll_interval_ms),
            },
            _ => read(CHECK_PATH, status, &headers, &body)?,
        };
        // An offer's addresses are new each time: there is nothing to compare.
        let tag = headers.get(ETAG).filter(|_| reply.offer.is_none());
        let nothing = tag.map(|tag| Nothing { tag: tag.clone(), poll_interval_ms: reply.poll_interval_ms });
        Ok((reply, nothing))
    }

    /// Reports how an update is going.
    pub async fn status(&self, report: &StatusReport) -> Result<ReportReply, CallError> {
        self.post(STATUS_PATH, report).await
    }

    /// Reports how an update ended after its self-test.
    pub async fn validation(&self, report: &ValidationReport) -> Result<ReportReply, CallError> {
        self.post(VALIDATION_PATH, report).await
    }

    /// Says that the device lives and what it runs.
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatReply, CallError> {
        self.post(HEARTBEAT_PATH, heartbeat).await
    }

    async fn post<B: Serialize, R: DeserializeOwned>(&self, path: &'static str, body: &B) -> Result<R, CallError> {
        self.call(path, self.request(Method::POST, path).json(body)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        // The server may live below a path of its own.
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        self.http.request(method, url).timeout(CALL_TIMEOUT).bearer_auth(&self.token)
    }

    async fn call<R: DeserializeOwned>(&self, path: &'static str, request: RequestBuilder) -> Result<R, CallError> {
        let Raw { status, headers, body } = send(path, request).await?;
        read(path, status, &headers, &body)
    }
}

/// An answer to a check that held no offer.
#[derive(Debug, Clone)]
pub struct Nothing {
    tag: HeaderValue,
    poll_interval_ms: u64,
}

/// An answer as it came.
struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

async fn send(path: &'static str, request: RequestBuilder) -> Result<Raw, CallError> {
    let response = request.send().await.map_err(|source| transport(path, source))?;
    let (status, headers) = (response.status(), response.headers().clone());
    Ok(Raw { status, headers, body: read_body(path, response).await? })
}

fn read<R: DeserializeOwned>(
    path: &'static str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<R, CallError> {
    if status.is_success() {
        return serde_json::from_slice(body).map_err(|error| CallError::Unreadable { path, what: error.to_string() });
    }
    Err(failed(path, status, headers, body))
}

fn poll_interval_ms(headers: &HeaderMap) -> Option<u64> {
    headers.get(POLL_INTERVAL_HEADER)?.to_str().ok()?.parse().ok()
}

fn transport(path: &'static str, source: reqwest::Error) -> CallError {
    CallError::Transport { path, source: source.without_url() }
}

async fn read_body(path: &'static str, mut response: Response) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| transport(path, source))? {
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Err(CallError::Unreadable { path, what: format!("it is longer than {MAX_REPLY_BYTES} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
