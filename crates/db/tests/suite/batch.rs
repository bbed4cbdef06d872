//! The queue of batched writes.

use std::collections::BTreeSet;

use drover_db::testing::TestDb;
use drover_db::{BATCH_ITEMS_MAX, BatchError, Dialect, Tx, Writer, on_both, on_tx, read, unique_violation};
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::support::{add, ids, insert, set_up, until};

/// Holds the queue's task inside a transaction until told to go on.
async fn hold(writer: &Writer, id: i64) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<i64, sqlx::Error>>) {
    let (started, has_started) = oneshot::channel();
    let (go_on, told) = oneshot::channel::<()>();
    let writing = tokio::spawn({
        let writer = writer.clone();
        async move {
            writer
                .write_batched(move |tx| {
                    Box::pin(async move {
                        let id = insert(tx, id).await?;
                        started.send(()).unwrap();
                        let _ = told.await;
                        Ok(id)
                    })
                })
                .await
        }
    });
    has_started.await.unwrap();
    (go_on, writing)
}

on_both! {
    async fn many_writers_share_few_commits(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let writes = (0..512).map(|id| {
            let (writer, db) = (writer.clone(), db.clone());
            tokio::spawn(async move {
                writer
                    .write_batched(move |tx| Box::pin(async move {
                        insert(tx, id).await?;
                        Ok::<_, sqlx::Error>(ids(&db).await.len())
                    }))
                    .await
                    .unwrap()
            })
        });
        // What others see does not change while a transaction is open: each count stands for one transaction.
        let committed_before: BTreeSet<usize> = join_all(writes).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(ids(&db).await, (0..512).collect::<Vec<i64>>());
        assert!(committed_before.len() <= 16, "512 writes took {} transactions", committed_before.len());
    }

    async fn a_full_queue_is_one_transaction(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let count = i64::try_from(BATCH_ITEMS_MAX).unwrap();
        let writes: Vec<_> = (1..=count)
            .map(|id| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.write_batched(add(id)).await })
            })
            .collect();
        until("all wait", async || writer.queue_depth() == BATCH_ITEMS_MAX).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        // Readers see none or all of them, never a part.
        until("all are there", async || {
            let seen = ids(&db).await.len();
            assert!(seen <= 1 || seen == BATCH_ITEMS_MAX + 1, "a part of a batch was visible: {seen}");
            seen > 1
        })
        .await;
        for write in writes {
            write.await.unwrap().unwrap();
        }
    }

    async fn one_bad_item_leaves_the_others(test: TestDb) {
        let db = set_up(&test).await;
        db.write(add(7)).await.unwrap();
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let writes: Vec<_> = [1, 7, 2]
            .map(|id| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.write_batched(add(id)).await })
            })
            .into();
        until("all wait", async || writer.queue_depth() == 3).await;
        go_on.send(()).unwrap();
        let answers = join_all(writes).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        assert!(matches!(answers[0], Ok(1)));
        assert!(unique_violation(answers[1].as_ref().unwrap_err()).is_some());
        assert!(matches!(answers[2], Ok(2)));
        held.await.unwrap().unwrap();
        assert_eq!(ids(&db).await, [0, 1, 2, 7]);
    }

    async fn an_item_that_failed_takes_back_what_it_did_before(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let outcome: Result<(), sqlx::Error> = writer
            .write_batched(|tx| Box::pin(async move {
                insert(tx, 1).await?;
                Err(sqlx::Error::RowNotFound)
            }))
            .await;
        assert!(matches!(outcome, Err(sqlx::Error::RowNotFound)));
        writer.write_batched(add(2)).await.unwrap();
        assert_eq!(ids(&db).await, [2]);
    }

    /// On PostgreSQL the savepoint cannot be released then; the items before and behind are kept on both.
    async fn an_item_that_hides_its_failure_spoils_no_other(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let before = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(1)).await }
        });
        until("the first waits", async || writer.queue_depth() == 1).await;
        let hiding = tokio::spawn({
            let writer = writer.clone();
            async move {
                writer
                    .write_batched(|tx| Box::pin(async move {
                        assert!(insert(tx, 1).await.is_err(), "it is there already");
                        Ok::<_, sqlx::Error>(())
                    }))
                    .await
            }
        });
        until("the second waits", async || writer.queue_depth() == 2).await;
        let behind = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(2)).await }
        });
        until("all wait", async || writer.queue_depth() == 3).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        before.await.unwrap().unwrap();
        // SQLite goes on behind a failed statement.
        assert_eq!(hiding.await.unwrap().is_ok(), matches!(db.dialect(), Dialect::Sqlite));
        behind.await.unwrap().unwrap();
        assert_eq!(ids(&db).await, [0, 1, 2]);
    }

    async fn the_answer_comes_after_the_commit(test: TestDb) {
        let writer = Writer::start(set_up(&test).await);
        let other = test.open_again().await;
        for id in 0..50 {
            writer.write_batched(add(id)).await.unwrap();
            assert_eq!(ids(&other).await.last(), Some(&id), "answered, but another connection does not see it");
        }
        other.close().await;
    }

    async fn nobody_is_answered_before_the_commit(test: TestDb) {
        let writer = Writer::start(set_up(&test).await);
        let (release_blocker, blocker) = hold(&writer, 100).await;
        let first = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(1)).await }
        });
        until("the first waits", async || writer.queue_depth() == 1).await;
        let (started, has_started) = oneshot::channel();
        let (go_on, told) = oneshot::channel::<()>();
        let second = tokio::spawn({
            let writer = writer.clone();
            async move {
                writer
                    .write_batched(move |_| Box::pin(async move {
                        started.send(()).unwrap();
                        let _ = told.await;
                        Ok::<_, sqlx::Error>(())
                    }))
                    .await
            }
        });
        until("the second waits", async || writer.queue_depth() == 2).await;
        release_blocker.send(()).unwrap();
        blocker.await.unwrap().unwrap();
        has_started.await.unwrap();
        // The second item of the same batch is running: the first one's work is done, but not committed.
        assert!(!first.is_finished());
        assert_eq!(ids(writer.db()).await, [100]);
        go_on.send(()).unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        assert_eq!(ids(writer.db()).await, [1, 100]);
    }

    async fn a_failed_commit_is_told_to_everyone(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let good = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(1)).await }
        });
        let bad = tokio::spawn({
            let writer = writer.clone();
            async move {
                writer
                    .write_batched(|tx| Box::pin(async move {
                        // The parent is only looked for at the commit.
                        let sql = "INSERT INTO items (id, name, late_parent_id) VALUES (2, 'orphan', 99)";
                        on_tx!(tx, |c| sqlx::query(sql).execute(c).await.map(drop))
                    }))
                    .await
            }
        });
        until("both wait", async || writer.queue_depth() == 2).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        for error in [good.await.unwrap().map(drop).unwrap_err(), bad.await.unwrap().unwrap_err()] {
            assert!(matches!(BatchError::find(&error), Some(BatchError::Failed(_))), "{error:?}");
        }
        writer.write_batched(add(3)).await.unwrap();
        assert_eq!(ids(&db).await, [0, 3]);
    }

    async fn a_panic_stays_with_its_item(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let panicking = tokio::spawn({
            let writer = writer.clone();
            async move {
                writer
                    .write_batched(|tx| Box::pin(async move {
                        insert(tx, 1).await?;
                        assert_eq!(count_in(tx).await?, 0, "this panic belongs to the test");
                        Ok::<_, sqlx::Error>(())
                    }))
                    .await
            }
        });
        let good = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(2)).await }
        });
        until("both wait", async || writer.queue_depth() == 2).await;
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        let error = panicking.await.unwrap().unwrap_err();
        assert!(matches!(BatchError::find(&error), Some(BatchError::Panicked)), "{error:?}");
        good.await.unwrap().unwrap();
        writer.write_batched(add(3)).await.unwrap();
        assert_eq!(ids(&db).await, [0, 2, 3]);
    }

    async fn closing_answers_what_was_accepted(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let writes: Vec<_> = (1..20)
            .map(|id| {
                let writer = writer.clone();
                tokio::spawn(async move { writer.write_batched(add(id)).await })
            })
            .collect();
        until("all wait", async || writer.queue_depth() == 19).await;
        go_on.send(()).unwrap();
        writer.close().await;
        for write in writes {
            write.await.unwrap().unwrap();
        }
        held.await.unwrap().unwrap();
        assert_eq!(ids(&db).await.len(), 20);
        let error = writer.write_batched(add(99)).await.unwrap_err();
        assert!(matches!(BatchError::find(&error), Some(BatchError::Stopped)), "{error:?}");
    }

    async fn a_caller_that_left_withdraws_its_work(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        let (go_on, held) = hold(&writer, 0).await;
        let leaving = tokio::spawn({
            let writer = writer.clone();
            async move { writer.write_batched(add(1)).await }
        });
        until("it waits", async || writer.queue_depth() == 1).await;
        leaving.abort();
        assert!(leaving.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        held.await.unwrap().unwrap();
        writer.write_batched(add(2)).await.unwrap();
        assert_eq!(ids(&db).await, [0, 2]);
    }

    async fn dropping_the_last_clone_ends_the_task(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Writer::start(db.clone());
        writer.write_batched(add(1)).await.unwrap();
        drop(writer);
        // The task owned a clone of the pools: closing would not return while it held a connection.
        db.close().await;
        let db = test.open_again().await;
        assert_eq!(ids(&db).await, [1]);
    }
}

/// How many items the transaction sees, its own among them.
async fn count_in(tx: &mut Tx) -> Result<i64, sqlx::Error> {
    on_tx!(tx, |c| sqlx::query_scalar("SELECT count(*) FROM items").fetch_one(c).await)
}

/// `read!` works on a value, a reference and a field.
#[tokio::test]
async fn reading_takes_any_place() {
    let test = TestDb::sqlite().await;
    let writer = Writer::start(set_up(&test).await);
    let one: i64 = read!(writer.db(), |c| sqlx::query_scalar("SELECT 1").fetch_one(c).await.unwrap());
    let owned = test.db().clone();
    let two: i64 = read!(owned, |c| sqlx::query_scalar("SELECT 2").fetch_one(c).await.unwrap());
    assert_eq!((one, two), (1, 2));
}
