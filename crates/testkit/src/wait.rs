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
    let begun = Instant::now();
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {} s for {what}", DEADLINE.as_secs());
        tokio::time::sleep(INTERVAL).await;
    }
}
