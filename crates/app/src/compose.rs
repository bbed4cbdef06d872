//! The one place that knows which back-ends there are: URLs in, an [`App`] out.

mod parts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use drover_blob::OpenOptions as BlobOptions;
use drover_bus::MemoryHotState;
use drover_db::{Db, MIGRATIONS, MigrateError, OpenOptions, Writer};
use drover_store::moves::{self, MoveRow};
use drover_types::{Clock, Timestamp};
use tokio::sync::Notify;

pub use parts::Parts;
pub(crate) use parts::{open_blobs, open_database};

use crate::feed::Feed;
use crate::login_attempts::LoginAttempts;
use crate::metrics::Metrics;
use crate::offers::{OfferWriter, OpenStages, PublishedFirmware};
use crate::parsed_conditions::ParsedConditions;
use crate::passwords::PasswordHasher;
use crate::questions::Questions;
use crate::reports::ReportWriter;
use crate::{App, Random, Settings, offers, reports};

/// How long to wait for another node that changes the schema.
pub(crate) const MIGRATION_LOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// Where everything is.
#[derive(Debug, Clone)]
pub struct Backends {
    /// `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// `file:PATH` or `s3://BUCKET?endpoint=…`.
    pub blobs: String,
    /// Folder of this node's own secrets; needed with `file:` objects.
    pub data_dir: PathBuf,
    /// What devices and people reach this server under, for instance `http://127.0.0.1:8080`.
    pub public_url: String,
    /// Connections to the database, 10 to 100.
    pub pool_max: u32,
    /// Whether to bring the schema up to date. Without, pending steps are an error.
    pub migrate: bool,
}

impl Backends {
    /// Whether this mix is accepted.
    pub fn check(&self) -> Result<(), ComposeError> {
        check_profile(self).map(drop)
    }
}

