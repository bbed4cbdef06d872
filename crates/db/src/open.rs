//! From a URL to open pools.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Database, PgConnection, SqlitePool};

use crate::question::{QUESTION_IDLE, QUESTION_TIME, QUESTION_WAIT, QUESTIONS_MAX};
use crate::{Db, PostgresPools, SqlitePools};

/// The pool keeps this many connections ready on `PostgreSQL`.
const POOL_MIN: u32 = 10;
const POOL_MAX: u32 = 100;
/// How long a caller waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a server may take to let the first connection in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A transaction holds locks: one that nobody drives any more is ended by the server.
const IDLE_IN_TRANSACTION_TIMEOUT_MS: &str = "60000";

/// How to open a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// The most connections, 10 to 100. On `SQLite` those that read; there is always one that writes.
    pub pool_max: u32,
    /// How long a statement waits for another's lock before it fails as retryable, in milliseconds; 1 or more.
    pub busy_timeout_ms: u32,
    /// Refuse every change, and do not create a missing file.
    pub read_only: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { pool_max: POOL_MIN, busy_timeout_ms: 5_000, read_only: false }
    }
}

/// The database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Neither of the accepted forms. The rest of the URL is left out: it may hold a password.
    #[error(
        "unknown database address starting with {scheme:?}: use sqlite:PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
    )]
    UnknownScheme {
        /// What stands before the first colon.
        scheme: String,
    },
    /// A limit out of its range.
    #[error("{name} is {given}: give a value from {min} to {max}")]
    OutOfRange {
        /// The option.
        name: &'static str,
        /// Its value.
        given: u32,
        /// The least it may be.
        min: u32,
        /// The most it may be.
        max: u32,
    },
    /// A `SQLite` address that names no file.
    #[error("sqlite:{path} names no file: give a path, such as sqlite:/var/lib/drover/drover.db")]
    InvalidPath {
        /// What stands after `sqlite:`.
        path: String,
    },
    /// The folder of the file is not there.
    #[error("the folder {} for the database file does not exist: create it, or correct the path", folder.display())]
    MissingFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// The file could not be created, or is not there to be read.
    #[error("cannot open the database file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `SQLite` refused the file.
    #[error("SQLite cannot open {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The `postgres:` URL has a fault.
    #[error("the postgres:// address is not valid: write it as postgres://USER:PASSWORD@HOST:PORT/NAME")]
    InvalidPostgresUrl(#[source] sqlx::Error),
    /// The server did not let us in.
    #[error("cannot connect to PostgreSQL at {host}:{port}, database {database:?}: check that it runs and lets us in")]
    Postgres {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// The database's name.
        database: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

impl Db {
    /// Opens `sqlite:PATH` or `postgres://…`. A `SQLite` file is created, readable by its owner only, when it is missing;
    /// its folder is not.
    pub async fn open(url: &str, options: &OpenOptions) -> Result<Self, OpenError> {
        check_range("pool_max", options.pool_max, POOL_MIN, POOL_MAX)?;
        check_range("busy_timeout_ms", options.busy_timeout_ms, 1, 600_000)?;
        Self::open_with(url, options, POOL_MIN).await
    }

    /// [`Db::open`] without its limits: tests open many databases on one server.
    pub(crate) async fn open_with(url: &str, options: &OpenOptions, pool_min: u32) -> Result<Self, OpenError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        match scheme {
            "sqlite" => open_sqlite(rest, options).await.map(Self::Sqlite),
            "postgres" | "postgresql" => open_postgres(url, options, pool_min).await.map(Self::Postgres),
            _ => Err(OpenError::UnknownScheme { scheme: scheme.chars().take(32).collect() }),
        }
    }
}

fn check_range(name: &'static str, given: u32, min: u32, max: u32) -> Result<(), OpenError> {
    if (min..=max).contains(&given) { Ok(()) } else { Err(OpenError::OutOfRange { name, given, min, max }) }
}

async fn open_sqlite(path: &str, options: &OpenOptions) -> Result<SqlitePools, OpenError> {
    // `sqlite:///var/…` is what other programs write for the same file.
    let name = path.strip_prefix("//").unwrap_or(path);
    if name.is_empty() || name.ends_with('/') || name.contains(['?', '\0']) || name.contains(":memory:") {
        return Err(OpenError::InvalidPath { path: path.to_owned() });
    }
    let file = Path::new(name);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !tokio::fs::try_exists(folder).await.unwrap_or(false) {
        return Err(OpenError::MissingFolder { folder: folder.to_owned() });
    }
    touch(file, options.read_only).await.map_err(|source| OpenError::File { path: file.to_owned(), source })?;
    let refused = |source| OpenError::Sqlite { path: file.to_owned(), source };
    let writer = sqlite_writer(file, options).await.map_err(refused)?;
    let readers = sqlite_readers(file, options).await.map_err(refused)?;
    let questions = question_pool().connect_lazy_with(sqlite_reader(file, options));
    Ok(SqlitePools { writer, readers, questions })
}

/// `SQLite` would create the file readable by everyone; its log and index files take over the mode of the file.
async fn touch(file: &Path, read_only: bool) -> std::io::Result<()> {
    let mut open = tokio::fs::OpenOptions::new();
    open.read(true);
    if !read_only {
        open.write(true).create(true);
        #[cfg(unix)]
        open.mode(0o600);
    }
    open.open(file).await.map(drop)
}

/// Pages that the writer keeps: what a stage of half a million devices goes through again and again. Taken only when
/// it is used.
const WRITER_CACHE_KIB: u32 = 64 * 1024;

/// After so many pages of 4 KiB the log is carried over: a page that many transactions change is written once.
const CHECKPOINT_PAGES: &str = "8192";

fn sqlite_options(file: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .busy_timeout(Duration::from_millis(options.busy_timeout_ms.into()))
}

async fn sqlite_writer(file: &Path, options: &OpenOptions) -> Result<SqlitePool, sqlx::Error> {
    let mut connect = sqlite_options(file, options);
    connect = if options.read_only {
        connect.pragma("query_only", "ON")
    } else {
        connect
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
    };
    SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        // SQLite ends a transaction by itself on a full disk, and the driver goes on believing in it: such a
        // connection would refuse every transaction from then on.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .connect_with(connect)
        .await
}

async fn sqlite_readers(file: &Path, options: &OpenOptions) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(options.pool_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(sqlite_reader(file, options))
        .await
}

fn sqlite_reader(file: &Path, options: &OpenOptions) -> SqliteConnectOptions {
    sqlite_options(file, options).pragma("query_only", "ON")
}

/// Opened when they are asked for, and closed soon after.
fn question_pool<D: Database>() -> PoolOptions<D> {
    PoolOptions::new().max_connections(QUESTIONS_MAX).acquire_timeout(QUESTION_WAIT).idle_timeout(QUESTION_IDLE)
}

async fn open_postgres(url: &str, options: &OpenOptions, pool_min: u32) -> Result<PostgresPools, OpenError> {
    let mut connect: PgConnectOptions = url.parse().map_err(OpenError::InvalidPostgresUrl)?;
    connect = connect.application_name("drover").options([
        ("lock_timeout", options.busy_timeout_ms.to_string().as_str()),
        // What is asked of a fleet looks costly enough to be compiled first, which takes longer than to answer it.
        ("jit", "off"),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT_MS),
        ("default_transaction_read_only", if options.read_only { "on" } else { "off" }),
    ]);
    let (host, port) = (connect.get_host().to_owned(), connect.get_port());
    let database = connect.get_database().unwrap_or(connect.get_username()).to_owned();
    let refused = |source| OpenError::Postgres { host, port, database, source };
    // The pool would retry a refused connection until its time-out: ask once, so that a wrong address shows at once.
    if let Err(error) = try_connect(&connect).await {
        return Err(refused(error));
    }
    let question_ms = QUESTION_TIME.as_millis().to_string();
    let reader =
        connect.clone().options([("statement_timeout", question_ms.as_str()), ("default_transaction_read_only", "on")]);
    let questions = question_pool().connect_lazy_with(reader);
    let all = PgPoolOptions::new()
        .min_connections(pool_min)
        .max_connections(options.pool_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(connect)
        .await
        .map_err(refused)?;
    Ok(PostgresPools { all, questions })
}

async fn try_connect(connect: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let attempt = async { PgConnection::connect_with(connect).await?.close().await };
    tokio::time::timeout(CONNECT_TIMEOUT, attempt).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
