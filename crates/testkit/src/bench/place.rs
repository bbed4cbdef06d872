//! Where a server under measurement keeps its things.

use std::path::Path;

use drover_db::Db;
use drover_db::testing::TestDb;
use tempfile::TempDir;

/// The two profiles that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Database {
    /// SQLite and a folder.
    Sqlite,
    /// PostgreSQL and S3: `DROVER_TEST_POSTGRES` and `DROVER_TEST_S3` say where.
    Postgres,
}

/// A data folder and a database of its own, gone when dropped.
pub(crate) struct Place {
    folder: TempDir,
    postgres: Option<TestDb>,
}

impl Place {
    /// An empty place.
    pub(crate) async fn new(database: Database) -> Self {
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(TestDb::postgres().await),
        };
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made"), postgres }
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `drover serve` is told.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Some(postgres) = &self.postgres else { return Vec::new() };
        let bucket = std::env::var("DROVER_TEST_S3").expect("DROVER_TEST_S3 is set: use cargo xtask bench");
        vec!["--database".to_owned(), postgres.url().to_owned(), "--blobs".to_owned(), bucket]
    }

    /// Opens the database beside the server.
    pub(crate) async fn open(&self) -> Db {
        let url = match &self.postgres {
            Some(postgres) => postgres.url().to_owned(),
            None => format!("sqlite:{}", self.folder().join("data/drover.db").display()),
        };
        Db::open(&url, &drover_db::OpenOptions::default()).await.expect("the database opens")
    }
}
