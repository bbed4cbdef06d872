//! The migration runner.

use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{MIGRATIONS, MigrateError, Migration, migrate, on_both, pending, read};

use crate::support::LOCK_TIMEOUT;

const fn step(version: i64, name: &'static str, sql: &'static str) -> Migration {
    Migration { version, name, sqlite: sql, postgres: sql }
}

/// Each depends on the one before it.
const STEPS: &[Migration] = &[
    step(1, "init", "CREATE TABLE notes (id BIGINT NOT NULL PRIMARY KEY); INSERT INTO notes VALUES (1)"),
    step(2, "text", "ALTER TABLE notes ADD COLUMN body TEXT; INSERT INTO notes (id, body) VALUES (2, 'b')"),
    step(3, "more", "INSERT INTO notes (id, body) SELECT id + 10, body FROM notes"),
];

async fn note_ids(db: &drover_db::Db) -> Vec<i64> {
    read!(db, |c| sqlx::query_scalar("SELECT id FROM notes ORDER BY id").fetch_all(c).await.unwrap())
}

on_both! {
    async fn steps_are_applied_once_in_order(test: TestDb) {
        let db = test.db();
        assert_eq!(pending(db, &STEPS[..2]).await.unwrap().len(), 2);
        assert_eq!(migrate(db, &STEPS[..2], LOCK_TIMEOUT).await.unwrap().len(), 2);
        assert_eq!(pending(db, STEPS).await.unwrap(), &STEPS[2..]);
        assert_eq!(migrate(db, STEPS, LOCK_TIMEOUT).await.unwrap(), &STEPS[2..]);
        assert_eq!(note_ids(db).await, [1, 2, 11, 12]);
        assert_eq!(migrate(db, STEPS, LOCK_TIMEOUT).await.unwrap(), &[]);
        assert_eq!(note_ids(db).await, [1, 2, 11, 12]);
    }

    async fn an_edited_step_is_refused(test: TestDb) {
        let db = test.db();
        migrate(db, &STEPS[..2], LOCK_TIMEOUT).await.unwrap();
        let edited = [STEPS[0], step(2, "text", "ALTER TABLE notes ADD COLUMN body TEXT"), STEPS[2]];
        let error = migrate(db, &edited, LOCK_TIMEOUT).await.unwrap_err();
        assert!(matches!(&error, MigrateError::Changed { version: 2, name } if name == "text"), "{error:?}");
        assert!(pending(db, &edited).await.is_err());
        assert_eq!(note_ids(db).await, [1, 2]);
    }

    async fn a_newer_schema_is_refused(test: TestDb) {
        let db = test.db();
        migrate(db, STEPS, LOCK_TIMEOUT).await.unwrap();
        let error = migrate(db, &STEPS[..1], LOCK_TIMEOUT).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "this database is at schema 3, this program knows up to 1: use the newer drover"
        );
        assert!(matches!(pending(db, &STEPS[..1]).await, Err(MigrateError::NewerSchema { database: 3, program: 1 })));
    }

    async fn a_gap_is_refused(test: TestDb) {
        let db = test.db();
        let gap = [STEPS[0], step(3, "more", "INSERT INTO notes VALUES (3)")];
        migrate(db, &gap, LOCK_TIMEOUT).await.unwrap();
        let error = migrate(db, STEPS, LOCK_TIMEOUT).await.unwrap_err();
        assert!(matches!(error, MigrateError::Gap { version: 2 }), "{error:?}");
    }

    async fn a_failed_step_changes_nothing(test: TestDb) {
        let db = test.db();
        let broken = [STEPS[0], STEPS[1], step(3, "broken", "INSERT INTO notes (id) VALUES (5); INSERT INTO nowhere VALUES (1)")];
        let error = migrate(db, &broken, LOCK_TIMEOUT).await.unwrap_err();
        assert!(matches!(error, MigrateError::Step { version: 3, .. }), "{error:?}");
        assert_eq!(pending(db, STEPS).await.unwrap().len(), 3);
        migrate(db, STEPS, LOCK_TIMEOUT).await.unwrap();
        assert_eq!(note_ids(db).await, [1, 2, 11, 12]);
    }

    async fn concurrent_migrators_apply_once(test: TestDb) {
        let others = [test.open_again().await, test.open_again().await, test.open_again().await];
        let outcomes = futures::future::join_all(others.iter().map(|db| migrate(db, STEPS, LOCK_TIMEOUT))).await;
        let mut applied: Vec<usize> = outcomes.into_iter().map(|outcome| outcome.unwrap().len()).collect();
        applied.sort_unstable();
        assert_eq!(applied, [0, 0, 3]);
        assert_eq!(note_ids(test.db()).await, [1, 2, 11, 12]);
        for other in others {
            other.close().await;
        }
    }

    async fn our_own_schema_applies(test: TestDb) {
        migrate(test.db(), MIGRATIONS, LOCK_TIMEOUT).await.unwrap();
        assert_eq!(pending(test.db(), MIGRATIONS).await.unwrap(), &[]);
    }
}

#[tokio::test]
async fn postgres_waits_for_the_lock_only_so_long() {
    let test = TestDb::postgres().await;
    let mut holder = test.db().begin().await.unwrap();
    let sql = "SELECT pg_try_advisory_xact_lock(110442659079538)";
    let is_held: bool = drover_db::on_tx!(&mut holder, |c| match sqlx::query_scalar(sql).fetch_one(c).await {
        Ok(is_held) => is_held,
        Err(error) => panic!("{error}"),
    });
    assert!(is_held);
    let error = migrate(test.db(), STEPS, Duration::from_millis(120)).await.unwrap_err();
    assert!(matches!(error, MigrateError::Locked { .. }), "{error:?}");
    holder.rollback().await.unwrap();
    assert_eq!(migrate(test.db(), STEPS, LOCK_TIMEOUT).await.unwrap().len(), 3);
}
