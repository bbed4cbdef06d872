//! `SQLite`: rows are put into the form, and taken out of it, here.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection, ValueRef as _};

use super::rows::{self, RowReader};
use super::{CopyError, column_list, key_list, quoted};
use crate::catalogue::{Column, Kind, Table};

/// Rows per piece of the stream.
const DUMP_ROWS: usize = 256;
/// Rows per statement, where the number of parameters allows it.
const INSERT_ROWS_MAX: usize = 256;
/// Below what `SQLite` takes in one statement.
const PARAMETERS_MAX: usize = 32_000;

type Row = Vec<Option<Bytes>>;

pub(super) fn dump<'c>(
    connection: &'c mut SqliteConnection,
    table: &Table,
) -> impl Stream<Item = sqlx::Result<Bytes>> + Send + use<'c> {
    let (columns, name, key) = (column_list(table), quoted(&table.name), key_list(table, ""));
    let sql = format!("SELECT {columns} FROM {name} ORDER BY {key}");
    let kinds: Vec<Kind> = table.columns.iter().map(|column| column.kind).collect();
    let found = sqlx::query(AssertSqlSafe(sql)).fetch(connection);
    let pieces = found.chunks(DUMP_ROWS).map(move |found| {
        let mut bytes = BytesMut::new();
        for row in found {
            put_row(&mut bytes, &row?, &kinds)?;
        }
        Ok(bytes.freeze())
    });
    let whole = |bytes: &'static [u8]| stream::once(async move { Ok(Bytes::from_static(bytes)) });
    whole(rows::HEAD).chain(pieces).chain(whole(rows::END))
}

fn put_row(bytes: &mut BytesMut, row: &SqliteRow, kinds: &[Kind]) -> sqlx::Result<()> {
    rows::put_start(bytes, kinds.len());
    for (index, kind) in kinds.iter().enumerate() {
        if row.try_get_raw(index)?.is_null() {
            rows::put_field(bytes, None);
            continue;
        }
        match kind {
            Kind::Bytes => rows::put_field(bytes, Some(row.try_get::<&[u8], _>(index)?)),
            Kind::Integer => rows::put_field(bytes, Some(&row.try_get::<i64, _>(index)?.to_be_bytes())),
            Kind::Real => rows::put_field(bytes, Some(&row.try_get::<f64, _>(index)?.to_be_bytes())),
            Kind::Text => rows::put_field(bytes, Some(row.try_get::<&str, _>(index)?.as_bytes())),
        }
    }
    Ok(())
}

pub(super) async fn load<S>(connection: &mut SqliteConnection, table: &Table, mut source: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let (failed, malformed) = (CopyError::write(table), CopyError::malformed(table));
    // Rows of one table may refer to later ones of it.
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *connection).await.map_err(&failed)?;
    let batch_rows = INSERT_ROWS_MAX.min(PARAMETERS_MAX / table.columns.len().max(1)).max(1);
    let (mut reader, mut batch, mut written): (_, Vec<Row>, u64) = (RowReader::default(), Vec::new(), 0);
    while let Some(bytes) = source.next().await {
        let bytes = bytes.map_err(|source| CopyError::Source { table: table.name.clone(), source })?;
        reader.push(&bytes);
        while let Some(row) = reader.next_row().map_err(&malformed)? {
            batch.push(row);
            if batch.len() == batch_rows {
                written += insert(connection, table, &batch).await?;
                batch.clear();
            }
        }
    }
    reader.finish().map_err(&malformed)?;
    if !batch.is_empty() {
        written += insert(connection, table, &batch).await?;
    }
    Ok(written)
}

async fn insert(connection: &mut SqliteConnection, table: &Table, batch: &[Row]) -> Result<u64, CopyError> {
    let places = format!("({})", vec!["?"; table.columns.len()].join(", "));
    let all = vec![places.as_str(); batch.len()].join(", ");
    let sql = format!("INSERT INTO {} ({}) VALUES {all}", quoted(&table.name), column_list(table));
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for row in batch {
        if row.len() != table.columns.len() {
            return Err(CopyError::malformed(table)(rows::Malformed::Columns { found: row.len() }));
        }
        for (column, field) in table.columns.iter().zip(row) {
            query = bind(query, column, field.as_deref()).map_err(CopyError::malformed(table))?;
        }
    }
    let done = query.execute(connection).await.map_err(CopyError::write(table))?;
    Ok(done.rows_affected())
}

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    column: &Column,
    field: Option<&[u8]>,
) -> Result<Query<'q, Sqlite, SqliteArguments>, rows::Malformed> {
    let wrong = || rows::Malformed::Value { column: column.name.clone() };
    let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_err(|_| wrong());
    Ok(match (field, column.kind) {
        (None, _) => query.bind(None::<i64>),
        (Some(bytes), Kind::Bytes) => query.bind(bytes.to_vec()),
        (Some(bytes), Kind::Integer) => query.bind(i64::from_be_bytes(eight(bytes)?)),
        (Some(bytes), Kind::Real) => query.bind(f64::from_be_bytes(eight(bytes)?)),
        (Some(bytes), Kind::Text) => query.bind(std::str::from_utf8(bytes).map_err(|_| wrong())?.to_owned()),
    })
}
