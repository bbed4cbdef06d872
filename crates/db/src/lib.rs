//! The two databases behind one enum: pools, the write path, leases, migrations.
//!
//! One SQL text serves `SQLite` and `PostgreSQL`. A statement is written once, with `$1` parameters, and the macros
//! [`read!`] and [`on_tx!`] compile its body for both drivers. What truly differs is a fragment of [`Dialect`].
//!
//! Every change goes through [`Db::write`], [`Writer::write_batched`] or a [`SetWriter`]: begin, run, commit; rolled back
//! on an error and when the caller goes away. The work awaits nothing but SQL, because it holds the database's write lock.
//!
//! ```no_run
//! # async fn example(db: drover_db::Db) -> Result<(), sqlx::Error> {
//! let names: Vec<String> = drover_db::read!(db, |c| {
//!     sqlx::query_scalar("SELECT name FROM devices WHERE tenant_id = $1").bind("t").fetch_all(c).await?
//! });
//! db.write(move |tx| {
//!     Box::pin(async move {
//!         drover_db::on_tx!(tx, |c| {
//!             sqlx::query("DELETE FROM devices WHERE tenant_id = $1").bind("t").execute(c).await?;
//!         });
//!         Ok::<(), sqlx::Error>(())
//!     })
//! })
//! .await
//! # }
//! ```

mod batch;
mod catalogue;
mod conn;
pub mod copy;
mod db;
mod dialect;
mod error;
mod lease;
mod migrate;
mod migrations;
mod open;
mod partition;
mod question;
mod set;
mod statistics;
#[cfg(feature = "testing")]
pub mod testing;
mod tx;
mod writer;

pub use batch::{BATCH_ITEMS_MAX, BATCH_WINDOW, QUEUE_ITEMS_MAX};
pub use catalogue::{Column, Kind, Table, tables};
pub use conn::{Conn, ConnGuard, OpenConn};
pub use copy::CopyError;
pub use db::{Db, PostgresPools, SqlitePools};
pub use dialect::Dialect;
pub use error::{BatchError, is_foreign_key_violation, is_out_of_time, is_retryable, unique_violation};
pub use futures::future::BoxFuture;
pub use lease::{Lease, LeaseLost, LeaseState};
pub use migrate::{MigrateError, Migration, begin_migration, migrate, migrate_in, pending};
pub use migrations::MIGRATIONS;
pub use open::{OpenError, OpenOptions};
pub use partition::{has_month_partitions, month_partitions};
pub use question::{QUESTION_TIME, Turn};
pub use set::{SetWork, SetWriter};
pub use statistics::analyze;
pub use tx::Tx;
pub use writer::Writer;
