//! Single writes: commit, rollback, cancellation, savepoints.

use drover_db::testing::TestDb;
use drover_db::{Db, Tx, on_both, on_tx};
use tokio::sync::oneshot;

use crate::support::{add, ids, insert, set_up, until};

/// Compiles only while the futures can be used from any task.
fn is_send<T: Send>(value: T) -> T {
    value
}

on_both! {
    async fn a_write_is_committed(test: TestDb) {
        let db = set_up(&test).await;
        assert_eq!(is_send(db.write(add(1))).await.unwrap(), 1);
        assert_eq!(ids(&db).await, [1]);
    }

    async fn an_error_rolls_back(test: TestDb) {
        let db = set_up(&test).await;
        let outcome: Result<(), sqlx::Error> = db
            .write(|tx| Box::pin(async move {
                insert(tx, 1).await?;
                Err(sqlx::Error::RowNotFound)
            }))
            .await;
        assert!(matches!(outcome, Err(sqlx::Error::RowNotFound)));
        assert_eq!(ids(&db).await, [0_i64; 0]);
        db.write(add(2)).await.unwrap();
    }

    async fn a_dropped_write_rolls_back(test: TestDb) {
        let db = set_up(&test).await;
        let (inserted, is_inserted) = oneshot::channel();
        let writing = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| Box::pin(async move {
                    insert(tx, 1).await?;
                    inserted.send(()).unwrap();
                    std::future::pending::<Result<(), sqlx::Error>>().await
                }))
                .await
            }
        });
        is_inserted.await.unwrap();
        writing.abort();
        assert!(writing.await.unwrap_err().is_cancelled());
        // The same key: succeeds only when the first insert and its lock are gone.
        db.write(add(1)).await.unwrap();
        assert_eq!(ids(&db).await, [1]);
    }

    async fn a_failed_statement_that_was_swallowed_is_not_a_success(test: TestDb) {
        let db = set_up(&test).await;
        db.write(add(1)).await.unwrap();
        let outcome = db
            .write(|tx| Box::pin(async move {
                insert(tx, 2).await?;
                let duplicate = insert(tx, 1).await;
                assert!(duplicate.is_err());
                Ok::<_, sqlx::Error>(())
            }))
            .await;
        // SQLite keeps the transaction, PostgreSQL gives it up: either way the answer is the truth.
        assert_eq!(ids(&db).await.contains(&2), outcome.is_ok());
    }

    async fn savepoints_take_back_their_part(test: TestDb) {
        let db = set_up(&test).await;
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, 1).await.unwrap();
        tx.savepoint(1).await.unwrap();
        insert(&mut tx, 2).await.unwrap();
        tx.savepoint(2).await.unwrap();
        insert(&mut tx, 3).await.unwrap();
        tx.rollback_to(2).await.unwrap();
        tx.release(1).await.unwrap();
        assert!(tx.release(2).await.is_err(), "released together with the outer one");
        drop(tx);

        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, 4).await.unwrap();
        tx.savepoint(1).await.unwrap();
        assert!(insert(&mut tx, 4).await.is_err());
        tx.rollback_to(1).await.unwrap();
        insert(&mut tx, 5).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(ids(&db).await, [4, 5]);
    }

    async fn the_databases_clock_moves_on(test: TestDb) {
        let db = test.db().clone();
        let now = async || {
            let sql = sqlx::AssertSqlSafe(format!("SELECT {}", db.dialect().now_us()));
            drover_db::read!(db, |c| sqlx::query_scalar::<_, i64>(sql).fetch_one(c).await.unwrap())
        };
        let first = now().await;
        // Between 2025 and 2100, in microseconds.
        assert!((1_735_689_600_000_000..4_102_444_800_000_000).contains(&first), "{first}");
        until("the clock moves", async || now().await > first).await;
    }

    async fn a_closed_database_says_so(test: TestDb) {
        let db = set_up(&test).await;
        db.close().await;
        assert!(matches!(db.write(add(1)).await, Err(sqlx::Error::PoolClosed)));
    }
}

/// A full disk makes `SQLite` end the transaction by itself; here a statement asks for it.
#[tokio::test]
async fn sqlite_recovers_when_it_ended_the_transaction_itself() {
    let test = TestDb::sqlite().await;
    let db = set_up(&test).await;
    db.write(add(1)).await.unwrap();
    let outcome: Result<(), sqlx::Error> = db
        .write(|tx| {
            Box::pin(async move {
                insert(tx, 2).await?;
                let sql = "INSERT OR ROLLBACK INTO items (id, name) VALUES (1, 'again')";
                on_tx!(tx, |c| sqlx::query(sql).execute(c).await.map(drop))
            })
        })
        .await;
    assert!(outcome.is_err());
    db.write(add(3)).await.unwrap();
    assert_eq!(ids(&db).await, [1, 3]);
}

/// Both kinds hold their connection for `'static`, so a use case can keep a transaction in a struct.
#[test]
fn transactions_can_be_kept() {
    fn is_static<T: Send + 'static>() {}
    is_static::<Tx>();
    is_static::<Db>();
}
