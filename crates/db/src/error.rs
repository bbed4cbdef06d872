//! What a database's error means, the same on both.

use std::sync::Arc;

use sqlx::error::ErrorKind;

/// Why a batched write was not done although its own statements succeeded. Callers get it inside
/// [`sqlx::Error::Io`], so that one error type serves both write paths.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BatchError {
    /// The node is shutting down; nothing was written.
    #[error(
        "the write queue is closed because this node is shutting down: send it again, to another node if there is one"
    )]
    Stopped,
    /// The work panicked; its changes were rolled back.
    #[error("the write panicked and was rolled back: this is a bug, the log has the details")]
    Panicked,
    /// The transaction that carried this write and others failed; none of them was written, unless the connection
    /// broke during the commit.
    #[error("the batch that carried this write failed")]
    Failed(#[source] Arc<sqlx::Error>),
    /// The queue's task ended without an answer; the write may or may not be there.
    #[error("the write queue ended without an answer: read back before you send it again")]
    Lost,
}

impl From<BatchError> for sqlx::Error {
    fn from(error: BatchError) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

impl BatchError {
    /// The batch error inside `error`, if it is one.
    pub fn find(error: &sqlx::Error) -> Option<&Self> {
        match error {
            sqlx::Error::Io(io) => io.get_ref()?.downcast_ref(),
            _ => None,
        }
    }
}

/// The name of the unique constraint that refused a row, or `None` for any other error.
///
/// On both databases it is the name that `PostgreSQL` gives by default: `{table}_pkey`, or
/// `{table}_{column}_{column}_key`. It only holds for constraints without a name of their own, and for unique indexes
/// that are named in this form. A row that breaks two constraints names either.
pub fn unique_violation(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    if error.kind() != ErrorKind::UniqueViolation {
        return None;
    }
    if let Some(name) = error.constraint() {
        return Some(name.to_owned());
    }
    sqlite_constraint_name(error.message(), error.code().as_deref() == Some(SQLITE_CONSTRAINT_PRIMARYKEY))
}

const SQLITE_CONSTRAINT_PRIMARYKEY: &str = "1555";

/// From `UNIQUE constraint failed: devices.tenant_id, devices.name`, or `…: index 'name'` for an index on expressions.
fn sqlite_constraint_name(message: &str, is_primary_key: bool) -> Option<String> {
    let (_, columns) = message.split_once("constraint failed: ")?;
    if let Some(index) = columns.strip_prefix("index '") {
        return Some(index.trim_end_matches('\'').to_owned());
    }
    let (table, _) = columns.split_once('.')?;
    if is_primary_key {
        return Some(format!("{table}_pkey"));
    }
    let names: Vec<&str> =
        columns.split(", ").map(|column| column.split_once('.').map_or(column, |(_, name)| name)).collect();
    Some(format!("{table}_{}_key", names.join("_")))
}

/// Whether a row was refused because the row it refers to is missing, or because others still refer to it.
pub fn is_foreign_key_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.kind() == ErrorKind::ForeignKeyViolation)
}

/// Whether the same work may succeed when it is simply run again: another transaction was in the way.
///
/// `PostgreSQL`: serialisation failure, deadlock, lock time-out. `SQLite`: busy, locked.
pub fn is_retryable(error: &sqlx::Error) -> bool {
    if let Some(BatchError::Failed(cause)) = BatchError::find(error) {
        return is_retryable(cause);
    }
    let Some(code) = error.as_database_error().and_then(sqlx::error::DatabaseError::code) else {
        return false;
    };
    // SQLSTATEs have five characters; SQLite's extended codes carry the primary one in the low byte.
    match code.parse::<u32>() {
        Ok(sqlite) if code.len() < 5 => matches!(sqlite & 0xff, 5 | 6),
        _ => matches!(code.as_ref(), "40001" | "40P01" | "55P03"),
    }
}

/// Whether the database ended a statement that took longer than it may: see [`Db::questions`](crate::Db::questions).
pub fn is_out_of_time(error: &sqlx::Error) -> bool {
    // SQLite: interrupted. PostgreSQL: cancelled by statement_timeout.
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "9" | "57014"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_messages_become_names() {
        let name = |message, primary| sqlite_constraint_name(message, primary);
        assert_eq!(name("UNIQUE constraint failed: devices.id", true).as_deref(), Some("devices_pkey"));
        assert_eq!(
            name("UNIQUE constraint failed: devices.tenant_id, devices.name", false).as_deref(),
            Some("devices_tenant_id_name_key")
        );
        assert_eq!(name("UNIQUE constraint failed: index 'lower_name'", false).as_deref(), Some("lower_name"));
        assert_eq!(name("disk I/O error", false), None);
    }

    #[test]
    fn a_batch_error_is_found_again() {
        let error = sqlx::Error::from(BatchError::Stopped);
        assert!(matches!(BatchError::find(&error), Some(BatchError::Stopped)));
        assert!(!is_retryable(&error));
        assert!(BatchError::find(&sqlx::Error::PoolClosed).is_none());
    }
}
