//! What `PostgreSQL` knows of tables when it chooses a plan.

use sqlx::AssertSqlSafe;

use crate::Db;

/// Has `PostgreSQL` count a table's rows and values now. By itself it does so a minute after many rows came, or later;
/// until then it takes them for few, and reads all of a tenant's to find some by their ids. Others go on reading and
/// writing meanwhile; when the server is at it already, this does nothing. `SQLite` chooses its plans without.
pub async fn count_rows(db: &Db, table: &'static str) -> Result<(), sqlx::Error> {
    let Db::Postgres(pools) = db else { return Ok(()) };
    sqlx::query(AssertSqlSafe(format!("ANALYZE (SKIP_LOCKED) {table}"))).execute(&pools.all).await.map(drop)
}
