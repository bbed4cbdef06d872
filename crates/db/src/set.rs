//! Writes that are done for many callers by the same few statements.
//!
//! In a batch of [`Writer::write_batched`](crate::Writer::write_batched) each work has its statements to itself: the
//! commit is shared, the round trips are not. What half a million devices send at the same time is worth statements that
//! write many rows.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::batch::{self, BATCH_TIMEOUT, QUEUE_ITEMS_MAX};
use crate::{BatchError, BoxFuture, Db, Tx, is_out_of_time, is_retryable};

/// What is done for many items in one transaction: an outcome for each, in their order. An item whose outcome is an error
/// has changed nothing. An error of the whole takes everything back. If an item may be to blame, they are tried in smaller
/// sets, so that one which the database refuses does not hold up the others; when another transaction was in the way, all
/// are told to try again.
pub type SetWork<I, T, E> = for<'t> fn(&'t mut Tx, &'t [I]) -> BoxFuture<'t, Result<Vec<Result<T, E>>, sqlx::Error>>;

/// Failures in a row before those that are left fail, too: what ails all of them is not found by cutting.
const FAILURES_MAX: usize = 40;

/// The queue of one kind of work. Its task ends when this is dropped or [`SetWriter::close`] is called, after everything
/// that was accepted is answered.
pub struct SetWriter<I, T, E> {
    queue: mpsc::Sender<Waiting<I, T, E>>,
    stop: CancellationToken,
    task: TaskTracker,
}

/// An item and who waits for its outcome.
struct Waiting<I, T, E> {
    item: I,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<I, T, E> std::fmt::Debug for SetWriter<I, T, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SetWriter").field("queue_depth", &self.queue_depth()).finish_non_exhaustive()
    }
}

impl<I, T, E> SetWriter<I, T, E> {
    /// How many items wait, 0 to [`QUEUE_ITEMS_MAX`].
    pub fn queue_depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// Refuses further items and waits until those accepted are answered. Leaves the database open.
    pub async fn close(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}

impl<I, T, E> SetWriter<I, T, E>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
    E: From<sqlx::Error> + Send + 'static,
{
    /// Starts the queue's task on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(db: Db, work: SetWork<I, T, E>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE_ITEMS_MAX);
        let stop = CancellationToken::new();
        let task = TaskTracker::new();
        task.spawn(run(db, work, waiting, stop.clone()));
        task.close();
        Self { queue, stop, task }
    }

    /// Has the item done with others that come within a few milliseconds, at most
    /// [`BATCH_ITEMS_MAX`](crate::BATCH_ITEMS_MAX), and answers after the commit.
    ///
    /// When another transaction was in the way, or the database is gone, every caller of the set gets
    /// [`BatchError::Failed`]. A caller that goes away before its turn withdraws its item; later it is done all the same.
    /// When the queue is full this waits for a place.
    pub async fn write(&self, item: I) -> Result<T, E> {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Waiting { item, reply }).await.is_err() {
            return Err(sqlx::Error::from(BatchError::Stopped).into());
        }
        answer.await.unwrap_or_else(|_| Err(sqlx::Error::from(BatchError::Lost).into()))
    }
}

async fn run<I, T, E>(
    db: Db,
    work: SetWork<I, T, E>,
    mut queue: mpsc::Receiver<Waiting<I, T, E>>,
    stop: CancellationToken,
) where
    I: Sync,
    E: From<sqlx::Error>,
{
    while let Some(mut waiting) = batch::next(&mut queue, &stop).await {
        waiting.retain(|one| !one.reply.is_closed());
        let (items, replies): (Vec<I>, Vec<_>) = waiting.into_iter().map(|one| (one.item, one.reply)).unzip();
        if !items.is_empty() {
            write_and_answer(&db, work, &items, replies, BATCH_TIMEOUT).await;
        }
    }
}

type Replies<T, E> = Vec<oneshot::Sender<Result<T, E>>>;

