//! What an answer without success means: a word of the server, or of something that stands in between.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use serde::Deserialize;

use crate::CallError;

/// No text of the server is shown at greater length, in characters.
const MAX_MESSAGE_CHARS: usize = 500;
/// Media type of a problem document (RFC 9457).
const PROBLEM_TYPE: &str = "application/problem+json";
/// Only a Drover server names its problems so.
const OUR_PROBLEMS: &str = "urn:drover:problem:";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    type_uri: String,
    title: String,
    detail: String,
}

/// Sorts an answer without success. Only a problem document of a Drover server is a refusal: the login page of a
/// network, a proxy that does not know the path or a firewall must not make the device throw a report away.
pub(crate) fn failed(path: &'static str, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> CallError {
    let problem = serde_json::from_slice::<Problem>(body).ok();
    let is_ours = problem.as_ref().is_some_and(|problem| problem.type_uri.starts_with(OUR_PROBLEMS));
    let message = message(problem, body);
    let asks_for_patience = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if !is_ours || !is_problem(headers.get(CONTENT_TYPE)) || !status.is_client_error() || asks_for_patience {
        return CallError::Unavailable { path, status: status.as_u16(), message, retry_after: retry_after(headers) };
    }
    match status {
        StatusCode::UNAUTHORIZED => CallError::Unauthenticated { path, message },
        _ => CallError::Refused { path, status: status.as_u16(), message },
    }
}

/// In seconds only: a device's clock may be years off.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

fn is_problem(content_type: Option<&HeaderValue>) -> bool {
    let text = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(PROBLEM_TYPE))
}

/// The text of a problem document, or the start of whatever came in its place.
fn message(problem: Option<Problem>, body: &[u8]) -> String {
    let text = match problem {
        Some(Problem { title, detail, .. }) if detail.is_empty() => title,
        Some(Problem { detail, .. }) => detail,
        None => String::from_utf8_lossy(body).into_owned(),
    };
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_MESSAGE_CHARS).collect();
    if one_line.trim().is_empty() { "no reason given".to_owned() } else { one_line.trim().to_owned() }
}
