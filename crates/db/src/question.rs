//! Questions about a whole fleet: lists, counts and previews by what people wrote. Their cost is the writers', so they
//! have few connections of their own, which nothing else waits for, and an end.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, Database, Postgres, SqliteConnection};
use tokio::runtime::Handle;

/// Questions that are answered at the same time.
pub(crate) const QUESTIONS_MAX: u32 = 4;

/// How long one waits for its turn.
pub(crate) const QUESTION_WAIT: Duration = Duration::from_secs(5);

/// How long all statements of a question may take. Together with the waits it is less than a request may take, so that
/// whoever asked hears why there is no answer.
pub const QUESTION_TIME: Duration = Duration::from_secs(15);

/// How long an unused connection is kept.
pub(crate) const QUESTION_IDLE: Duration = Duration::from_mins(1);

/// Steps of `SQLite`'s machine between two looks at the clock: some tenths of a millisecond.
const STEPS: i32 = 10_000;

/// The least that `PostgreSQL` gives a statement: what sets the time for the next question runs under it, too.
const TIME_MIN: Duration = Duration::from_millis(100);

/// The right to ask one question, in as many statements as it takes.
#[derive(Clone)]
pub struct Turn {
    _place: Arc<dyn Any + Send + Sync>,
    end: Instant,
}

impl Turn {
    /// A question that may take `time` from now on. `place` is kept until the database does nothing for it any more, also
    /// when whoever asked is gone before.
    pub fn new(place: impl Any + Send + Sync, time: Duration) -> Self {
        Self { _place: Arc::new(place), end: Instant::now() + time }
    }
}

/// A connection that works for a question. A server goes on with a statement when whoever asked is gone: only afterwards
/// the turn ends, too.
pub struct Held<D: Database> {
    pub(crate) connection: PoolConnection<D>,
    turn: Turn,
}

impl Held<Postgres> {
    /// Lets each statement work until the turn's end.
    pub(crate) async fn new(mut connection: PoolConnection<Postgres>, turn: &Turn) -> Result<Self, sqlx::Error> {
        let left = turn.end.saturating_duration_since(Instant::now()).max(TIME_MIN);
        let sql = format!("SET statement_timeout = {}", left.as_millis());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
        Ok(Self { connection, turn: turn.clone() })
    }
}

impl<D: Database> Drop for Held<D> {
    fn drop(&mut self) {
        // Without a runtime this process ends, and its connections with it.
        let Ok(runtime) = Handle::try_current() else { return };
        let (back, turn) = (self.connection.return_to_pool(), self.turn.clone());
        runtime.spawn(async move {
            back.await;
            drop(turn);
        });
    }
}

/// Ends what still runs on a connection when whoever asked is gone.
///
/// From then on the connection refuses all work, until it is taken for the next question.
pub struct Asker(Arc<AtomicBool>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets the connection work until the turn's end and as long as the [`Asker`] is there.
pub(crate) async fn limit(connection: &mut SqliteConnection, turn: &Turn) -> Result<Asker, sqlx::Error> {
    let asker = Asker(Arc::default());
    let (end, is_gone) = (turn.end, Arc::clone(&asker.0));
    let mut handle = connection.lock_handle().await?;
    handle.set_progress_handler(STEPS, move || !is_gone.load(Ordering::Relaxed) && Instant::now() < end);
    Ok(asker)
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::is_out_of_time;

    /// Goes on until somebody ends it.
    const ENDLESS: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n";

    #[tokio::test]
    async fn a_question_that_takes_too_long_is_ended() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let asker = limit(&mut connection, &Turn::new((), Duration::ZERO)).await.unwrap();
        let error = sqlx::query(ENDLESS).execute(&mut connection).await.unwrap_err();
        assert!(is_out_of_time(&error), "{error}");
        drop(asker);
        let _asker = limit(&mut connection, &Turn::new((), QUESTION_TIME)).await.unwrap();
        sqlx::query("SELECT 1").execute(&mut connection).await.expect("the next question has time of its own");
    }

    #[tokio::test]
    async fn a_question_ends_when_nobody_waits_for_the_answer() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let asker = limit(&mut connection, &Turn::new((), Duration::from_hours(1))).await.unwrap();
        {
            let question = sqlx::query(ENDLESS).execute(&mut connection);
            let given_up = tokio::time::timeout(Duration::from_millis(1), question).await;
            assert!(given_up.is_err());
        }
        drop(asker);
        connection.ping().await.expect("the connection is free again, or this would wait for ever");
    }
}
