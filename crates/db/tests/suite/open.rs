//! Opening: what is accepted, what is refused with which words, and how a file is set up.

use drover_db::{Db, Dialect, OpenError, OpenOptions, on_both};

use crate::support::{add, ids, set_up};

async fn refusal(url: &str) -> OpenError {
    Db::open(url, &OpenOptions::default()).await.expect_err("refused")
}

#[tokio::test]
async fn other_schemes_are_refused_without_showing_a_password() {
    for url in ["mysql://root:secret@host/db", "/var/lib/drover.db", "", "SQLITE:x"] {
        let error = refusal(url).await.to_string();
        assert!(error.contains("sqlite:PATH") && error.contains("postgres://"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing");
    let error = refusal(&format!("sqlite:{}/drover.db", path.display())).await;
    assert!(matches!(&error, OpenError::MissingFolder { folder } if *folder == path), "{error:?}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert!(!path.exists());
}

#[tokio::test]
async fn addresses_that_name_no_file_are_refused() {
    for url in ["sqlite:", "sqlite::memory:", "sqlite:/tmp/", "sqlite:drover.db?mode=memory"] {
        assert!(matches!(refusal(url).await, OpenError::InvalidPath { .. }), "{url}");
    }
}

#[tokio::test]
async fn limits_are_checked() {
    for pool_max in [0, 9, 101] {
        let options = OpenOptions { pool_max, ..OpenOptions::default() };
        let error = Db::open("sqlite:unused.db", &options).await.expect_err("refused");
        assert!(matches!(error, OpenError::OutOfRange { name: "pool_max", .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_password() {
    // Port 1 is reserved and refuses at once.
    let error = refusal("postgres://drover:secret@127.0.0.1:1/fleet").await;
    assert!(matches!(error, OpenError::Postgres { port: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1") && !format!("{error:?}").contains("secret"));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_private_and_durable() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drover.db");
    let db = Db::open(&format!("sqlite:{}", path.display()), &OpenOptions::default()).await.unwrap();
    db.write(|tx| {
        Box::pin(async move {
            drover_db::on_tx!(tx, |c| sqlx::query("CREATE TABLE t (id BIGINT)").execute(c).await.map(drop))
        })
    })
    .await
    .unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", path.display());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file} is {mode:o}");
    }
    let Db::Sqlite(pools) = &db else { panic!("opened as SQLite") };
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&pools.writer).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pools.writer).await.unwrap();
    let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&pools.writer).await.unwrap();
    assert_eq!((journal.as_str(), synchronous, keys), ("wal", 2, 1));
    let refused = sqlx::query("INSERT INTO t VALUES (1)").execute(&pools.readers).await;
    assert!(refused.is_err(), "a reading connection wrote");
    db.close().await;
    assert!(!folder.path().join("drover.db-wal").exists(), "the log was folded in");
}

on_both! {
    async fn read_only_reads_and_refuses_to_write(test: TestDb) {
        let db = set_up(&test).await;
        db.write(add(1)).await.unwrap();
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        let reading = Db::open(test.url(), &options).await.unwrap();
        assert_eq!(ids(&reading).await, [1]);
        assert!(reading.write(add(2)).await.is_err());
        assert_eq!(ids(&db).await, [1]);
        reading.close().await;
    }

    async fn the_dialect_follows_the_address(test: TestDb) {
        let expected = if test.url().starts_with("sqlite:") { Dialect::Sqlite } else { Dialect::Postgres };
        assert_eq!(test.db().dialect(), expected);
        test.close().await;
    }
}

#[tokio::test]
async fn read_only_does_not_create_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drover.db");
    let options = OpenOptions { read_only: true, ..OpenOptions::default() };
    let outcome = Db::open(&format!("sqlite:{}", path.display()), &options).await;
    assert!(matches!(outcome, Err(OpenError::File { .. })));
    assert!(!path.exists());
}
