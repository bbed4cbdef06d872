//! Questions about a whole fleet: they end, and nobody else waits for them.

use std::sync::Arc;
use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{Db, QUESTION_TIME, Turn, Tx, is_out_of_time, is_retryable, on_both, on_tx, read, run};

use crate::support::{add, ids, set_up, until};

async fn asked(db: &Db, sql: &'static str) -> Result<i64, sqlx::Error> {
    run!(db.questions(&turn()), |c| sqlx::query_scalar(sql).fetch_one(c).await)
}

fn turn() -> Turn {
    Turn::new((), QUESTION_TIME)
}

on_both! {
    async fn questions_see_what_was_written_and_write_nothing(test: TestDb) {
        let db = set_up(&test).await;
        for found in [0, 1] {
            assert_eq!(asked(&db, "SELECT COUNT(*) FROM items").await.unwrap(), found);
            let refused = asked(&db, "INSERT INTO parents (id) VALUES (7) RETURNING id").await;
            assert!(refused.is_err_and(|error| !is_out_of_time(&error)));
            db.write(add(found)).await.unwrap();
        }
        test.close().await;
    }

    async fn nobody_else_waits_for_them(test: TestDb) {
        let db = set_up(&test).await;
        let (turn, mut taken) = (turn(), Vec::new());
        for _ in 0..4 {
            taken.push(db.questions(&turn).open().await.unwrap());
        }
        assert_eq!(ids(&db).await, Vec::<i64>::new(), "others have connections of their own");
        let late = asked(&db, "SELECT COUNT(*) FROM items");
        tokio::pin!(late);
        assert!(futures::poll!(&mut late).is_pending(), "a fifth waits for its turn");
        taken.pop();
        assert_eq!(late.await.unwrap(), 0);
        drop(taken);
        test.close().await;
    }
}

#[tokio::test]
async fn on_postgres_all_statements_of_a_question_have_one_end() {
    let test = TestDb::postgres().await;
    let own: Result<String, sqlx::Error> =
        read!(test.db(), |c| sqlx::query_scalar("SELECT CAST(current_setting('statement_timeout') AS TEXT)")
            .fetch_one(c)
            .await);
    assert_eq!(own.unwrap(), "0", "only questions are ended");
    let over = Turn::new((), Duration::ZERO);
    for _ in 0..2 {
        let error = long(test.db(), &over).await.unwrap_err();
        assert!(is_out_of_time(&error) && !is_retryable(&error), "{error}");
    }
    assert_eq!(asked(test.db(), "SELECT CAST(1 AS BIGINT)").await.unwrap(), 1, "the next one has time of its own");
    test.close().await;
}

/// A statement that would take a minute.
async fn long(db: &Db, turn: &Turn) -> Result<(), sqlx::Error> {
    run!(db.questions(turn), |c| sqlx::query("SELECT pg_sleep(60)").execute(c).await.map(drop))
}

#[tokio::test]
async fn on_postgres_a_turn_lasts_as_long_as_the_server_works_for_it() {
    let test = TestDb::postgres().await;
    let db = test.db().clone();
    let mut other = db.begin().await.unwrap();
    execute(&mut other, "SELECT pg_advisory_xact_lock(7)").await.unwrap();
    let place = Arc::new(());
    {
        let turn = Turn::new(Arc::clone(&place), QUESTION_TIME);
        let asking = wait_for_lock(&db, &turn);
        tokio::pin!(asking);
        until("the server waits for the lock", async || {
            assert!(futures::poll!(&mut asking).is_pending());
            waiting(&db).await.unwrap() == 1
        })
        .await;
    }
    assert_eq!(Arc::strong_count(&place), 2, "nobody asks any more, but the server is still at it");
    other.rollback().await.unwrap();
    until("the server is done", async || Arc::strong_count(&place) == 1).await;
    test.close().await;
}

async fn execute(tx: &mut Tx, sql: &'static str) -> Result<(), sqlx::Error> {
    on_tx!(tx, |c| sqlx::raw_sql(sql).execute(c).await.map(drop))
}

async fn wait_for_lock(db: &Db, turn: &Turn) -> Result<(), sqlx::Error> {
    run!(db.questions(turn), |c| sqlx::raw_sql("SELECT pg_advisory_xact_lock(7)").execute(c).await.map(drop))
}

async fn waiting(db: &Db) -> Result<i64, sqlx::Error> {
    // Of this database only: others run tests on the same server.
    let sql = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 7 \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    read!(db, |c| sqlx::query_scalar(sql).fetch_one(c).await)
}
