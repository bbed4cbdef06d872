//! Which tables a database has, read from the database itself: what copies it needs no list that somebody forgets.

mod order;
mod postgres;
mod sqlite;

use crate::{CopyError, Tx};

/// The history of the schema, which is made by migrating and never copied.
const HISTORY: &str = "schema_migrations";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes, or an id.
    Bytes,
    /// A whole number of 64 bits.
    Integer,
    /// A number of 64 bits with a fraction.
    Real,
    /// Text.
    Text,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns in the order of their names, which is the same on both databases.
    pub columns: Vec<Column>,
    /// The columns of its primary key, in the key's order.
    pub key: Vec<Column>,
}

/// A column as a database tells it.
struct Found {
    table: String,
    column: String,
    /// The database's word; [`Kind`] when it is one of ours.
    word: String,
    kind: Option<Kind>,
    /// Its place in the primary key.
    key_position: Option<i64>,
}

/// One table refers to another.
type Reference = (String, String);

/// The tables of the database, each behind those that it refers to.
pub async fn tables(tx: &mut Tx) -> Result<Vec<Table>, CopyError> {
    let (columns, references) = match tx {
        Tx::Sqlite(tx) => sqlite::read(tx).await,
        Tx::Postgres(tx) => postgres::read(tx).await,
    }
    .map_err(CopyError::Catalogue)?;
    order::parents_first(assemble(columns)?, &references)
}

/// From columns that are sorted by table and name.
fn assemble(columns: Vec<Found>) -> Result<Vec<Table>, CopyError> {
    let mut tables: Vec<(Table, Vec<(i64, Column)>)> = Vec::new();
    for Found { table, column, word, kind, key_position } in columns {
        if table == HISTORY {
            continue;
        }
        if tables.last().is_none_or(|(last, _)| last.name != table) {
            tables.push((Table { name: table.clone(), columns: Vec::new(), key: Vec::new() }, Vec::new()));
        }
        let kind = kind.ok_or_else(|| CopyError::Type { table, column: column.clone(), word })?;
        let column = Column { name: column, kind };
        if let Some((last, key)) = tables.last_mut() {
            key.extend(key_position.map(|position| (position, column.clone())));
            last.columns.push(column);
        }
    }
    let finish = |(mut table, mut key): (Table, Vec<(i64, Column)>)| {
        key.sort_by_key(|(position, _)| *position);
        table.key = key.into_iter().map(|(_, column)| column).collect();
        if table.key.is_empty() { Err(CopyError::NoKey { table: table.name }) } else { Ok(table) }
    };
    tables.into_iter().map(finish).collect()
}