/// The application cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A mix that nobody tests.
    #[error(
        "refusing database {database}: with objects {blobs}: accepted are sqlite: with file: (one machine) \
         and postgres: with s3: (several)"
    )]
    Profile {
        /// Scheme of the database's URL.
        database: String,
        /// Scheme of the object store's URL.
        blobs: String,
    },
    /// The database does not open.
    #[error("failed to open the database")]
    Database(#[from] drover_db::OpenError),
    /// The schema does not fit.
    #[error("failed to prepare the schema")]
    Schema(#[from] MigrateError),
    /// The schema is old and may not be changed now.
    #[error("{steps} schema steps are pending: run `drover migrate`, or start without --no-migrate")]
    Pending {
        /// How many.
        steps: usize,
    },
    /// It goes on elsewhere.
    #[error(
        "this installation was moved to {target} at {moved_at}: start the server with --database and --blobs of there; to \
         go on here instead, end the servers there for good, then `drover admin undo-copy`; if that database has no \
         tenants, the copy broke off: `drover admin undo-copy`"
    )]
    Moved {
        /// Where.
        target: String,
        /// Since when.
        moved_at: Timestamp,
    },
    /// It could not be asked whether it moved.
    #[error("failed to look where this installation is: if `drover admin copy` runs, wait for its end, then try again")]
    Place(#[source] sqlx::Error),
    /// The object store does not open.
    #[error("failed to open the object store")]
    Blobs(#[from] drover_blob::OpenError),
    /// The data folder cannot be made.
    #[error("failed to make the data folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The node's secrets cannot be read or made.
    #[error("failed to read or make {path:?}: check that the data folder belongs to this user")]
    Secret {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// Opens the back-ends and puts the application together.
pub async fn compose(
    backends: &Backends,
    settings: Settings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Arc<App>, ComposeError> {
    let local = check_profile(backends)?;
    let db = open_pool(&backends.database, backends.pool_max).await?;
    if backends.migrate {
        drover_db::migrate(&db, MIGRATIONS, MIGRATION_LOCK_TIMEOUT).await?;
    } else {
        let steps = drover_db::pending(&db, MIGRATIONS).await?.len();
        if steps > 0 {
            return Err(ComposeError::Pending { steps });
        }
    }
    require_here(&db).await?;
    let url_key = if local { Some(url_key(&backends.data_dir, &*random)?) } else { None };
    let options = BlobOptions {
        public_url: backends.public_url.clone(),
        // S3 signs with its own key; this one is never used then.
        signing_key: url_key.unwrap_or_default(),
        reserve_bytes: None,
        s3_credentials: None,
    };
    let blobs = drover_blob::open(&backends.blobs, options)?;
    let writer = Writer::start(db.clone());
    let offers = OfferWriter::start(db.clone(), offers::make_all);
    let reports = ReportWriter::start(db.clone(), reports::take_all);
    let (passwords, metrics) = (PasswordHasher::default(), Metrics::default());
    let (poke, poke_uploads) = (Notify::new(), Notify::new());
    let (feed, hot) = (Feed::default(), Arc::new(MemoryHotState::default()));
    let login_attempts = LoginAttempts::default();
    Ok(Arc::new(App {
        db,
        writer,
        offers,
        reports,
        blobs,
        url_key,
        clock,
        random,
        settings,
        presign_keys: OnceLock::new(),
        passwords,
        login_attempts,
        metrics,
        conditions: ParsedConditions::default(),
        questions: Questions::default(),
        firmware: PublishedFirmware::default(),
        open_stages: OpenStages::default(),
        feed,
        hot,
        poke,
        poke_uploads,
    }))
}

/// Refuses a database that was moved away, or is about to be: two installations would drive the same devices.
async fn require_here(db: &Db) -> Result<(), ComposeError> {
    let mut tx = db.begin().await.map_err(ComposeError::Place)?;
    let moved = moves::current_held(&mut tx).await.map_err(ComposeError::Place)?;
    tx.rollback().await.map_err(ComposeError::Place)?;
    match moved {
        None => Ok(()),
        Some(MoveRow { target, moved_at }) => Err(ComposeError::Moved { target, moved_at }),
    }
}

impl App {
    /// An error when the installation was moved away while this node worked; it ended for that.
    pub fn require_not_moved(&self) -> Result<(), ComposeError> {
        self.feed
            .moved()
            .cloned()
            .map_or(Ok(()), |MoveRow { target, moved_at }| Err(ComposeError::Moved { target, moved_at }))
    }
}

/// Brings the schema up to date and says how many steps that took.
pub async fn migrate(database: &str) -> Result<usize, ComposeError> {
    let db = open_pool(database, 10).await?;
    let steps = drover_db::pending(&db, MIGRATIONS).await?.len();
    drover_db::migrate(&db, MIGRATIONS, MIGRATION_LOCK_TIMEOUT).await?;
    db.close().await;
    Ok(steps)
}

async fn open_pool(url: &str, pool_max: u32) -> Result<Db, drover_db::OpenError> {
    Db::open(url, &OpenOptions { pool_max, ..OpenOptions::default() }).await
}

/// Whether everything is on this machine; an error for a mix that is neither.
fn check_profile(backends: &Backends) -> Result<bool, ComposeError> {
    let scheme = |url: &str| url.split(':').next().unwrap_or_default().to_owned();
    let (database, blobs) = (scheme(&backends.database), scheme(&backends.blobs));
    match (database.as_str(), blobs.as_str()) {
        ("sqlite", "file") => Ok(true),
        ("postgres" | "postgresql", "s3") => Ok(false),
        _ => Err(ComposeError::Profile { database, blobs }),
    }
}

/// The key that signs addresses of the folder back-end; made on the first start, readable by this user only.
fn url_key(data_dir: &Path, random: &dyn Random) -> Result<[u8; 32], ComposeError> {
    let path = data_dir.join("secrets").join("blob-url.key");
    let failed = |source| ComposeError::Secret { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| failed(std::io::Error::other("expected 32 bytes"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = [0; 32];
            random.fill(&mut key);
            write_secret(&path, &key).map_err(failed)?;
            // Another process may have been faster: what lies there counts.
            let there = std::fs::read(&path).map_err(failed)?;
            there.try_into().map_err(|_| failed(std::io::Error::other("expected 32 bytes")))
        }
        Err(error) => Err(failed(error)),
    }
}

fn write_secret(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};

    let folder = path.parent().unwrap_or(path);
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Another process may be starting on the same folder: the first one wins, half a key is never seen.
    let draft = path.with_extension(format!("tmp-{}", std::process::id()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::File::open(folder)?.sync_all()
}
