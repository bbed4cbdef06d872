//! Why an installation stayed where it was.

use drover_blob::{GetError, ObjectKey, PutError};
use drover_db::CopyError;
use drover_types::Timestamp;

use crate::compose::ComposeError;
use crate::filling::FillError;

/// Nothing was moved, and the target has no rows, but for [`MoveError::Unconfirmed`].
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The back-ends do not open.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// Somebody works there.
    #[error(
        "{holder} works on the source (duty {duty}): stop every server there first; one that was killed is forgotten \
         after {left_s} s"
    )]
    Running {
        /// Who.
        holder: String,
        /// At what.
        duty: String,
        /// For how long it has that duty.
        left_s: u64,
    },
    /// The source went elsewhere before.
    #[error(
        "the source was moved already, to {target} at {moved_at}: if nothing works there, open the source again with \
         `drover admin undo-copy`, then copy it"
    )]
    Moved {
        /// Where.
        target: String,
        /// When.
        moved_at: Timestamp,
    },
    /// The source did not go anywhere.
    #[error("this database was not moved: there is nothing to undo")]
    NotMoved,
    /// The target cannot be filled.
    #[error(transparent)]
    Fill(#[from] FillError),
    /// What was done cannot be recorded.
    #[error("failed to write the audit log")]
    Audit(#[from] crate::Error),
    /// The source was left, and the target did not say that it has everything.
    #[error(
        "the target did not confirm that it has everything, and no server starts on the source any more: when the target \
         has your tenants, go on there; when it is empty, open the source again with `drover admin undo-copy`, then copy it"
    )]
    Unconfirmed(#[source] sqlx::Error),
    /// The source did not say whether it is closed; the target stayed empty.
    #[error(
        "the source did not confirm that it is closed, and the target stayed empty: go on with the source; when a server \
         there says that the installation was moved, open it again with `drover admin undo-copy`, then copy it"
    )]
    Unclosed(#[source] sqlx::Error),
    /// The source is empty.
    #[error("the source has no tenant: name the database of your installation")]
    Empty,
    /// An older program made the source.
    #[error(
        "an older drover made the source: back it up, bring it up to date with `drover migrate --database …`, then copy it"
    )]
    OlderSchema,
    /// Rows cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// What was written is not what was read.
    #[error("table {table} came out different, and nothing was kept: this is a bug, go on with the source")]
    Different {
        /// The table.
        table: String,
    },
    /// An object cannot be read.
    #[error(
        "failed to read the object {key}, and nothing was moved: run this again; when it stays so, put the object back from a \
         backup, or remove it from the object store, so that it counts as lost"
    )]
    Get {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: GetError,
    },
    /// An object cannot be stored.
    #[error("failed to copy the object {key}, and nothing was moved: objects that are there stay, run this again")]
    Put {
        /// The object.
        key: ObjectKey,
        /// Why.
        #[source]
        source: PutError,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}
