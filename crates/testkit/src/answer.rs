//! Answers as they come over the wire.

use drover_api::Problem;
use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header as text; empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in the answer {}: {}", self.status, self.text()))
    }

    /// The problem that the answer tells of: its status, its code, and the form that every error has.
    pub fn problem(&self, status: u16, code: &str) -> Problem {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text());
        let problem: Problem = self.json();
        assert_eq!(problem.type_uri, format!("urn:drover:problem:{code}"), "{}", self.text());
        assert_eq!(problem.status, status, "the body and the status line say the same");
        assert!(problem.detail.as_ref().is_some_and(|detail| !detail.is_empty()), "{}", self.text());
        assert_eq!(problem.request_id.as_deref(), Some(self.header("x-request-id")));
        problem
    }
}

/// Sends a request and reads the whole answer.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.expect("the server answers");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.bytes().await.expect("the answer arrives whole").to_vec();
    Answer { status, headers, body }
}

/// Sends a request that is to be refused with this status and code.
pub async fn refused(request: reqwest::RequestBuilder, status: u16, code: &str) -> Problem {
    answer(request).await.problem(status, code)
}
