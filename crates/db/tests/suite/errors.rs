//! Error helpers say the same on both databases.

use drover_db::testing::TestDb;
use drover_db::{Db, OpenOptions, is_foreign_key_violation, is_retryable, on_both, on_tx, unique_violation};

use crate::support::{add, insert, set_up};

async fn run(db: &Db, sql: &'static str) -> Result<(), sqlx::Error> {
    db.write(move |tx| Box::pin(async move { on_tx!(tx, |c| sqlx::query(sql).execute(c).await.map(drop)) })).await
}

on_both! {
    async fn unique_violations_have_one_name(test: TestDb) {
        let db = set_up(&test).await;
        db.write(add(1)).await.unwrap();
        let error = run(&db, "INSERT INTO items (id, name) VALUES (1, 'another')").await.unwrap_err();
        assert_eq!(unique_violation(&error).as_deref(), Some("items_pkey"));
        assert!(!is_foreign_key_violation(&error));
        assert!(!is_retryable(&error));
        let error = run(&db, "INSERT INTO items (id, name) VALUES (2, 'item 1')").await.unwrap_err();
        assert_eq!(unique_violation(&error).as_deref(), Some("items_site_name_key"));
    }

    async fn a_named_unique_index_keeps_its_name(test: TestDb) {
        let db = set_up(&test).await;
        run(&db, "CREATE UNIQUE INDEX items_parent_id_name_key ON items (parent_id, name)").await.unwrap();
        run(&db, "INSERT INTO parents (id) VALUES (5)").await.unwrap();
        run(&db, "INSERT INTO items (id, site, name, parent_id) VALUES (1, 'a', 'n', 5)").await.unwrap();
        let error = run(&db, "INSERT INTO items (id, site, name, parent_id) VALUES (2, 'b', 'n', 5)").await.unwrap_err();
        assert_eq!(unique_violation(&error).as_deref(), Some("items_parent_id_name_key"));
    }

    async fn foreign_key_violations_are_seen_from_both_ends(test: TestDb) {
        let db = set_up(&test).await;
        let error = run(&db, "INSERT INTO items (id, name, parent_id) VALUES (1, 'a', 5)").await.unwrap_err();
        assert!(is_foreign_key_violation(&error), "{error:?}");
        assert_eq!(unique_violation(&error), None);
        run(&db, "INSERT INTO parents (id) VALUES (5)").await.unwrap();
        run(&db, "INSERT INTO items (id, name, parent_id) VALUES (1, 'a', 5)").await.unwrap();
        let error = run(&db, "DELETE FROM parents WHERE id = 5").await.unwrap_err();
        assert!(is_foreign_key_violation(&error), "{error:?}");
    }

    async fn a_lock_held_too_long_is_retryable(test: TestDb) {
        let db = set_up(&test).await;
        let options = OpenOptions { busy_timeout_ms: 20, ..OpenOptions::default() };
        let impatient = Db::open(test.url(), &options).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        insert(&mut tx, 1).await.unwrap();
        // SQLite waits for the file, PostgreSQL for the key.
        let error = impatient.write(add(1)).await.unwrap_err();
        assert!(is_retryable(&error), "{error:?}");
        tx.rollback().await.unwrap();
        impatient.write(add(1)).await.unwrap();
        impatient.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_deadlock_is_retryable() {
    let test = TestDb::postgres().await;
    let db = set_up(&test).await;
    run(&db, "INSERT INTO parents (id) VALUES (1), (2)").await.unwrap();
    let (mut a, mut b) = (db.begin().await.unwrap(), db.begin().await.unwrap());
    let lock = async |tx: &mut drover_db::Tx, id: i64| -> Result<(), sqlx::Error> {
        let sql = "SELECT id FROM parents WHERE id = $1 FOR UPDATE";
        on_tx!(tx, |c| sqlx::query(sql).bind(id).execute(c).await.map(drop))
    };
    lock(&mut a, 1).await.unwrap();
    lock(&mut b, 2).await.unwrap();
    // The loser rolls back, which lets the winner go on.
    let (first, second) = tokio::join!(
        async {
            let outcome = lock(&mut a, 2).await;
            a.rollback().await.unwrap();
            outcome
        },
        async {
            let outcome = lock(&mut b, 1).await;
            b.rollback().await.unwrap();
            outcome
        }
    );
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert!(is_retryable(&first.and(second).unwrap_err()));
}
