//! A connection to run one statement on: borrowed from a transaction, or taken from a pool.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Postgres, Sqlite};

use crate::question::{self, Asker, Held, Turn};
use crate::{Db, Tx};

/// Where a statement runs. Functions that read take `impl Into<Conn<'_>>`, so that they serve both a
/// transaction and a plain read.
pub enum Conn<'c> {
    /// On the readers' pool.
    Db(&'c Db),
    /// On one of the few connections for questions.
    Question(&'c Db, &'c Turn),
    /// Inside a transaction.
    Tx(&'c mut Tx),
}

impl<'c> From<&'c Db> for Conn<'c> {
    fn from(db: &'c Db) -> Self {
        Self::Db(db)
    }
}

impl<'c> From<&'c mut Tx> for Conn<'c> {
    fn from(tx: &'c mut Tx) -> Self {
        Self::Tx(tx)
    }
}

/// A connection of one of the two databases. Made by [`Conn::open`], taken apart by [`run!`](crate::run).
pub enum OpenConn<'c> {
    /// `SQLite`.
    Sqlite(ConnGuard<'c, Sqlite>),
    /// `PostgreSQL`.
    Postgres(ConnGuard<'c, Postgres>),
}

/// A connection that is borrowed or goes back to its pool.
pub enum ConnGuard<'c, D: Database> {
    /// From the pool.
    Pooled(PoolConnection<D>),
    /// From the pool, as long as somebody waits for the answer.
    Asked(PoolConnection<D>, Asker),
    /// From the pool, until the server has done what was asked.
    Held(Held<D>),
    /// From a transaction.
    Borrowed(&'c mut D::Connection),
}

impl<D: Database> Deref for ConnGuard<'_, D> {
    type Target = D::Connection;
    fn deref(&self) -> &Self::Target {
        match self {
            Self::Pooled(connection) | Self::Asked(connection, _) => connection,
            Self::Held(held) => &held.connection,
            Self::Borrowed(connection) => connection,
        }
    }
}

impl<D: Database> DerefMut for ConnGuard<'_, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Pooled(connection) | Self::Asked(connection, _) => connection,
            Self::Held(held) => &mut held.connection,
            Self::Borrowed(connection) => connection,
        }
    }
}

impl<'c> Conn<'c> {
    /// The same for a shorter time, so that one function can run several statements.
    pub fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Self::Db(db) => Conn::Db(db),
            Self::Question(db, turn) => Conn::Question(db, turn),
            Self::Tx(tx) => Conn::Tx(tx),
        }
    }

    /// The connection itself. Errors when the pool gives none in time.
    pub async fn open(self) -> Result<OpenConn<'c>, sqlx::Error> {
        Ok(match self {
            Self::Db(Db::Sqlite(pools)) => OpenConn::Sqlite(ConnGuard::Pooled(pools.readers.acquire().await?)),
            Self::Db(Db::Postgres(pools)) => OpenConn::Postgres(ConnGuard::Pooled(pools.all.acquire().await?)),
            Self::Question(Db::Sqlite(pools), turn) => {
                let mut connection = pools.questions.acquire().await?;
                let asker = question::limit(&mut connection, turn).await?;
                OpenConn::Sqlite(ConnGuard::Asked(connection, asker))
            }
            Self::Question(Db::Postgres(pools), turn) => {
                OpenConn::Postgres(ConnGuard::Held(Held::new(pools.questions.acquire().await?, turn).await?))
            }
            Self::Tx(Tx::Sqlite(tx)) => OpenConn::Sqlite(ConnGuard::Borrowed(&mut **tx)),
            Self::Tx(Tx::Postgres(tx)) => OpenConn::Postgres(ConnGuard::Borrowed(&mut **tx)),
        })
    }
}

/// One body, compiled for both databases: `run!(conn, |c| sqlx::query(SQL).bind(id).execute(c).await)`.
/// `conn` is anything that becomes a [`Conn`]; `c` is a `&mut` connection.
#[macro_export]
macro_rules! run {
    ($conn:expr, |$c:ident| $body:expr) => {
        match ::core::convert::Into::<$crate::Conn<'_>>::into($conn).open().await? {
            $crate::OpenConn::Sqlite(mut guard) => {
                let $c = &mut *guard;
                $body
            }
            $crate::OpenConn::Postgres(mut guard) => {
                let $c = &mut *guard;
                $body
            }
        }
    };
}
