//! `PostgreSQL` speaks the form itself.

use bytes::Bytes;
use drover_types::Timestamp;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use sqlx::{AssertSqlSafe, PgConnection};

use super::{CopyError, column_list, key_list, quoted};
use crate::catalogue::Table;
use crate::partition::month_partitions_on;

pub(super) async fn dump<'c>(
    connection: &'c mut PgConnection,
    table: &Table,
) -> sqlx::Result<BoxStream<'c, sqlx::Result<Bytes>>> {
    let (columns, name, key) = (column_list(table), quoted(&table.name), key_list(table, " COLLATE \"C\""));
    let sql = format!("COPY (SELECT {columns} FROM {name} ORDER BY {key}) TO STDOUT (FORMAT binary)");
    connection.copy_out_raw(&sql).await
}

/// The column by which a table is partitioned; none when it is not.
const PARTITION_COLUMN: &str = "SELECT a.attname::text FROM pg_partitioned_table p \
    JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0] WHERE p.partrelid = $1::regclass";

pub(super) async fn load<S>(connection: &mut PgConnection, table: &Table, rows: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let failed = CopyError::write(table);
    let name = quoted(&table.name);
    let partitioned = sqlx::query_scalar(PARTITION_COLUMN).bind(&name).fetch_optional(&mut *connection).await;
    let partitioned: Option<String> = partitioned.map_err(&failed)?;
    let written = match partitioned {
        None => copy_in(connection, table, &name, rows).await?,
        Some(column) => load_parts(connection, table, &quoted(&column), rows).await?,
    };
    // By itself the server would do so minutes after the first devices came back.
    sqlx::query(AssertSqlSafe(format!("ANALYZE {name}"))).execute(connection).await.map_err(&failed)?;
    Ok(written)
}

/// Fills a partitioned table.
async fn load_parts<S>(connection: &mut PgConnection, table: &Table, column: &str, rows: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let failed = CopyError::write(table);
    // Which partitions the rows need is known when all of them are there.
    let staged = quoted(&format!("staged_{}", table.name));
    let make = format!("CREATE TEMPORARY TABLE {staged} (LIKE {}) ON COMMIT DROP", quoted(&table.name));
    sqlx::query(AssertSqlSafe(make)).execute(&mut *connection).await.map_err(&failed)?;
    let written = copy_in(connection, table, &staged, rows).await?;
    spread(connection, table, &staged, column).await.map_err(&failed)?;
    Ok(written)
}

/// Moves rows into the partitions of their months.
async fn spread(connection: &mut PgConnection, table: &Table, staged: &str, column: &str) -> sqlx::Result<()> {
    let bounds = format!("SELECT min({column}), max({column}) FROM {staged}");
    let bounds: (Option<Timestamp>, Option<Timestamp>) =
        sqlx::query_as(AssertSqlSafe(bounds)).fetch_one(&mut *connection).await?;
    if let (Some(first), Some(last)) = bounds {
        month_partitions_on(connection, &table.name, first, last).await?;
    }
    let (name, columns) = (quoted(&table.name), column_list(table));
    let moved = format!("INSERT INTO {name} ({columns}) SELECT {columns} FROM {staged}");
    sqlx::query(AssertSqlSafe(moved)).execute(&mut *connection).await?;
    sqlx::query(AssertSqlSafe(format!("DROP TABLE {staged}"))).execute(connection).await.map(drop)
}

async fn copy_in<S>(connection: &mut PgConnection, table: &Table, into: &str, mut rows: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let failed = CopyError::write(table);
    let sql = format!("COPY {into} ({}) FROM STDIN (FORMAT binary)", column_list(table));
    let mut copy = connection.copy_in_raw(&sql).await.map_err(&failed)?;
    while let Some(bytes) = rows.next().await {
        match bytes {
            Ok(bytes) => drop(copy.send(bytes).await.map_err(&failed)?),
            Err(source) => {
                // The transaction fails with it; what the server answers adds nothing.
                let _ = copy.abort("the rows broke off").await;
                return Err(CopyError::Source { table: table.name.clone(), source });
            }
        }
    }
    copy.finish().await.map_err(&failed)
}
