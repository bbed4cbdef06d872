//! One request for what is still missing.

use std::time::Duration;

use drover_trust::is_untrusted;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_RANGE, LOCATION, RANGE};
use reqwest::{Response, StatusCode, Url};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use super::part::Part;
use super::{Download, DownloadError, MinRate};
use crate::{Network, server_address};

/// A presigned address may lead to another one so many times.
const MAX_REDIRECTS: usize = 3;

/// How one request ended.
pub(super) enum Fetched {
    /// All bytes are there.
    Whole,
    /// What is there does not fit what the server has.
    StartAgain,
}

/// What the head of a response means for the bytes that are there.
enum Head {
    Append,
    Replace,
    StartAgain,
}

pub(super) async fn fetch(
    network: &Network,
    request: &Download<'_>,
    min_rate: MinRate,
    part: &mut Part,
    progress: &mut (dyn FnMut(u64) + Send),
    cancel: &CancellationToken,
) -> Result<Fetched, DownloadError> {
    let response = tokio::select! {
        () = cancel.cancelled() => return Err(DownloadError::Cancelled),
        response = send(network, request, part) => response?,
    };
    match read_head(&response, part, request.size_bytes)? {
        Head::Append => {}
        Head::Replace => part.clear().await?,
        Head::StartAgain => return Ok(Fetched::StartAgain),
    }
    part.remember_etag(header(response.headers(), &ETAG))?;
    let received = tokio::select! {
        () = cancel.cancelled() => Err(DownloadError::Cancelled),
        received = receive(response, request, min_rate, part, progress) => received,
    };
    // The file may still be busy with the last bytes: what is told to be there has to be there.
    let flushed = part.flush().await;
    if matches!(received, Err(DownloadError::TooLong { .. })) {
        part.remove()?;
    }
    received.and(flushed).map(|()| Fetched::Whole)
}

/// Asks for what is missing and follows redirects by hand. There is nothing secret in the request to leak.
async fn send(network: &Network, request: &Download<'_>, part: &Part) -> Result<Response, DownloadError> {
    let mut url = server_address(request.url)?;
    for _ in 0..=MAX_REDIRECTS {
        let get = |http: &reqwest::Client| {
            let mut get = http.get(url.clone()).header(ACCEPT_ENCODING, "identity");
            if part.length() > 0 {
                get = get.header(RANGE, format!("bytes={}-", part.length()));
                if let Some(etag) = part.etag() {
                    get = get.header(IF_RANGE, etag);
                }
            }
            get
        };
        let response = match timeout(request.stall_timeout, network.send_elsewhere(&url, get)).await {
            Ok(Ok(response)) => response,
            Ok(Err(source)) if is_untrusted(&source) => {
                let origin = url.origin().ascii_serialization();
                return Err(DownloadError::Untrusted { origin, source: source.without_url() });
            }
            Ok(Err(source)) => return Err(transport(part, source)),
            Err(_) => return Err(stalled(request, part)),
        };
        if !response.status().is_redirection() {
            return Ok(response);
        }
        url = redirect_target(&url, &response)?;
    }
    Err(DownloadError::BadAnswer { what: format!("more than {MAX_REDIRECTS} redirects") })
}

fn redirect_target(from: &Url, response: &Response) -> Result<Url, DownloadError> {
    let location = header(response.headers(), &LOCATION);
    let target = location.and_then(|location| from.join(location).ok());
    let Some(target) = target else {
        return Err(DownloadError::BadAnswer { what: "a redirect without a usable address".to_owned() });
    };
    Ok(server_address(target.as_str())?)
}

fn read_head(response: &Response, part: &Part, expected_bytes: u64) -> Result<Head, DownloadError> {
    let status = response.status();
    let bad = |what: String| Err(DownloadError::BadAnswer { what });
    match status {
        StatusCode::OK => {
            if response.content_length().is_some_and(|length| length > expected_bytes) {
                part.remove()?;
                return Err(DownloadError::TooLong { expected_bytes });
            }
            Ok(Head::Replace)
        }
        StatusCode::PARTIAL_CONTENT if part.length() == 0 => bad("a part, when the whole was asked for".to_owned()),
        StatusCode::PARTIAL_CONTENT => {
            let etag = header(response.headers(), &ETAG);
            if part.etag().is_some() && etag.is_some() && part.etag() != etag {
                return Ok(Head::StartAgain);
            }
            match content_range(response.headers()) {
                Some((start, total)) if start == part.length() && total.is_none_or(|total| total == expected_bytes) => {
                    Ok(Head::Append)
                }
                _ => Ok(Head::StartAgain),
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE if part.length() > 0 => Ok(Head::StartAgain),
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(DownloadError::UrlExpired { status: status.as_u16() })
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(DownloadError::Unavailable { status: status.as_u16() })
        }
        _ if status.is_server_error() => Err(DownloadError::Unavailable { status: status.as_u16() }),
        _ => bad(format!("HTTP {}", status.as_u16())),
    }
}

/// `bytes 5-9/10` as (5, 10); the total may be unknown (`*`).
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let (range, total) = header(headers, &CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.parse().ok()?, total))
}

async fn receive(
    mut response: Response,
    request: &Download<'_>,
    min_rate: MinRate,
    part: &mut Part,
    progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), DownloadError> {
    let started = Instant::now();
    let start_length = part.length();
    let mut pace = Pace::new(min_rate);
    loop {
        let asked = Instant::now();
        let chunk = match timeout(request.stall_timeout.min(pace.left()), response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => break,
            Ok(Err(source)) => return Err(transport(part, source)),
            Err(_) if pace.left() < request.stall_timeout => return Err(too_slow(min_rate, part)),
            Err(_) => return Err(stalled(request, part)),
        };
        pace.count(chunk.len() as u64, asked.elapsed());
        if part.length() + chunk.len() as u64 > request.size_bytes {
            return Err(DownloadError::TooLong { expected_bytes: request.size_bytes });
        }
        part.append(&chunk).await?;
        progress(part.length());
        if let Some(rate) = request.throttle_bytes_per_s {
            tokio::time::sleep_until(started + time_for(part.length() - start_length, rate)).await;
        }
    }
    if part.length() < request.size_bytes {
        return Err(DownloadError::Truncated { received_bytes: part.length(), expected_bytes: request.size_bytes });
    }
    Ok(())
}

/// How long `bytes` take at `rate` bytes per second.
fn time_for(bytes: u64, rate: u64) -> Duration {
    let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

fn transport(part: &Part, source: reqwest::Error) -> DownloadError {
    // The address carries its authority in the query: it stays out of messages.
    DownloadError::Transport { received_bytes: part.length(), source: source.without_url() }
}

fn stalled(request: &Download<'_>, part: &Part) -> DownloadError {
    DownloadError::Stalled { received_bytes: part.length(), seconds: request.stall_timeout.as_secs() }
}

fn too_slow(min_rate: MinRate, part: &Part) -> DownloadError {
    DownloadError::Stalled { received_bytes: part.length(), seconds: min_rate.period.as_secs() }
}

fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
