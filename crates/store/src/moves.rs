//! Where the installation went: on a database that it was copied from, no server starts again.

use drover_db::{Conn, Tx, run};
use drover_types::Timestamp;

use crate::{Result, statements};

statements! {
    // Of the installation.
    CURRENT = "SELECT target, moved_at FROM moves";
    INSERT = "INSERT INTO moves (target, moved_at) VALUES ($1, $2)";
    END_DUTIES = "UPDATE leases SET token = token + 1, expires_at = 0";
    CLEAR = "DELETE FROM moves";
    // Changes nothing: waits for a copy that keeps the database still.
    HOLD = "UPDATE moves SET moved_at = moved_at";
}

/// As many steps of the schema have the table.
pub const SINCE_STEP: usize = 8;

/// A move.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct MoveRow {
    /// Where to, for people to read.
    pub target: String,
    /// When.
    pub moved_at: Timestamp,
}

/// Where the installation went; none when it is here.
pub async fn current(conn: impl Into<Conn<'_>>) -> Result<Option<MoveRow>> {
    run!(conn, |c| sqlx::query_as(CURRENT).fetch_optional(c).await)
}

/// The same, after any copy that is under way. Fails when that takes long.
pub async fn current_held(tx: &mut Tx) -> Result<Option<MoveRow>> {
    run!(&mut *tx, |c| sqlx::query(HOLD).execute(c).await.map(drop))?;
    current(tx).await
}

/// Takes all duties away: a process that slept and wakes up again is refused, whatever it believes to hold.
pub async fn end_duties(tx: &mut Tx) -> Result<()> {
    run!(tx, |c| sqlx::query(END_DUTIES).execute(c).await.map(drop))
}

/// Says where it went. Nobody takes a duty from then on.
pub async fn insert(tx: &mut Tx, target: &str, now: Timestamp) -> Result<()> {
    run!(tx, |c| sqlx::query(INSERT).bind(target).bind(now).execute(c).await.map(drop))
}

/// It is here again.
pub async fn clear(tx: &mut Tx) -> Result<()> {
    run!(tx, |c| sqlx::query(CLEAR).execute(c).await.map(drop))
}
