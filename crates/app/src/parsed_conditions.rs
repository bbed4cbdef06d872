//! Conditions that were parsed before.
//!
//! To parse one takes milliseconds and a deep stack, and the same few texts come with every offer. So what was parsed is
//! kept by its text, which says all that it depends on; and a text that is new is parsed beside the threads that serve.

use std::sync::Arc;

use drover_rules::{Condition, ConditionError};
use drover_types::ErrorKind;
use moka::sync::Cache;
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// How much is kept, in bytes of text. What was parsed takes some ten times as much.
const KEPT_BYTES: u64 = 1 << 20;

/// What a short text counts at least: at most some 8 000 are kept.
const ENTRY_BYTES: u32 = 128;

/// Texts that are parsed at the same time. The others wait: it takes milliseconds.
const PARSERS: usize = 4;

/// A condition, or what its writer did wrong.
type Parsed = std::result::Result<Arc<Condition>, ConditionError>;

/// The conditions that this node uses.
pub(crate) struct ParsedConditions {
    by_text: Cache<String, Arc<Condition>>,
    parsers: Arc<Semaphore>,
}

impl Default for ParsedConditions {
    fn default() -> Self {
        Self::with_capacity(KEPT_BYTES)
    }
}

impl ParsedConditions {
    fn with_capacity(bytes: u64) -> Self {
        let weigh = |text: &String, _: &Arc<Condition>| u32::try_from(text.len()).unwrap_or(u32::MAX).max(ENTRY_BYTES);
        let by_text = Cache::builder().max_capacity(bytes).weigher(weigh).build();
        Self { by_text, parsers: Arc::new(Semaphore::new(PARSERS)) }
    }

    /// The condition with that text in CEL.
    pub(crate) async fn cel(&self, text: &str) -> Result<Parsed> {
        if let Some(condition) = self.by_text.get(text) {
            return Ok(Ok(condition));
        }
        let parsed = self.parse(text, Condition::parse).await?;
        if let Ok(condition) = &parsed {
            self.by_text.insert(text.to_owned(), Arc::clone(condition));
        }
        Ok(parsed)
    }

    /// The same for the spelling of RSQL, which only people use.
    pub(crate) async fn rsql(&self, text: &str) -> Result<Parsed> {
        self.parse(text, Condition::parse_rsql).await
    }

    async fn parse(
        &self,
        text: &str,
        parse: fn(&str) -> std::result::Result<Condition, ConditionError>,
    ) -> Result<Parsed> {
        let one_of_few = Arc::clone(&self.parsers).acquire_owned().await;
        let one_of_few = one_of_few.map_err(|error| Error::internal("read a condition", error))?;
        let text = text.to_owned();
        let parsed = tokio::task::spawn_blocking(move || {
            // Held here, not by the request: a request that is given up does not end what it began.
            let _one_of_few = one_of_few;
            parse(&text)
        });
        let parsed = parsed.await;
        Ok(parsed.map_err(|error| unavailable().with_source(error))?.map(Arc::new))
    }
}

fn unavailable() -> Error {
    let detail = "the server could not read the condition just now; send the request again";
    Error::new(ErrorKind::Unavailable, "condition_not_read", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn cel(parsed: &ParsedConditions, text: &str) -> Arc<Condition> {
        parsed.cel(text).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_text_is_parsed_once() {
        let parsed = ParsedConditions::default();
        let text = r#"device.attr.region == "eu""#;
        let first = cel(&parsed, text).await;
        assert!(Arc::ptr_eq(&first, &cel(&parsed, text).await));
        assert!(!Arc::ptr_eq(&first, &cel(&parsed, r#"device.attr.region == "us""#).await));
        // RSQL has texts of its own, which may be CEL, too.
        assert_eq!(*parsed.rsql("attribute.region==eu").await.unwrap().unwrap(), *first);
        assert!(parsed.rsql(text).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_each_time() {
        let parsed = ParsedConditions::default();
        for _ in 0..2 {
            assert!(parsed.cel("device.typ").await.unwrap().is_err());
        }
        parsed.by_text.run_pending_tasks();
        assert_eq!(parsed.by_text.entry_count(), 0);
    }

    #[tokio::test]
    async fn whoever_gives_up_gives_no_place_away_before_the_parse_ends() {
        static ALL_PARSE: std::sync::Barrier = std::sync::Barrier::new(PARSERS + 1);
        let parsed = Arc::new(ParsedConditions::default());
        let mut requests = Vec::new();
        for _ in 0..PARSERS {
            let parsed = Arc::clone(&parsed);
            requests.push(tokio::spawn(async move {
                let slowly = |text: &str| {
                    ALL_PARSE.wait();
                    Condition::parse(text)
                };
                drop(parsed.parse("true", slowly).await);
            }));
        }
        while parsed.parsers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        for request in requests {
            request.abort();
            assert!(request.await.unwrap_err().is_cancelled());
        }
        let free = parsed.parsers.available_permits();
        // Before anything is asserted: a runtime waits for its threads.
        ALL_PARSE.wait();
        assert_eq!(free, 0, "all of them were still being parsed");
        drop(parsed.parsers.acquire_many(u32::try_from(PARSERS).unwrap()).await.unwrap());
    }

    #[tokio::test]
    async fn no_more_is_kept_than_there_is_room_for() {
        let parsed = ParsedConditions::with_capacity(10 * u64::from(ENTRY_BYTES));
        for number in 0..40 {
            cel(&parsed, &format!("device.attr.x == {number}")).await;
        }
        parsed.by_text.run_pending_tasks();
        assert!((1..=10).contains(&parsed.by_text.entry_count()), "{}", parsed.by_text.entry_count());
    }
}
