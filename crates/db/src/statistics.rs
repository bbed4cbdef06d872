//! What `PostgreSQL` knows of tables when it chooses a plan.

use sqlx::AssertSqlSafe;

use crate::Db;

/// How long it may take to read a sample of a table; and to wait for a vacuum of it, which `PostgreSQL` would break off for
/// us after a second.
const LIMITS: &str = "SET LOCAL statement_timeout = '3s'; SET LOCAL lock_timeout = '500ms'";

/// Has `PostgreSQL` look now at how many rows a table has, and which values. By itself it does so a minute after many
/// rows came, or later, and until then it goes by what it knew before. Others go on reading and writing. `SQLite`
/// chooses its plans without.
///
/// # Errors
/// When it takes longer than three seconds, or the table is being vacuumed, among others. Nothing is wrong then but plans.
pub async fn analyze(db: &Db, table: &'static str) -> Result<(), sqlx::Error> {
    let Db::Postgres(pools) = db else { return Ok(()) };
    let mut tx = pools.all.begin().await?;
    sqlx::raw_sql(LIMITS).execute(&mut *tx).await?;
    sqlx::query(AssertSqlSafe(format!("ANALYZE {table}"))).execute(&mut *tx).await?;
    tx.commit().await
}
