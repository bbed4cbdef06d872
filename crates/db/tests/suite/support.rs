//! A small schema and the statements that the tests share.

use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{BoxFuture, Db, Migration, Tx, migrate, on_tx, read};

pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

const SCHEMA: &str = "
    CREATE TABLE parents (id BIGINT NOT NULL PRIMARY KEY);
    CREATE TABLE items (id BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, site TEXT NOT NULL DEFAULT '',
        parent_id BIGINT REFERENCES parents (id),
        late_parent_id BIGINT REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED,
        UNIQUE (site, name));
    CREATE TABLE leases (name TEXT NOT NULL PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL,
        expires_at BIGINT NOT NULL);
    CREATE TABLE moves (target TEXT NOT NULL PRIMARY KEY, moved_at BIGINT NOT NULL);
";

pub(crate) const MIGRATIONS: &[Migration] = &[Migration { version: 1, name: "test", sqlite: SCHEMA, postgres: SCHEMA }];

/// Applies the test schema.
pub(crate) async fn set_up(test: &TestDb) -> Db {
    migrate(test.db(), MIGRATIONS, LOCK_TIMEOUT).await.unwrap();
    test.db().clone()
}

/// Work that adds item `id` with a name of its own.
pub(crate) fn add(id: i64) -> impl for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<i64, sqlx::Error>> + Send {
    move |tx| Box::pin(insert(tx, id))
}

pub(crate) async fn insert(tx: &mut Tx, id: i64) -> Result<i64, sqlx::Error> {
    on_tx!(tx, |c| {
        let query = sqlx::query("INSERT INTO items (id, name) VALUES ($1, $2)");
        query.bind(id).bind(format!("item {id}")).execute(c).await?;
    });
    Ok(id)
}

/// The items that are committed, in order.
pub(crate) async fn ids(db: &Db) -> Vec<i64> {
    read!(db, |c| sqlx::query_scalar("SELECT id FROM items ORDER BY id").fetch_all(c).await.unwrap())
}

/// Looks again until `condition` holds; fails after 20 s.
pub(crate) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not within 20 s: {what}");
        tokio::task::yield_now().await;
    }
}
