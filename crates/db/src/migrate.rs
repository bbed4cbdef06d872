//! Brings a schema up to date: under a lock, all pending steps in one transaction or none.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use drover_types::Sha256Digest;
use sqlx::AssertSqlSafe;
use tokio::time::Instant;

use crate::{Db, Dialect, Tx, is_retryable, on_tx, read};

/// One step of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: i64,
    /// What it does, as in its file's name.
    pub name: &'static str,
    /// Statements for `SQLite`. No `PRAGMA` and no transaction control: they run in one.
    pub sqlite: &'static str,
    /// Statements for `PostgreSQL`. Nothing that cannot run in a transaction.
    pub postgres: &'static str,
}

impl Migration {
    const fn sql(&self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Sqlite => self.sqlite,
            Dialect::Postgres => self.postgres,
        }
    }

    fn checksum(&self, dialect: Dialect) -> String {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.sql(dialect).as_bytes()).as_ref());
        Sha256Digest::from_bytes(bytes).to_string()
    }
}

/// The schema was not changed.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A newer program was here.
    #[error("this database is at schema {database}, this program knows up to {program}: use the newer drover")]
    NewerSchema {
        /// The database's version.
        database: i64,
        /// The newest version of this program.
        program: i64,
    },
    /// A step was edited after it was applied.
    #[error(
        "schema step {version} ({name}) differs from the one this database was made with: use the drover that made it, \
         or restore a backup"
    )]
    Changed {
        /// The step.
        version: i64,
        /// Its name.
        name: String,
    },
    /// The steps in the database are not the first ones of the list.
    #[error("this database lacks schema step {version} but has later ones: restore a backup")]
    Gap {
        /// The step that is missing.
        version: i64,
    },
    /// Another process holds the lock.
    #[error("another process has been changing the schema for {waited_s} s: wait for it to end, then try again")]
    Locked {
        /// How long we waited, in seconds.
        waited_s: u64,
    },
    /// A step failed; the schema is as it was before.
    #[error("schema step {version} ({name}) failed and nothing was changed")]
    Step {
        /// The step.
        version: i64,
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A statement about the schema's history failed.
    #[error("cannot read or write the schema's history")]
    Database(#[from] sqlx::Error),
}

const HISTORY_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT NOT NULL PRIMARY KEY, \
     name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)";
const HISTORY: &str = "SELECT version, name, checksum FROM schema_migrations ORDER BY version";
const LOCK_RETRY: Duration = Duration::from_millis(50);

type Applied = (i64, String, String);

/// The steps of `list` that `db` does not have yet, without changing anything. Refuses a schema that is newer than `list`
/// or was made from other steps.
pub async fn pending<'m>(db: &Db, list: &'m [Migration]) -> Result<&'m [Migration], MigrateError> {
    let dialect = db.dialect();
    let sql = dialect.table_exists();
    let exists: bool = read!(db, |c| sqlx::query_scalar(sql).bind("schema_migrations").fetch_one(c).await?);
    if !exists {
        return Ok(list);
    }
    let applied: Vec<Applied> = read!(db, |c| sqlx::query_as(HISTORY).fetch_all(c).await?);
    remaining(&applied, list, dialect)
}

/// Applies the pending steps of `list` and returns them. Waits at most `lock_timeout` for another process that does the
/// same. All steps are one transaction: after a failure the schema is as it was.
pub async fn migrate<'m>(
    db: &Db,
    list: &'m [Migration],
    lock_timeout: Duration,
) -> Result<&'m [Migration], MigrateError> {
    let mut tx = begin_migration(db, lock_timeout).await?;
    let steps = migrate_in(&mut tx, list).await?;
    tx.commit().await?;
    Ok(steps)
}

/// [`migrate`] in a transaction of [`begin_migration`], which may do more before it commits.
pub async fn migrate_in<'m>(tx: &mut Tx, list: &'m [Migration]) -> Result<&'m [Migration], MigrateError> {
    let dialect = tx.dialect();
    on_tx!(tx, |c| sqlx::raw_sql(HISTORY_TABLE).execute(c).await.map(drop))?;
    let applied: Vec<Applied> = on_tx!(tx, |c| sqlx::query_as(HISTORY).fetch_all(c).await?);
    let steps = remaining(&applied, list, dialect)?;
    for step in steps {
        apply(tx, step).await.map_err(|source| MigrateError::Step {
            version: step.version,
            name: step.name,
            source,
        })?;
        tracing::info!(version = step.version, name = step.name, "schema step applied");
    }
    Ok(steps)
}

/// Begins a transaction that alone may migrate, until it ends: a program that starts waits for it.
pub async fn begin_migration(db: &Db, lock_timeout: Duration) -> Result<Tx, MigrateError> {
    let deadline = Instant::now() + lock_timeout;
    loop {
        match try_begin_locked(db).await {
            Ok(Some(tx)) => return Ok(tx),
            Ok(None) => {}
            Err(error) if is_retryable(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= deadline {
            return Err(MigrateError::Locked { waited_s: lock_timeout.as_secs() });
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

async fn try_begin_locked(db: &Db) -> Result<Option<Tx>, sqlx::Error> {
    let mut tx = db.begin().await?;
    let sql = tx.dialect().try_migration_lock();
    let is_locked: bool = on_tx!(&mut tx, |c| sqlx::query_scalar(sql).fetch_one(c).await?);
    if is_locked {
        return Ok(Some(tx));
    }
    tx.rollback().await?;
    Ok(None)
}

async fn apply(tx: &mut Tx, step: &Migration) -> Result<(), sqlx::Error> {
    let dialect = tx.dialect();
    let record = format!(
        "INSERT INTO schema_migrations (version, name, checksum, applied_at) VALUES ($1, $2, $3, {})",
        dialect.now_us()
    );
    on_tx!(tx, |c| {
        sqlx::raw_sql(step.sql(dialect)).execute(&mut *c).await?;
        let query = sqlx::query(AssertSqlSafe(record)).bind(step.version).bind(step.name);
        query.bind(step.checksum(dialect)).execute(c).await?;
    });
    Ok(())
}

/// What of `list` is not in `applied`, which has to be its beginning.
fn remaining<'m>(
    applied: &[Applied],
    list: &'m [Migration],
    dialect: Dialect,
) -> Result<&'m [Migration], MigrateError> {
    let program = list.last().map_or(0, |step| step.version);
    if let Some((database, ..)) = applied.last()
        && *database > program
    {
        return Err(MigrateError::NewerSchema { database: *database, program });
    }
    for (step, (version, name, checksum)) in list.iter().zip(applied) {
        if *version != step.version {
            return Err(MigrateError::Gap { version: step.version });
        }
        if *checksum != step.checksum(dialect) {
            return Err(MigrateError::Changed { version: *version, name: name.clone() });
        }
    }
    Ok(list.get(applied.len()..).unwrap_or_default())
}
