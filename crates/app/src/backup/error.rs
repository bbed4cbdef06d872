//! Why there is no backup, or no restored installation.

use std::path::PathBuf;

use drover_blob::{GetError, ObjectKey, PutError};
use drover_db::CopyError;

use crate::compose::ComposeError;
use crate::filling::FillError;

/// No backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The schema cannot be read.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// The database does not hold still for a moment.
    #[error("failed to read the database")]
    Snapshot(#[source] sqlx::Error),
    /// The rows cannot be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// An object cannot be read.
    #[error("failed to read the object {key}, and others: see what `drover doctor` says of the object store")]
    Object {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: GetError,
    },
    /// A restore could not read the names of all of them.
    #[error(
        "the installation has {objects} objects, and a backup can have {max}: keep them in S3, make the backup without \
         --with-objects, and version or replicate the bucket"
    )]
    TooMany {
        /// How many.
        objects: usize,
        /// How many there may be.
        max: usize,
    },
    /// A restore would refuse it.
    #[error("the backup's list of contents has {size_bytes} bytes, and a restore reads {max_bytes}")]
    TooLong {
        /// What it has.
        size_bytes: u64,
        /// What it may have.
        max_bytes: u64,
    },
    /// A secret cannot be read.
    #[error("failed to read {}: run this as the user that the server runs as", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The backup cannot be written.
    #[error("failed to write the backup: check the space on its disk")]
    Write(#[source] std::io::Error),
}

/// The file is no backup that can be used.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("failed to read the backup {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no backup of drover", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// It ends too early.
    #[error("{} is not whole: its end is missing; it was cut off, or the backup was never finished", path.display())]
    Incomplete {
        /// The file.
        path: PathBuf,
    },
    /// A piece is not what was written.
    #[error("{} is damaged: {entry} {what}; use another backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The piece.
        entry: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A newer program wrote it.
    #[error("{} was made by drover {drover}, whose backups this program does not know: use that one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Who made it.
        drover: String,
    },
}

/// Nothing was restored; the database stayed without rows.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The target's back-ends do not open.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Something lies there already.
    #[error("refused to restore into {place}: {found}; name an empty place, or remove what is there")]
    NotEmpty {
        /// Where.
        place: String,
        /// What is there.
        found: String,
    },
    /// The backup is of another schema.
    #[error("the backup has schema {backup:?}, which is not the beginning of this program's: use drover {drover}")]
    Schema {
        /// The newest step of the backup.
        backup: String,
        /// Who made it.
        drover: String,
    },
    /// Objects are neither here nor there.
    #[error(
        "{missing} of {all} objects are neither in the backup nor in the object store, the first is {first}: copy the \
         bucket first, restore without them (--without-lost-objects), or use a backup that was made --with-objects"
    )]
    ObjectsMissing {
        /// How many.
        missing: usize,
        /// Of how many.
        all: usize,
        /// The first.
        first: ObjectKey,
    },
    /// The object store does not say what it has.
    #[error("failed to look for the object {key}")]
    Head {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: GetError,
    },
    /// An object cannot be stored.
    #[error("failed to store the object {key}")]
    Put {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: PutError,
    },
    /// A secret cannot be written.
    #[error("failed to write {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The rows were not taken.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// What was written is not what is read back.
    #[error("table {table} came out different from the backup, and nothing was kept: this is a bug, keep the backup")]
    Different {
        /// The table.
        table: String,
    },
    /// The database cannot be filled.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// What was done cannot be recorded.
    #[error("failed to write the audit log")]
    Audit(#[from] crate::Error),
    /// The database failed.
    #[error("failed to write the database")]
    Database(#[from] sqlx::Error),
}
