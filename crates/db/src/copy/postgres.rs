//! `PostgreSQL` speaks the form itself.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use sqlx::PgConnection;

use super::{CopyError, column_list, key_list, quoted};
use crate::catalogue::Table;

pub(super) async fn dump<'c>(
    connection: &'c mut PgConnection,
    table: &Table,
) -> sqlx::Result<BoxStream<'c, sqlx::Result<Bytes>>> {
    let (columns, name, key) = (column_list(table), quoted(&table.name), key_list(table, " COLLATE \"C\""));
    let sql = format!("COPY (SELECT {columns} FROM {name} ORDER BY {key}) TO STDOUT (FORMAT binary)");
    connection.copy_out_raw(&sql).await
}

pub(super) async fn load<S>(connection: &mut PgConnection, table: &Table, mut rows: S) -> Result<u64, CopyError>
where
    S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin,
{
    let failed = CopyError::write(table);
    let sql = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", quoted(&table.name), column_list(table));
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
