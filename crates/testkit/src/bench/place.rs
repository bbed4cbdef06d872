//! Where a server under measurement keeps its things.

use std::path::Path;

use drover_api::{Firmware, ReleaseKeyCreate};
use drover_cli::{Client, Progress};
use drover_db::Db;
use drover_db::testing::TestDb;
use drover_types::KeyAlgorithm;
use tempfile::TempDir;

use crate::{ReleaseBuilder, private_key};

/// The two profiles that are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Database {
    /// SQLite and a folder.
    Sqlite,
    /// PostgreSQL and S3: `DROVER_TEST_POSTGRES` and `DROVER_TEST_S3` say where.
    Postgres,
}

impl Database {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

impl std::fmt::Display for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// A data folder and a database of its own, gone when dropped.
pub struct Place {
    folder: TempDir,
    postgres: Option<TestDb>,
}

impl Place {
    /// An empty place.
    pub async fn new(database: Database) -> Self {
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(TestDb::postgres().await),
        };
        Self { folder: tempfile::tempdir().expect("a temporary folder can be made"), postgres }
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What `drover serve` is told.
    pub fn arguments(&self) -> Vec<String> {
        let Some(postgres) = &self.postgres else { return Vec::new() };
        let bucket = std::env::var("DROVER_TEST_S3").expect("DROVER_TEST_S3 is set: use cargo xtask bench");
        vec!["--database".to_owned(), postgres.url().to_owned(), "--blobs".to_owned(), bucket]
    }

    /// Opens the database beside the server.
    pub async fn open(&self) -> Db {
        let url = match &self.postgres {
            Some(postgres) => postgres.url().to_owned(),
            None => format!("sqlite:{}", self.folder().join("data/drover.db").display()),
        };
        Db::open(&url, &drover_db::OpenOptions::default()).await.expect("the database opens")
    }

    /// Publishes a small release for the fleet's devices.
    pub async fn publish(&self, admin: &Client) -> Firmware {
        let key = private_key(KeyAlgorithm::EcdsaP256);
        let trusted = ReleaseKeyCreate { name: "bench".to_owned(), public_key: key.public_key().to_pem() };
        admin.add_release_key(&trusted).await.expect("the key is added");
        let release = ReleaseBuilder::new("2.0.0", 2).sign(&key);
        let draft = admin.create_firmware(&release.create_body()).await.expect("the draft is created");
        for (name, bytes) in release.artifacts() {
            let file = self.folder().join(name);
            std::fs::write(&file, bytes).expect("the artifact is written");
            admin.upload_artifact(draft.id, name, &file, Progress::new(|_| ())).await.expect("the artifact is taken");
        }
        admin.publish_firmware(draft.id).await.expect("the firmware is published")
    }
}
