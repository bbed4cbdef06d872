//! The rows of whole tables, out of one database and into another, in one form for both.
//!
//! The form is `PostgreSQL`'s binary `COPY`, with the columns in the order of their names and the rows in the order of
//! the primary key, text by its bytes. So the same rows are the same bytes on both databases, and one digest says that
//! a copy is whole.

mod postgres;
mod rows;
mod sqlite;
mod sum;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use sqlx::{AssertSqlSafe, PgPool};

pub use rows::{Malformed, RowReader};
pub use sum::{TableSum, TableSummer};

use crate::catalogue::{Kind, Table};
use crate::{Db, Tx, on_tx};

/// What reads a whole database waits for other things in between: objects, the other database.
const MAY_IDLE: &str = "SET LOCAL idle_in_transaction_session_timeout = 0";

/// Rows were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The catalogue cannot be read.
    #[error("failed to read which tables the database has")]
    Catalogue(#[source] sqlx::Error),
    /// Somebody else writes and does not end.
    #[error("failed to keep others from writing: stop every server on this database, then try again")]
    Standstill(#[source] sqlx::Error),
    /// A table that nobody taught this program.
    #[error("column {table}.{column} has the type {word}, which cannot be copied between databases")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The database's name of the type.
        word: String,
    },
    /// Rows without an order.
    #[error("table {table} has no primary key, so its rows have no order to be copied in")]
    NoKey {
        /// The table.
        table: String,
    },
    /// No table of these can be first.
    #[error("the tables {} refer to each other in a circle", tables.join(", "))]
    Circle {
        /// The tables.
        tables: Vec<String>,
    },
    /// The database gives no rows.
    #[error("failed to read table {table}")]
    Read {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The database takes no rows.
    #[error("failed to write table {table}")]
    Write {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The rows to write cannot be read.
    #[error("failed to read the rows for table {table}")]
    Source {
        /// The table.
        table: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are no rows.
    #[error("the rows for table {table} are not in the right form")]
    Malformed {
        /// The table.
        table: String,
        /// What is wrong.
        #[source]
        source: Malformed,
    },
}

impl CopyError {
    fn read(table: &Table) -> impl Fn(sqlx::Error) -> Self + use<> {
        let table = table.name.clone();
        move |source| Self::Read { table: table.clone(), source }
    }

    fn write(table: &Table) -> impl Fn(sqlx::Error) -> Self + use<> {
        let table = table.name.clone();
        move |source| Self::Write { table: table.clone(), source }
    }

    fn malformed(table: &Table) -> impl Fn(Malformed) -> Self + use<> {
        let table = table.name.clone();
        move |source| Self::Malformed { table: table.clone(), source }
    }
}

impl Db {
    /// A transaction that sees one moment of the whole database, however long it reads; others go on writing.
    pub async fn snapshot(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.readers.begin().await.map(Tx::Sqlite),
            Self::Postgres(pools) => {
                let mut tx = pools.all.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
                sqlx::raw_sql(MAY_IDLE).execute(&mut *tx).await?;
                Ok(Tx::Postgres(tx))
            }
        }
    }

    /// A transaction that sees one moment of the whole database, and nobody else writes until it ends, however long it
    /// waits in between.
    pub async fn standstill(&self) -> Result<Tx, CopyError> {
        let names: Vec<String> = {
            let mut tx = self.snapshot().await.map_err(CopyError::Catalogue)?;
            crate::tables(&mut tx).await?.iter().map(|table| quoted(&table.name)).collect()
        };
        let stopped = match self {
            Self::Sqlite(_) => self.begin().await,
            Self::Postgres(pools) => stop_writers(&pools.all, &names).await,
        };
        stopped.map_err(CopyError::Standstill)
    }
}

async fn stop_writers(pool: &PgPool, names: &[String]) -> Result<Tx, sqlx::Error> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    sqlx::raw_sql(MAY_IDLE).execute(&mut *tx).await?;
    // The lock comes before anything is read: what is seen begins with the first reading statement.
    if !names.is_empty() {
        let lock = format!("LOCK TABLE {} IN SHARE MODE", names.join(", "));
        sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *tx).await?;
    }
    Ok(Tx::Postgres(tx))
}

/// All rows of a table, as they are in this transaction.
pub async fn dump<'t>(tx: &'t mut Tx, table: &Table) -> Result<BoxStream<'t, Result<Bytes, CopyError>>, CopyError> {
    let failed = CopyError::read(table);
    Ok(match tx {
        Tx::Sqlite(tx) => sqlite::dump(tx, table).map(move |bytes| bytes.map_err(&failed)).boxed(),
        Tx::Postgres(tx) => {
            let rows = postgres::dump(tx, table).await.map_err(&failed)?;
            rows.map(move |bytes| bytes.map_err(&failed)).boxed()
        }
    })
}

/// Writes rows into a table and says how many. They become visible with the transaction's commit.
pub async fn load<S>(tx: &mut Tx, table: &Table, rows: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    match tx {
        Tx::Sqlite(tx) => sqlite::load(tx, table, rows).await,
        Tx::Postgres(tx) => postgres::load(tx, table, rows).await,
    }
}

/// Count and digest of a table's rows, as they are in this transaction.
pub async fn sum(tx: &mut Tx, table: &Table) -> Result<TableSum, CopyError> {
    let mut summer = TableSummer::default();
    let mut rows = dump(tx, table).await?;
    while let Some(bytes) = rows.next().await {
        summer.add(&bytes?).map_err(CopyError::malformed(table))?;
    }
    summer.finish().map_err(CopyError::malformed(table))
}

/// Removes all rows of these tables, which are in the order of [`tables`](crate::tables).
pub async fn clear(tx: &mut Tx, tables: &[Table]) -> Result<(), CopyError> {
    for table in tables.iter().rev() {
        let sql = format!("DELETE FROM {}", quoted(&table.name));
        let done = async { on_tx!(tx, |c| sqlx::query(AssertSqlSafe(sql)).execute(c).await.map(drop)) };
        done.await.map_err(CopyError::write(table))?;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn column_list(table: &Table) -> String {
    table.columns.iter().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ")
}

/// The primary key's columns; `text` stands behind those of text.
fn key_list(table: &Table, text: &str) -> String {
    let word = |column: &crate::Column| match column.kind {
        Kind::Text => format!("{}{text}", quoted(&column.name)),
        Kind::Bytes | Kind::Integer | Kind::Real => quoted(&column.name),
    };
    table.key.iter().map(word).collect::<Vec<_>>().join(", ")
}
