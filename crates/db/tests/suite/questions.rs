//! Questions about a whole fleet: they end, and nobody else waits for them.

use drover_db::testing::TestDb;
use drover_db::{Db, is_out_of_time, is_retryable, on_both, read, run};

use crate::support::{add, ids, set_up};

async fn asked(db: &Db, sql: &'static str) -> Result<i64, sqlx::Error> {
    run!(db.questions(), |c| sqlx::query_scalar(sql).fetch_one(c).await)
}

async fn shown(db: &Db, sql: &'static str) -> Result<String, sqlx::Error> {
    run!(db.questions(), |c| sqlx::query_scalar(sql).fetch_one(c).await)
}

/// PostgreSQL only: a statement that would take a minute, given a millisecond.
async fn long(db: &Db) -> Result<(), sqlx::Error> {
    run!(db.questions(), |c| {
        sqlx::query("SET statement_timeout = 1").execute(&mut *c).await?;
        sqlx::query("SELECT pg_sleep(60)").execute(&mut *c).await.map(drop)
    })
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
        let mut taken = Vec::new();
        for _ in 0..4 {
            taken.push(db.questions().open().await.unwrap());
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
async fn on_postgres_a_statement_has_an_end() {
    let test = TestDb::postgres().await;
    assert_eq!(shown(test.db(), "SHOW statement_timeout").await.unwrap(), "15s");
    let own: Result<String, sqlx::Error> =
        read!(test.db(), |c| sqlx::query_scalar("SELECT CAST(current_setting('statement_timeout') AS TEXT)")
            .fetch_one(c)
            .await);
    assert_eq!(own.unwrap(), "0", "only questions are ended");
    let error = long(test.db()).await.unwrap_err();
    assert!(is_out_of_time(&error) && !is_retryable(&error), "{error}");
    test.close().await;
}
