//! Partitions by month of large tables on `PostgreSQL`. `SQLite` has none: there the table is one.

use drover_types::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::Tx;

/// Months that one call makes at most: two hundred years.
const MONTHS_MAX: i32 = 2_400;

/// The name's suffix and the bounds in microseconds of each month (UTC) from that of `$1` to that of `$2`.
const MONTHS: &str = "SELECT to_char(month, 'YYYYMM'), \
    CAST(extract(epoch FROM month) * 1000000 AS BIGINT), \
    CAST(extract(epoch FROM month + INTERVAL '1 month') * 1000000 AS BIGINT) \
    FROM generate_series(date_trunc('month', to_timestamp(CAST($1 AS DOUBLE PRECISION) / 1000000) AT TIME ZONE 'UTC'), \
        to_timestamp(CAST($2 AS DOUBLE PRECISION) / 1000000) AT TIME ZONE 'UTC', INTERVAL '1 month') AS month LIMIT $3";

/// Makes the partitions that rows from `first` to `last` need, where they are missing: `TABLE_YYYYMM`, by a `BIGINT` of
/// microseconds. A partition that is no longer wanted can be detached or dropped whole.
pub async fn month_partitions(
    tx: &mut Tx,
    table: &'static str,
    first: Timestamp,
    last: Timestamp,
) -> Result<(), sqlx::Error> {
    match tx {
        Tx::Sqlite(_) => Ok(()),
        Tx::Postgres(tx) => month_partitions_on(tx, table, first, last).await,
    }
}

/// [`month_partitions`] on a connection.
pub(crate) async fn month_partitions_on(
    connection: &mut PgConnection,
    table: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<(), sqlx::Error> {
    let months: Vec<(String, i64, i64)> =
        sqlx::query_as(MONTHS).bind(first).bind(last).bind(MONTHS_MAX).fetch_all(&mut *connection).await?;
    for (month, from_us, to_us) in months {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {table}_{month} PARTITION OF {table} FOR VALUES FROM ({from_us}) TO ({to_us})"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    Ok(())
}
