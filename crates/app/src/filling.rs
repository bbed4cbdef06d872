//! An empty database that becomes an installation in one transaction: nobody sees half of it, and no server can start
//! on it meanwhile.

use drover_db::{CopyError, Db, MIGRATIONS, MigrateError, Migration, Table, Tx, copy, tables};
use drover_store::tenants;

use crate::compose::MIGRATION_LOCK_TIMEOUT;

/// The database cannot be filled. It stayed as it was.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    /// It is in use.
    #[error("refused to fill this database: it has the tenant {tenant} already; name an empty one")]
    InUse {
        /// What is there.
        tenant: String,
    },
    /// It has steps of the schema that what comes in has not.
    #[error(
        "refused to fill this database: it was prepared for a newer drover than what comes in; name one without tables"
    )]
    TooNew,
    /// The schema cannot be made.
    #[error("failed to prepare the schema")]
    Schema(#[from] MigrateError),
    /// The tables cannot be emptied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The database failed.
    #[error("failed to write the database")]
    Database(#[from] sqlx::Error),
    /// What was done cannot be recorded.
    #[error("failed to write the audit log")]
    Audit(#[from] crate::Error),
}

/// Refuses a database that has an installation. No tenant, no rows: every other row belongs to one, or to the processes
/// that run on it. `steps` are those of what comes in.
pub(crate) async fn require_empty(db: &Db, steps: &[Migration]) -> Result<(), FillError> {
    let known = MIGRATIONS.len() - drover_db::pending(db, MIGRATIONS).await?.len();
    if known == 0 {
        return Ok(());
    }
    refuse_tenant(tenants::any_name(db).await?)?;
    if known > steps.len() { Err(FillError::TooNew) } else { Ok(()) }
}

/// Begins to fill it: its schema is that of `steps`, which are the first ones of this program's, and its tables are empty.
pub(crate) async fn begin(db: &Db, steps: &[Migration]) -> Result<(Tx, Vec<Table>), FillError> {
    require_empty(db, steps).await?;
    let mut tx = drover_db::begin_migration(db, MIGRATION_LOCK_TIMEOUT).await?;
    drover_db::migrate_in(&mut tx, steps).await?;
    // Somebody may have been faster than the lock.
    refuse_tenant(tenants::any_name(&mut tx).await?)?;
    let tables = tables(&mut tx).await?;
    // Rows that the schema's steps brought along, and leases.
    copy::clear(&mut tx, &tables).await?;
    Ok((tx, tables))
}

/// Brings the schema up to date behind the rows, which the steps change as they would have where the rows come from.
pub(crate) async fn modernise(tx: &mut Tx) -> Result<(), FillError> {
    drover_db::migrate_in(tx, MIGRATIONS).await?;
    Ok(())
}

fn refuse_tenant(found: Option<String>) -> Result<(), FillError> {
    found.map_or(Ok(()), |tenant| Err(FillError::InUse { tenant }))
}
