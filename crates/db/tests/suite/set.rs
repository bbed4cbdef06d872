//! The queue of work that is done for many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drover_db::{BATCH_ITEMS_MAX, BatchError, BoxFuture, SetWriter, Tx, on_both, unique_violation};
use futures::future::join_all;
use tokio::sync::Semaphore;

use crate::support::{ids, insert, set_up, until};

/// What an item does besides adding its id.
#[derive(Debug, Clone, Default)]
enum Does {
    #[default]
    Nothing,
    /// Waits in the transaction until it may go on.
    Waits(Arc<Semaphore>),
    Declines,
    Panics,
    LosesTheConnection,
}

#[derive(Debug, Clone, Default)]
struct Item {
    id: i64,
    does: Does,
    /// How often it was tried.
    tries: Arc<AtomicUsize>,
}

/// Of each item how many were in its set.
type Outcomes = Vec<Result<usize, sqlx::Error>>;

fn add_all<'t>(tx: &'t mut Tx, items: &'t [Item]) -> BoxFuture<'t, Result<Outcomes, sqlx::Error>> {
    Box::pin(async move {
        let mut outcomes = Outcomes::new();
        for item in items {
            item.tries.fetch_add(1, Ordering::Relaxed);
            match &item.does {
                Does::Nothing => {}
                Does::Waits(go_on) => go_on.acquire().await.unwrap().forget(),
                Does::Declines => {
                    outcomes.push(Err(sqlx::Error::RowNotFound));
                    continue;
                }
                Does::Panics => panic!("this panic belongs to the test"),
                Does::LosesTheConnection => return Err(sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())),
            }
            insert(tx, item.id).await?;
            outcomes.push(Ok(items.len()));
        }
        Ok(outcomes)
    })
}

type Writer = Arc<SetWriter<Item, usize, sqlx::Error>>;

fn item(id: i64, does: Does) -> Item {
    Item { id, does, ..Item::default() }
}

/// Has all of these items in one set, behind item 0, and returns what each is told.
async fn in_one_set(writer: &Writer, items: Vec<Item>) -> Outcomes {
    let go_on = Arc::new(Semaphore::new(0));
    let first = item(0, Does::Waits(Arc::clone(&go_on)));
    let held = tokio::spawn({
        let (writer, first) = (Arc::clone(writer), first.clone());
        async move { writer.write(first).await }
    });
    until("the first is at work", async || first.tries.load(Ordering::Relaxed) == 1).await;
    let mut writes = Vec::new();
    for (waiting, item) in items.into_iter().enumerate() {
        let own = Arc::clone(writer);
        writes.push(tokio::spawn(async move { own.write(item).await }));
        // One after the other: they are done in the order in which they come.
        until("it waits", async || writer.queue_depth() > waiting).await;
    }
    go_on.add_permits(1);
    held.await.unwrap().unwrap();
    join_all(writes).await.into_iter().map(Result::unwrap).collect()
}

on_both! {
    async fn what_waits_is_done_at_once(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let count = i64::try_from(BATCH_ITEMS_MAX).unwrap();
        let told = in_one_set(&writer, (1..=count).map(|id| item(id, Does::Nothing)).collect()).await;
        assert!(told.into_iter().all(|items| items.unwrap() == BATCH_ITEMS_MAX));
        assert_eq!(ids(&db).await, (0..=count).collect::<Vec<_>>());
    }

    async fn one_that_is_refused_does_not_hold_up_the_others(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let mut items: Vec<_> = (1..=20).map(|id| item(id, Does::Nothing)).collect();
        // There is one with that id.
        items[4].id = 0;
        items[11].does = Does::Panics;
        items[17].does = Does::Declines;
        let told = in_one_set(&writer, items).await;
        for (place, told) in told.iter().enumerate() {
            match (place, told) {
                (4, Err(error)) => assert!(unique_violation(error).is_some(), "{error:?}"),
                (11, Err(error)) => assert!(matches!(BatchError::find(error), Some(BatchError::Panicked)), "{error:?}"),
                (17, Err(error)) => assert!(matches!(error, sqlx::Error::RowNotFound), "{error:?}"),
                (_, told) => assert!(told.is_ok(), "{place}: {told:?}"),
            }
        }
        let added = (0..=20).filter(|id| ![5, 12, 18].contains(id)).collect::<Vec<_>>();
        assert_eq!(ids(&db).await, added);
    }

    async fn many_that_are_refused_do_not_hold_up_the_others(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let mut items: Vec<_> = (1..=200).map(|id| item(id, Does::Nothing)).collect();
        items.iter_mut().step_by(10).for_each(|item| item.id = 0);
        let told = in_one_set(&writer, items).await;
        for (place, told) in told.iter().enumerate() {
            assert_eq!(told.is_err(), place % 10 == 0, "{place}: {told:?}");
        }
        assert_eq!(ids(&db).await.len(), 1 + 180);
    }

    async fn what_ails_all_is_told_to_all(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let mut items: Vec<_> = (1..=20).map(|id| item(id, Does::Nothing)).collect();
        items[19].does = Does::LosesTheConnection;
        let first = Arc::clone(&items[0].tries);
        for told in in_one_set(&writer, items).await {
            let error = told.unwrap_err();
            assert!(matches!(BatchError::find(&error), Some(BatchError::Failed(_))), "{error:?}");
        }
        assert_eq!(first.load(Ordering::Relaxed), 1, "nothing is tried again on a connection that is gone");
        assert_eq!(ids(&db).await, [0]);
        writer.write(item(30, Does::Nothing)).await.unwrap();
        assert_eq!(ids(&db).await, [0, 30]);
    }

    async fn the_search_for_the_one_to_blame_has_an_end(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let tries = Arc::new(AtomicUsize::new(0));
        let items = (0..BATCH_ITEMS_MAX).map(|_| Item { id: 0, tries: Arc::clone(&tries), ..Item::default() });
        let told = in_one_set(&writer, items.collect()).await;
        assert!(told.iter().all(Result::is_err));
        assert!(tries.load(Ordering::Relaxed) <= 40, "{tries:?} transactions, which the first item ended");
        assert_eq!(ids(&db).await, [0]);
    }

    async fn closing_answers_what_was_accepted(test: TestDb) {
        let db = set_up(&test).await;
        let writer = Arc::new(SetWriter::start(db.clone(), add_all));
        let (go_on, own) = (Arc::new(Semaphore::new(0)), Arc::clone(&writer));
        let accepted = item(1, Does::Waits(Arc::clone(&go_on)));
        let write = tokio::spawn({
            let accepted = accepted.clone();
            async move { own.write(accepted).await }
        });
        until("it is at work", async || accepted.tries.load(Ordering::Relaxed) == 1).await;
        go_on.add_permits(1);
        writer.close().await;
        write.await.unwrap().unwrap();
        let error = writer.write(item(2, Does::Nothing)).await.unwrap_err();
        assert!(matches!(BatchError::find(&error), Some(BatchError::Stopped)), "{error:?}");
        assert_eq!(ids(&db).await, [1]);
    }
}
