//! A transaction of either kind, its savepoints, and the macro for statements in it.

use sqlx::{AssertSqlSafe, Postgres, Sqlite, Transaction};

use crate::Dialect;

/// A transaction that may write. Dropped without [`Tx::commit`], it is rolled back.
#[derive(Debug)]
pub enum Tx {
    /// On the one writing connection of a file.
    Sqlite(Transaction<'static, Sqlite>),
    /// On a connection of the pool.
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Which SQL this transaction speaks where the two databases differ.
    pub const fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Makes the changes durable. An `Ok` means that they are.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(mut tx) => {
                // PostgreSQL turns the COMMIT of a transaction in which a statement failed into a ROLLBACK and reports
                // success. Work that swallowed that statement's error must not be told that it was written.
                sqlx::raw_sql("SELECT 1").execute(&mut *tx).await?;
                tx.commit().await
            }
        }
    }

    /// Takes the changes back.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(tx) => tx.rollback().await,
        }
    }

    /// Sets savepoint `index`; the same index again hides the older one until it is released.
    pub async fn savepoint(&mut self, index: u32) -> Result<(), sqlx::Error> {
        self.run(format!("SAVEPOINT drover_{index}")).await
    }

    /// Releases savepoint `index` and sets it again, in one message.
    pub async fn next_savepoint(&mut self, index: u32) -> Result<(), sqlx::Error> {
        self.run(format!("RELEASE SAVEPOINT drover_{index}; SAVEPOINT drover_{index}")).await
    }

    /// Forgets savepoint `index` and keeps the changes since. Fails when a statement failed after it was set and nothing
    /// was rolled back.
    pub async fn release(&mut self, index: u32) -> Result<(), sqlx::Error> {
        self.run(format!("RELEASE SAVEPOINT drover_{index}")).await
    }

    /// Takes back the changes since savepoint `index`, which stays set.
    pub async fn rollback_to(&mut self, index: u32) -> Result<(), sqlx::Error> {
        self.run(format!("ROLLBACK TO SAVEPOINT drover_{index}")).await
    }

    async fn run(&mut self, statement: String) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(statement);
        match self {
            Self::Sqlite(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
            Self::Postgres(tx) => sqlx::raw_sql(sql).execute(&mut **tx).await.map(drop),
        }
    }
}

/// One body in a transaction, compiled for both drivers: `on_tx!(tx, |c| query.execute(c).await)`.
///
/// `tx` is a `&mut Tx`. `c` is the connection as a `&mut`; a body with more than one statement passes `&mut *c`.
/// `return` and `?` leave the surrounding function.
#[macro_export]
macro_rules! on_tx {
    ($tx:expr, |$c:ident| $body:expr) => {
        match &mut *$tx {
            $crate::Tx::Sqlite(transaction) => {
                let $c = &mut **transaction;
                $body
            }
            $crate::Tx::Postgres(transaction) => {
                let $c = &mut **transaction;
                $body
            }
        }
    };
}
