//! Waiting for conditions.

use std::time::{Duration, Instant};

/// Nothing takes this long on a machine that works, however busy it is.
const PATIENCE: Duration = Duration::from_secs(90);

/// Looks every 2 ms until there is an answer.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = look().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
