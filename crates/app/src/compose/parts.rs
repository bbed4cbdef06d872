//! The back-ends without an application on top: for work on an installation as a whole.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drover_blob::{BlobStore, OpenOptions as BlobOptions};
use drover_db::{Db, MIGRATIONS, Migration, OpenOptions};

use super::{Backends, ComposeError, MIGRATION_LOCK_TIMEOUT, check_profile};

/// Connections for one job at a time.
const POOL_MAX: u32 = 10;

/// What an installation consists of.
pub struct Parts {
    /// Its database.
    pub db: Db,
    /// Its objects.
    pub blobs: Arc<dyn BlobStore>,
    /// The folder of its secrets.
    pub data_dir: PathBuf,
}

impl Parts {
    /// Opens an installation that exists, to read it.
    pub async fn open(backends: &Backends) -> Result<Self, ComposeError> {
        check_profile(backends)?;
        let db = open_database(&backends.database, true).await?;
        Ok(Self { db, blobs: open_blobs(backends)?, data_dir: backends.data_dir.clone() })
    }

    /// Opens the place of a new installation, to fill it. Makes the data folder. The database has no schema yet; see
    /// [`Parts::prepare`].
    pub async fn create(backends: &Backends) -> Result<Self, ComposeError> {
        check_profile(backends)?;
        make_folder(&backends.data_dir)?;
        Self::connect(backends).await
    }

    /// Opens an installation that exists, to keep others from writing while it is read.
    pub async fn open_to_stop(backends: &Backends) -> Result<Self, ComposeError> {
        // Opened to be read first: a file that is missing must not be made.
        Self::open(backends).await?.close().await;
        Self::connect(backends).await
    }

    /// Opens back-ends to fill them, without a data folder.
    pub async fn connect(backends: &Backends) -> Result<Self, ComposeError> {
        check_profile(backends)?;
        let db = open_database(&backends.database, false).await?;
        Ok(Self { db, blobs: open_blobs(backends)?, data_dir: backends.data_dir.clone() })
    }

    /// Brings the schema to these steps, which are the first ones of this program's.
    pub async fn prepare(&self, steps: &[Migration]) -> Result<(), ComposeError> {
        drover_db::migrate(&self.db, steps, MIGRATION_LOCK_TIMEOUT).await?;
        Ok(())
    }

    /// The steps that the schema has.
    pub async fn steps(&self) -> Result<&'static [Migration], ComposeError> {
        let pending = drover_db::pending(&self.db, MIGRATIONS).await?.len();
        Ok(&MIGRATIONS[..MIGRATIONS.len() - pending])
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.db.close().await;
    }
}

pub(crate) async fn open_database(url: &str, read_only: bool) -> Result<Db, ComposeError> {
    Ok(Db::open(url, &OpenOptions { pool_max: POOL_MAX, read_only, ..OpenOptions::default() }).await?)
}

pub(crate) fn open_blobs(backends: &Backends) -> Result<Arc<dyn BlobStore>, ComposeError> {
    let options = BlobOptions {
        public_url: backends.public_url.clone(),
        // The folder's addresses are never asked for here.
        signing_key: [0; 32],
        reserve_bytes: None,
        s3_credentials: None,
    };
    Ok(drover_blob::open(&backends.blobs, options)?)
}

fn make_folder(path: &Path) -> Result<(), ComposeError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| ComposeError::Folder { path: path.to_owned(), source })
}
