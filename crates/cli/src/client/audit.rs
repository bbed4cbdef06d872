//! The audit log.

use drover_api::{AuditEntry, AuditExportQuery, AuditFilter, Page};
use serde::Deserialize;

use super::attempt::{Failure, Repeat, may_repeat, require_success, unreachable};
use super::json::decode;
use super::pages::with_query;
use super::transfer::STALL_TIMEOUT;
use super::{Client, ClientError};

/// An entry is far smaller: what is longer is no export of an audit log.
const LINE_MAX_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
struct Numbered {
    seq: u64,
}

impl Client {
    /// At most `at_most` entries, newest first.
    pub async fn audit(&self, filter: &AuditFilter, at_most: usize) -> Result<Page<AuditEntry>, ClientError> {
        self.list(&["audit"], filter, at_most).await
    }

    /// Gives each entry numbered above `after_seq` to `each`, oldest first, as the line of JSON that the server sent.
    /// Goes on where it was when the connection breaks. Returns the number of the last entry.
    pub async fn export_audit<E: From<ClientError>>(
        &self,
        after_seq: u64,
        mut each: impl FnMut(&str) -> Result<(), E>,
    ) -> Result<u64, E> {
        let (mut last, mut attempt) = (after_seq, 0);
        loop {
            let begun_at = last;
            let failure = match self.export_once(&mut last, &mut each).await? {
                Ok(()) => return Ok(last),
                Err(failure) => failure,
            };
            // Only attempts that brought nothing count.
            attempt = if last > begun_at { 1 } else { attempt + 1 };
            if attempt >= self.retry.attempts || !may_repeat(&failure.error, Repeat::Idempotent) {
                return Err(failure.error.into());
            }
            self.wait(attempt - 1, failure.retry_after).await;
        }
    }

    /// One attempt; the outer error is that of `each`.
    async fn export_once<E>(
        &self,
        last: &mut u64,
        each: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<Result<(), Failure>, E> {
        let mut response = match self.open_export(*last).await {
            Ok(response) => response,
            Err(failure) => return Ok(Err(failure)),
        };
        let mut buffer = Vec::new();
        loop {
            let chunk = match next_chunk(&mut response).await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error.into())),
            };
            buffer.extend_from_slice(&chunk);
            let mut begin = 0;
            while let Some(length) = buffer[begin..].iter().position(|byte| *byte == b'\n') {
                let (line, seq) = match numbered(&buffer[begin..begin + length]) {
                    Ok(line) => line,
                    Err(error) => return Ok(Err(error.into())),
                };
                each(line)?;
                *last = seq;
                begin += length + 1;
            }
            buffer.drain(..begin);
            if buffer.len() > LINE_MAX_BYTES {
                return Ok(Err(ClientError::EndlessList.into()));
            }
        }
    }

    async fn open_export(&self, after_seq: u64) -> Result<reqwest::Response, Failure> {
        let query = AuditExportQuery { after_seq: Some(after_seq) };
        let url = with_query(self.api_url(&["audit", "export"]), &query, &[])?;
        let sent = tokio::time::timeout(STALL_TIMEOUT, self.authorise(self.http.get(url.clone())).send()).await;
        let response = sent.map_err(|_| ClientError::Stalled { after: STALL_TIMEOUT })?;
        require_success(response.map_err(|source| unreachable(&url, source))?).await
    }
}

async fn next_chunk(response: &mut reqwest::Response) -> Result<Option<Vec<u8>>, ClientError> {
    let chunk = tokio::time::timeout(STALL_TIMEOUT, response.chunk()).await;
    let chunk = chunk.map_err(|_| ClientError::Stalled { after: STALL_TIMEOUT })?;
    let chunk = chunk.map_err(|source| unreachable(response.url(), source))?;
    Ok(chunk.map(Vec::from))
}

/// The line as text, and the number of its entry.
fn numbered(line: &[u8]) -> Result<(&str, u64), ClientError> {
    let Numbered { seq } = decode(line)?;
    Ok((std::str::from_utf8(line).unwrap_or_default(), seq))
}
