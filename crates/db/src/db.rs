//! The handle to the database, and the macro for reads.

use sqlx::{PgPool, SqlitePool};

use crate::{BoxFuture, Conn, Dialect, Turn, Tx};

/// Whether this is a standby, and whether the user may write; where there are no tables yet, nothing speaks against it.
/// A list of privileges in one call would ask whether any of them is there.
const MAY_WRITE: &str = "SELECT pg_is_in_recovery(), \
    COALESCE(has_table_privilege(to_regclass('tenants'), 'INSERT') \
        AND has_table_privilege(to_regclass('tenants'), 'UPDATE') \
        AND has_table_privilege(to_regclass('tenants'), 'DELETE'), TRUE)";

/// The pools of one `SQLite` file.
#[derive(Debug, Clone)]
pub struct SqlitePools {
    /// One connection: `SQLite` has one writer at a time, and waiting in our queue is fairer than in its busy loop.
    pub writer: SqlitePool,
    /// Connections that refuse to write. Each sees the last commit at the time its statement starts.
    pub readers: SqlitePool,
    /// The same for [`Db::questions`].
    pub questions: SqlitePool,
}

/// The pools of one `PostgreSQL` server.
#[derive(Debug, Clone)]
pub struct PostgresPools {
    /// For everything else.
    pub all: PgPool,
    /// For [`Db::questions`]: they refuse to write, and end statements that take long.
    pub questions: PgPool,
}

/// A database of either kind. Cheap to clone; all clones share the pools.
#[derive(Debug, Clone)]
pub enum Db {
    /// One file on this machine.
    Sqlite(SqlitePools),
    /// A server.
    Postgres(PostgresPools),
}

impl Db {
    /// Which SQL this database speaks where the two differ.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Where to ask about a whole fleet what people wrote: on few connections, and until the
    /// turn's end. What takes longer fails, see [`is_out_of_time`](crate::is_out_of_time).
    pub const fn questions<'c>(&'c self, turn: &'c Turn) -> Conn<'c> {
        Conn::Question(self, turn)
    }

    /// Begins a transaction that may write. On `SQLite` it holds the file's write lock from the start, so that it never
    /// fails half-way because another writer came first.
    ///
    /// Prefer [`Db::write`], which cannot forget the commit.
    pub async fn begin(&self) -> Result<Tx, sqlx::Error> {
        match self {
            Self::Sqlite(pools) => pools.writer.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite),
            Self::Postgres(pools) => pools.all.begin().await.map(Tx::Postgres),
        }
    }

    /// Runs `work` in one transaction and commits it. Rolls back when `work` fails and when this future is dropped
    /// before the commit was sent; dropped later, the outcome is not known to the caller.
    ///
    /// `work` awaits nothing but SQL on its transaction: other writers wait for it.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send,
        E: From<sqlx::Error> + Send,
        F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let mut tx = self.begin().await?;
        let outcome = work(&mut tx).await;
        match outcome {
            Ok(value) => {
                tx.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // The connection may be gone; then the database has rolled back by itself.
                if let Err(rollback) = tx.rollback().await {
                    tracing::debug!(error = %rollback, "rollback not confirmed");
                }
                Err(error)
            }
        }
    }

    /// Why this database takes no changes from this user; none when it does, and for a file, which says so itself.
    pub async fn refuses_writes(&self) -> Result<Option<&'static str>, sqlx::Error> {
        let Self::Postgres(pools) = self else { return Ok(None) };
        let (is_standby, may_write): (bool, bool) = sqlx::query_as(MAY_WRITE).fetch_one(&pools.all).await?;
        Ok(match (is_standby, may_write) {
            (true, _) => Some("it is a standby, which only reads"),
            (false, false) => Some("this user may not write its tables"),
            (false, true) => None,
        })
    }

    /// Waits for the connections in use, then closes all. Later use fails with [`sqlx::Error::PoolClosed`].
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => {
                // The writer last: the last connection to leave folds the write-ahead log into the file.
                pools.questions.close().await;
                pools.readers.close().await;
                pools.writer.close().await;
            }
            Self::Postgres(pools) => {
                pools.questions.close().await;
                pools.all.close().await;
            }
        }
    }
}

/// One body that reads, compiled for both drivers: `read!(db, |c| query.fetch_all(c).await)`.
///
/// `db` is a [`Db`] or a reference to one. `c` is the pool to read from, shared and usable many times in the body; two
/// statements may see different commits. `return` and `?` leave the surrounding function.
#[macro_export]
macro_rules! read {
    ($db:expr, |$c:ident| $body:expr) => {
        match &$db {
            $crate::Db::Sqlite(pools) => {
                let $c = &pools.readers;
                $body
            }
            $crate::Db::Postgres(pools) => {
                let $c = &pools.all;
                $body
            }
        }
    };
}
