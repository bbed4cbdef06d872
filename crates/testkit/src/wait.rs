//! Waiting for a condition, not for a time.

use std::time::{Duration, Instant};

/// Nothing that works takes longer, on any machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(15);

/// Looks again and again until there is an answer.
///
/// # Panics
/// When there is none before [`DEADLINE`]; `what` says for what it waited.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    until(what, async || look().await.ok_or("nothing")).await
}

/// Looks again and again until what is seen is what is waited for; anything else is shown when it is too late.
pub(crate) async fn until<T, S: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> Result<T, S>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(answer) => return answer,
            Err(seen) if begun.elapsed() > DEADLINE => {
                panic!("waited {} s for {what}; there is {seen:#?}", DEADLINE.as_secs())
            }
            Err(_) => tokio::time::sleep(INTERVAL).await,
        }
    }
}
