//! The queue of batched writes: many callers, one transaction.
//!
//! A disk makes some hundred single commits durable per second, but tens of thousands of rows in shared ones.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::{BatchError, BoxFuture, Db, Tx};

/// How long the first write of a batch waits for company.
pub const BATCH_WINDOW: Duration = Duration::from_millis(5);
/// The most writes in one transaction.
pub const BATCH_ITEMS_MAX: usize = 512;
/// How long a batch may take: a connection whose server is gone without a word would hold up all writes of devices
/// for as long as the network takes to notice.
pub(crate) const BATCH_TIMEOUT: Duration = Duration::from_secs(30);
/// The most writes that wait in the queue; further callers wait for a place.
pub const QUEUE_ITEMS_MAX: usize = 4096;

/// Batches are not nested: the savepoint of an item always has the same name.
const ITEM_SAVEPOINT: u32 = 0;

/// One queued write, its types hidden.
pub(crate) trait Item: Send {
    /// Whether nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool;
    /// Does the work once and keeps its outcome. False: its changes have to be rolled back.
    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool>;
    /// Replaces the outcome by a failure.
    fn fail(&mut self, error: sqlx::Error);
    /// Tells the caller the outcome, or `fault` if the work itself had not failed.
    fn answer(self: Box<Self>, fault: Option<BatchError>);
}

/// An [`Item`] with its types.
pub(crate) struct Queued<T, E, F> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Queued<T, E, F> {
    pub(crate) fn new(work: F, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self { work: Some(work), outcome: None, reply }
    }
}

impl<T, E, F> Item for Queued<T, E, F>
where
    T: Send,
    E: From<sqlx::Error> + Send,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run<'t>(&'t mut self, tx: &'t mut Tx) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            let Some(work) = self.work.take() else { return false };
            let outcome = AssertUnwindSafe(async { work(tx).await }).catch_unwind().await.unwrap_or_else(|_| {
                tracing::error!("a batched write panicked and is rolled back");
                Err(sqlx::Error::from(BatchError::Panicked).into())
            });
            self.outcome.insert(outcome).is_ok()
        })
    }

    fn fail(&mut self, error: sqlx::Error) {
        self.outcome = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>, fault: Option<BatchError>) {
        let answer = match (self.outcome, fault) {
            (Some(Err(own)), _) => Err(own),
            (_, Some(fault)) => Err(sqlx::Error::from(fault).into()),
            (Some(Ok(value)), None) => Ok(value),
            (None, None) => Err(sqlx::Error::from(BatchError::Lost).into()),
        };
        // The caller may have gone; what was committed stays.
        let _ = self.reply.send(answer);
    }
}

/// Works the queue off until `stop` is cancelled or all senders are gone, and everything in it is answered.
pub(crate) async fn run(db: Db, mut queue: mpsc::Receiver<Box<dyn Item>>, stop: CancellationToken) {
    while let Some(mut items) = next(&mut queue, &stop).await {
        items.retain(|item| !item.is_abandoned());
        if !items.is_empty() {
            write_and_answer(&db, items, BATCH_TIMEOUT).await;
        }
    }
}

/// The next batch: what waits, and what arrives within the window. None when all senders are gone, or `stop` is
/// cancelled, and nothing waits any more.
pub(crate) async fn next<W>(queue: &mut mpsc::Receiver<W>, stop: &CancellationToken) -> Option<Vec<W>> {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            received = queue.recv_many(&mut waiting, BATCH_ITEMS_MAX) => {
                if received == 0 {
                    return None;
                }
                break;
            }
        }
    }
    let deadline = Instant::now() + BATCH_WINDOW;
    while waiting.len() < BATCH_ITEMS_MAX {
        let room = BATCH_ITEMS_MAX - waiting.len();
        match timeout_at(deadline, queue.recv_many(&mut waiting, room)).await {
            Ok(received) if received > 0 => {}
            _ => break,
        }
    }
    Some(waiting)
}

async fn write_and_answer(db: &Db, mut items: Vec<Box<dyn Item>>, limit: Duration) {
    let written = timeout(limit, write(db, &mut items)).await;
    let written = written.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
    let fault = written.err().map(|error| {
        tracing::warn!(%error, items = items.len(), "a batch of writes failed");
        BatchError::Failed(Arc::new(error))
    });
    for item in items {
        item.answer(fault.clone());
    }
}

/// One transaction, one savepoint per item. An error here is the batch's; an item's own stays with the item.
async fn write(db: &Db, items: &mut [Box<dyn Item>]) -> Result<(), sqlx::Error> {
    let mut tx = db.begin().await?;
    tx.savepoint(ITEM_SAVEPOINT).await?;
    let last = items.len().saturating_sub(1);
    for (number, item) in items.iter_mut().enumerate() {
        let is_kept = item.run(&mut tx).await;
        if is_kept {
            let released =
                if number == last { tx.release(ITEM_SAVEPOINT).await } else { tx.next_savepoint(ITEM_SAVEPOINT).await };
            let Err(error) = released else { continue };
            // The work said yes although one of its statements had failed.
            item.fail(error);
        }
        // It stays set, for the next one.
        tx.rollback_to(ITEM_SAVEPOINT).await?;
    }
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::on_both;

    type Reply = oneshot::Receiver<Result<i64, sqlx::Error>>;

    fn queued(
        work: impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<i64, sqlx::Error>> + Send + 'static,
    ) -> (Box<dyn Item>, Reply) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Queued::new(work, reply)), answer)
    }

    on_both! {
        async fn a_batch_that_hangs_is_given_up_and_the_next_one_goes_through(test: TestDb) {
            let (done, first) = queued(|_| Box::pin(async { Ok(1) }));
            let (hangs, second) = queued(|_| Box::pin(std::future::pending()));
            write_and_answer(test.db(), vec![done, hangs], Duration::from_millis(50)).await;
            for answer in [first, second] {
                let error = answer.await.unwrap().unwrap_err();
                assert!(crate::is_retryable(&error) || matches!(error, sqlx::Error::Io(_)), "{error:?}");
            }
            let (next, answer) = queued(|_| Box::pin(async { Ok(2) }));
            write_and_answer(test.db(), vec![next], BATCH_TIMEOUT).await;
            assert_eq!(answer.await.unwrap().unwrap(), 2);
        }
    }
}