/// Does the work for all items, or for ever smaller parts of them, in their order, and answers everybody. All of it may
/// take `limit`.
async fn write_and_answer<I, T, E: From<sqlx::Error>>(
    db: &Db,
    work: SetWork<I, T, E>,
    items: &[I],
    replies: Replies<T, E>,
    limit: Duration,
) {
    let deadline = Instant::now() + limit;
    let (mut parts, mut failures) = (VecDeque::from([(items, replies)]), 0);
    while let Some((items, mut replies)) = parts.pop_front() {
        let written = timeout_at(deadline, write(db, work, items)).await;
        let error = match written.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))) {
            Ok(outcomes) => {
                failures = 0;
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // The caller may have gone; what was committed stays.
                    let _ = reply.send(outcome);
                }
                continue;
            }
            Err(error) => error,
        };
        failures += 1;
        if failures == FAILURES_MAX || !may_be_one_items(&error) {
            tracing::warn!(%error, items = items.len(), "a set of writes failed");
            let rest = parts.into_iter().flat_map(|(_, replies)| replies);
            return fail(replies.into_iter().chain(rest), error);
        }
        if items.len() == 1 {
            let Some(reply) = replies.pop() else { continue };
            let _ = reply.send(Err(error.into()));
            continue;
        }
        let (first, second) = items.split_at(items.len() / 2);
        let behind = replies.split_off(first.len());
        parts.push_front((second, behind));
        parts.push_front((first, replies));
    }
}

/// All share the error.
fn fail<T, E: From<sqlx::Error>>(replies: impl Iterator<Item = oneshot::Sender<Result<T, E>>>, error: sqlx::Error) {
    let shared = BatchError::Failed(Arc::new(error));
    for reply in replies {
        let _ = reply.send(Err(sqlx::Error::from(shared.clone()).into()));
    }
}

/// Whether one item may be to blame, rather than the database or another transaction.
fn may_be_one_items(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => !is_retryable(error) && !is_out_of_time(error),
        sqlx::Error::Io(_) => matches!(BatchError::find(error), Some(BatchError::Panicked)),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}

/// One transaction for all of them.
async fn write<I, T, E>(db: &Db, work: SetWork<I, T, E>, items: &[I]) -> Result<Vec<Result<T, E>>, sqlx::Error> {
    let mut tx = db.begin().await?;
    let done = AssertUnwindSafe(async { work(&mut tx, items).await }).catch_unwind().await.unwrap_or_else(|_| {
        tracing::error!(items = items.len(), "a set of writes panicked and is rolled back");
        Err(BatchError::Panicked.into())
    });
    match done {
        Ok(outcomes) => {
            tx.commit().await?;
            Ok(outcomes)
        }
        Err(error) => {
            if let Err(rollback) = tx.rollback().await {
                tracing::debug!(error = %rollback, "rollback not confirmed");
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::on_both;

    type Answer = Result<i64, sqlx::Error>;

    /// Waits for ever where an item is 0.
    fn unless_zero<'t>(_: &'t mut Tx, items: &'t [i64]) -> BoxFuture<'t, Result<Vec<Answer>, sqlx::Error>> {
        Box::pin(async move {
            if items.contains(&0) {
                std::future::pending::<()>().await;
            }
            Ok(items.iter().copied().map(Ok).collect())
        })
    }

    async fn done(db: &Db, items: &[i64], limit: Duration) -> Vec<Answer> {
        let (replies, answers): (Vec<_>, Vec<_>) = items.iter().map(|_| oneshot::channel()).unzip();
        write_and_answer(db, unless_zero, items, replies, limit).await;
        let answers = futures::future::join_all(answers).await;
        answers.into_iter().map(|answer| answer.expect("everybody is answered")).collect()
    }

    on_both! {
        async fn a_set_that_hangs_is_given_up_and_the_next_one_goes_through(test: TestDb) {
            for answer in done(test.db(), &[1, 0, 2], Duration::from_millis(50)).await {
                let error = answer.unwrap_err();
                assert!(matches!(BatchError::find(&error), Some(BatchError::Failed(_))), "{error:?}");
            }
            let next = done(test.db(), &[3, 4], BATCH_TIMEOUT).await;
            assert_eq!(next.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [3, 4]);
        }
    }
}
