//! Questions over HTTP.

use std::path::Path;
use std::time::Duration;

use drover_cli::{Client, ServerTrust};
use drover_types::Timestamp;

use super::finding::chain;

/// Nobody waits longer for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// A network client for small questions.
pub(crate) struct Probe {
    client: reqwest::Client,
    /// Takes any certificate.
    trusting: reqwest::Client,
}

/// A small answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// The other machine's clock; none when it does not say.
    pub(crate) date: Option<Timestamp>,
}

impl Probe {
    /// Trusts this system's authorities, and that of `own_authority` (PEM) when it is there.
    pub(crate) fn new(own_authority: &Path) -> Result<Self, String> {
        let failed = |error: reqwest::Error| chain(&error);
        let builder =
            || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).connect_timeout(TIMEOUT);
        let mut careful = builder();
        if let Ok(pem) = std::fs::read(own_authority) {
            careful = careful.add_root_certificate(reqwest::Certificate::from_pem(&pem).map_err(failed)?);
        }
        let client = careful.build().map_err(failed)?;
        let trusting = builder().danger_accept_invalid_certs(true).build().map_err(failed)?;
        Ok(Self { client, trusting })
    }

    /// Trusts whoever the operator named; the authorities of [`Probe::new`] when it was nobody.
    pub(crate) fn of_operator(self, trust: &ServerTrust) -> Result<Self, String> {
        if *trust == ServerTrust::System {
            return Ok(self);
        }
        let client = Client::http_trusting(trust).map_err(|error| chain(&error))?;
        Ok(Self { client, ..self })
    }

    /// What the address answers, or why there is no answer. The address itself is left out: it may be a secret.
    pub(crate) async fn get(&self, url: &str) -> Result<Answer, String> {
        Self::ask(&self.client, url).await
    }

    async fn ask(client: &reqwest::Client, url: &str) -> Result<Answer, String> {
        let failed = |error: reqwest::Error| chain(&error.without_url());
        let mut response = client.get(url).timeout(TIMEOUT).send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let date = response.headers().get("date").and_then(|date| parse_date(date.to_str().ok()?));
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_MAX_BYTES {
                return Err("the answer is far too long".to_owned());
            }
        }
        Ok(Answer { status, text: String::from_utf8_lossy(&bytes).into_owned(), date })
    }

    /// Whether a drover answers below this address.
    pub(crate) async fn is_drover(&self, base: &str) -> Result<(), String> {
        Self::speaks_like_drover(&self.client, base).await
    }

    /// The same for an address of this machine, which no certificate has to name: nothing is sent but the question.
    pub(crate) async fn is_drover_here(&self, base: &str) -> Result<(), String> {
        Self::speaks_like_drover(&self.trusting, base).await
    }

    async fn speaks_like_drover(client: &reqwest::Client, base: &str) -> Result<(), String> {
        let answer = Self::ask(client, &format!("{}/healthz", base.trim_end_matches('/'))).await?;
        match (answer.status, answer.text.as_str()) {
            (200, "ok\n") => Ok(()),
            (status, _) => Err(format!("it answers {status}, and not as drover does")),
        }
    }
}

/// `Sat, 21 Nov 2026 14:00:00 GMT`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        let date = parse_date("Sat, 21 Nov 2026 14:00:00 GMT").map(|time| time.to_string());
        assert_eq!(date.as_deref(), Some("2026-11-21T14:00:00Z"));
        assert_eq!(parse_date("yesterday"), None);
    }
}
