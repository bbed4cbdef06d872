//! Fresh databases for tests, and the macro that runs a test on both.

use std::hash::{BuildHasher, Hasher, RandomState};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::{Db, OpenOptions};

/// The variable that names a server on which tests may create databases.
pub const POSTGRES_VARIABLE: &str = "DROVER_TEST_POSTGRES";

/// Small, because many tests share one server.
const OPTIONS: OpenOptions = OpenOptions { pool_max: 8, busy_timeout_ms: 10_000, read_only: false };

/// Lets the planner know the rows that are there now, as PostgreSQL's own housekeeping does within a minute. Nobody does
/// so for `SQLite`, which stays as it is.
pub async fn count_rows(db: &Db) -> Result<(), sqlx::Error> {
    match db {
        Db::Sqlite(_) => Ok(()),
        Db::Postgres(pools) => sqlx::query("ANALYZE").execute(&pools.all).await.map(drop),
    }
}

/// An empty database of its own for one test, removed when dropped.
#[derive(Debug)]
pub struct TestDb {
    db: Db,
    url: String,
    place: Option<Place>,
}

#[derive(Debug)]
enum Place {
    Folder(#[expect(dead_code, reason = "removes the folder when dropped")] TempDir),
    Server { admin_url: String, name: String },
}

impl TestDb {
    /// A file in a temporary folder.
    ///
    /// # Panics
    /// When it cannot be created.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        let db = Db::open_with(&url, &OPTIONS, 0).await.expect("a fresh SQLite file opens");
        Self { db, url, place: Some(Place::Folder(folder)) }
    }

    /// A database on the server that `DROVER_TEST_POSTGRES` names.
    ///
    /// # Panics
    /// When the variable is not set or the server is not there.
    pub async fn postgres() -> Self {
        Self::postgres_with("").await
    }

    /// [`TestDb::postgres`] with further options of `CREATE DATABASE`, for instance another locale.
    ///
    /// # Panics
    /// As [`TestDb::postgres`], and when the server refuses the options.
    pub async fn postgres_with(options: &str) -> Self {
        let Ok(admin_url) = std::env::var(POSTGRES_VARIABLE) else {
            panic!(
                "{POSTGRES_VARIABLE} is not set, and this test needs a PostgreSQL. \
                 start one: scripts/postgres-server.sh, or `make test`"
            );
        };
        let name = format!("drover_test_{}_{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
        run_on_server(&admin_url, format!("CREATE DATABASE {name} TEMPLATE template0 {options}"))
            .await
            .expect("the server of DROVER_TEST_POSTGRES creates a database");
        let server = admin_url.rsplit_once('/').map_or(admin_url.as_str(), |(server, _)| server);
        let url = format!("{server}/{name}");
        let db = Db::open_with(&url, &OPTIONS, 0).await.expect("a fresh database opens");
        Self { db, url, place: Some(Place::Server { admin_url, name }) }
    }

    /// The open database.
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Where it is, for [`Db::open`] or another process.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Opens it once more, as another process would.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn open_again(&self) -> Db {
        Db::open_with(&self.url, &OPTIONS, 0).await.expect("an existing test database opens")
    }

    /// Closes and removes it. Dropping does the same, but blocks.
    pub async fn close(mut self) {
        self.db.close().await;
        if let Some(Place::Server { admin_url, name }) = self.place.take() {
            remove(&admin_url, &name).await;
        }
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let Some(Place::Server { admin_url, name }) = self.place.take() else { return };
        // A thread of its own: the runtime of the test cannot be blocked on from within.
        let removal = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(remove(&admin_url, &name));
        });
        let _ = removal.join();
    }
}

async fn remove(admin_url: &str, name: &str) {
    // FORCE ends connections that the test left open. A failure must not hide what the test itself has to say.
    if let Err(error) = run_on_server(admin_url, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await {
        tracing::warn!(%error, name, "a test database was left behind");
    }
}

async fn run_on_server(admin_url: &str, statement: String) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(admin_url).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

/// Makes of each function two tests, `name::sqlite` and `name::postgres`, with a fresh [`TestDb`].
///
/// ```text
/// on_both! {
///     async fn a_device_is_found_again(test: TestDb) { … }
/// }
/// ```
#[macro_export]
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($test:ident: TestDb) $body:block)+) => {$(
        $(#[$attribute])*
        mod $name {
            use super::*;

            async fn body($test: $crate::testing::TestDb) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                body($crate::testing::TestDb::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                body($crate::testing::TestDb::postgres().await).await;
            }
        }
    )+};
}
