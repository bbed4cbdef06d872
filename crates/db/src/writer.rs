//! The write path of a node: single writes, and the queue that batches those of devices.

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::batch::{self, Item, QUEUE_ITEMS_MAX, Queued};
use crate::{BatchError, BoxFuture, Db, Tx};

/// Writes to one database. A node has one, cloned to wherever something is written; all clones share one queue.
///
/// The queue's task ends when the last clone is dropped or [`Writer::close`] is called, after everything that was
/// accepted is answered.
#[derive(Clone)]
pub struct Writer {
    db: Db,
    queue: mpsc::Sender<Box<dyn Item>>,
    stop: CancellationToken,
    task: TaskTracker,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("queue_depth", &self.queue_depth()).finish_non_exhaustive()
    }
}

impl Writer {
    /// Starts the queue's task on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(db: Db) -> Self {
        let (queue, items) = mpsc::channel(QUEUE_ITEMS_MAX);
        let stop = CancellationToken::new();
        let task = TaskTracker::new();
        task.spawn(batch::run(db.clone(), items, stop.clone()));
        task.close();
        Self { db, queue, stop, task }
    }

    /// The database written to, for reading.
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// How many batched writes wait, 0 to [`QUEUE_ITEMS_MAX`].
    pub fn queue_depth(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// [`Db::write`]: a transaction of its own.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send,
        E: From<sqlx::Error> + Send,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        self.db.write(work).await
    }

    /// Runs `work` in a transaction shared with other callers, within a few milliseconds, and answers after the commit.
    /// For what devices send: much of it, small, and independent.
    ///
    /// An error or a panic of `work` takes back its own changes only. When the shared transaction fails, every caller in
    /// it gets [`BatchError::Failed`]. A caller that goes away before its turn withdraws its work; later the work is
    /// done all the same. When the queue is full this waits for a place.
    ///
    /// Work of one batch runs in order of arrival and holds its row locks until the commit. On `PostgreSQL`, work that
    /// changes rows shared between devices can therefore deadlock with a set of a [`SetWriter`](crate::SetWriter) or with
    /// another node's batch; the loser's error is [`is_retryable`](crate::is_retryable).
    pub async fn write_batched<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<sqlx::Error> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Box::new(Queued::new(work, reply))).await.is_err() {
            return Err(sqlx::Error::from(BatchError::Stopped).into());
        }
        answer.await.unwrap_or_else(|_| Err(sqlx::Error::from(BatchError::Lost).into()))
    }

    /// Refuses further batched writes and waits until those accepted are answered. Leaves the database open.
    pub async fn close(&self) {
        self.stop.cancel();
        self.task.wait().await;
    }
}
