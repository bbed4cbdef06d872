//! The same installation on other back-ends: from one machine to several, or back.
//!
//! Two databases cannot commit as one. The source is closed first: whatever breaks off then, there are never two on which a
//! server starts.

mod error;
mod objects;

use std::time::Duration;

use drover_db::{Conn, CopyError, MIGRATIONS, Table, Tx, copy};
use drover_store::moves::{self, MoveRow};
use drover_store::{content, tenants};
use drover_types::Timestamp;
use futures::StreamExt as _;

use crate::backup::{Fault, OnProgress, Progress, Settled};
use crate::compose::{Backends, Parts};
use crate::settling::{self, Moment};
use crate::{Random, filling};
pub use error::MoveError;

/// What was moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Rows of all tables.
    pub rows: u64,
    /// Objects that the rows name.
    pub objects: usize,
    /// Those of them that were lost or damaged at the source.
    pub faults: Vec<Fault>,
}

/// Copies the objects only, while the source works; what is there already is passed over. A later [`copy_installation`]
/// has less to do then.
pub async fn copy_objects(from: &Parts, to: &Parts, on_progress: OnProgress<'_>) -> Result<Moved, MoveError> {
    let named = content::named(&from.db).await?;
    let faults = objects::copy(from, to, &named, on_progress).await?;
    Ok(Moved { rows: 0, objects: named.len(), faults })
}

/// Copies everything into an empty target, and closes the source. No server may run on the source, and none can start
/// there until this ends, nor afterwards; one that was overlooked, as it slept or just started, ends by itself. The target's rows are written in one transaction and compared with the
/// source's before it commits. `target` is what people are told on the source.
pub async fn copy_installation(
    from: &Parts,
    to: &Parts,
    target: &str,
    now: Timestamp,
    random: &dyn Random,
    on_progress: OnProgress<'_>,
) -> Result<Moved, MoveError> {
    let steps = from.steps().await?;
    if steps.is_empty() || tenants::any_name(&from.db).await?.is_none() {
        return Err(MoveError::Empty);
    }
    // It says itself where it went, which the schema of older programs cannot.
    if steps.len() < MIGRATIONS.len() {
        return Err(MoveError::OlderSchema);
    }
    require_here(&from.db).await?;
    require_nobody(from).await?;
    filling::require_empty(&to.db, steps).await?;
    // Most of the objects, before anything holds still: a transaction must not wait for them.
    copy_objects(from, to, on_progress).await?;
    let mut source = from.db.standstill().await?;
    // Another copy, or a server, may have been faster.
    require_here(&mut source).await?;
    require_nobody(from).await?;
    // At the beginning: a server that wakes up meanwhile waits for these rows, and is refused.
    moves::end_duties(&mut source).await?;
    let named = content::named(&mut source).await?;
    let faults = objects::copy(from, to, &named, on_progress).await?;
    let (mut filled, tables) = filling::begin(&to.db, steps).await?;
    let rows = all_tables(&mut source, &mut filled, &tables, on_progress).await?;
    filling::modernise(&mut filled).await?;
    settling::moved(&mut filled, Moment { now, random }).await?;
    moves::insert(&mut source, target, now).await?;
    source.commit().await.map_err(MoveError::Unclosed)?;
    filled.commit().await.map_err(MoveError::Unconfirmed)?;
    Ok(Moved { rows, objects: named.len(), faults })
}

/// Opens a database again that was moved away: for a move that broke off, or one to go back from. What happened elsewhere
/// since is not known here, so that all is as after a restore.
pub async fn undo(at: &Backends, now: Timestamp, random: &dyn Random) -> Result<Settled, MoveError> {
    let parts = Parts::open_to_stop(at).await?;
    let settled = undo_in(&parts, Moment { now, random }).await;
    parts.close().await;
    settled
}

async fn undo_in(parts: &Parts, moment: Moment<'_>) -> Result<Settled, MoveError> {
    if parts.steps().await?.len() < moves::SINCE_STEP || moves::current(&parts.db).await?.is_none() {
        return Err(MoveError::NotMoved);
    }
    let mut tx = parts.db.begin().await?;
    let MoveRow { moved_at, .. } = moves::current_held(&mut tx).await?.ok_or(MoveError::NotMoved)?;
    // Where it was is not for tenants to read.
    let why = format!("brought back after it was moved away at {moved_at}");
    let settled = settling::brought_back(&mut tx, "undo_move", &why, false, moment).await?;
    tx.commit().await?;
    Ok(settled)
}

async fn require_here(source: impl Into<Conn<'_>>) -> Result<(), MoveError> {
    match moves::current(source).await? {
        None => Ok(()),
        Some(MoveRow { target, moved_at }) => Err(MoveError::Moved { target, moved_at }),
    }
}

/// A server renews its duties every few seconds.
async fn require_nobody(from: &Parts) -> Result<(), MoveError> {
    let now_us = from.db.clock_us().await?;
    let held = from.db.leases().await?.into_iter().find(|lease| lease.expires_at_us > now_us);
    match held {
        None => Ok(()),
        Some(lease) => {
            let left = Timestamp::from_micros(lease.expires_at_us).since(Timestamp::from_micros(now_us));
            let left_s = left.saturating_add(Duration::from_secs(1)).as_secs();
            Err(MoveError::Running { holder: lease.holder, duty: lease.name, left_s })
        }
    }
}

async fn all_tables(
    source: &mut Tx,
    target: &mut Tx,
    tables: &[Table],
    on_progress: OnProgress<'_>,
) -> Result<u64, MoveError> {
    let mut rows = 0;
    for table in tables {
        let written = one_table(source, target, table).await?;
        on_progress(Progress::Table { name: &table.name, rows: written });
        rows += written;
    }
    Ok(rows)
}

/// Copies a table and reads it back.
async fn one_table(source: &mut Tx, target: &mut Tx, table: &Table) -> Result<u64, MoveError> {
    let mut summer = copy::TableSummer::default();
    let rows = copy::dump(source, table).await?.map(|bytes| {
        let bytes = bytes.map_err(std::io::Error::other)?;
        summer.add(&bytes).map_err(std::io::Error::other)?;
        Ok(bytes)
    });
    copy::load(target, table, rows).await?;
    let malformed = |source| CopyError::Malformed { table: table.name.clone(), source };
    let wanted = summer.finish().map_err(malformed)?;
    if copy::sum(target, table).await? == wanted {
        Ok(wanted.rows)
    } else {
        Err(MoveError::Different { table: table.name.clone() })
    }
}
