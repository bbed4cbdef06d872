//! Partitions by month of large tables on `PostgreSQL`. `SQLite` has none: there the table is one.

use drover_types::Timestamp;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::Db;

/// Months that one call makes at most: two hundred years.
const MONTHS_MAX: i32 = 2_400;

/// Names that are tried for one month, when tables of that name are there that are no partitions any more.
const NAMES_MAX: usize = 100;

/// How long a new partition waits for others. All who want to read or write the tables that it refers to wait behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '1s'";

/// Whether a table has a partition with these bounds.
const IS_THERE: &str = "SELECT EXISTS (SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
    WHERE i.inhparent = CAST($1 AS regclass) AND pg_get_expr(c.relpartbound, c.oid) = $2)";

/// The name's suffix and the bounds in microseconds of each month (UTC) from that of `$1` to that of `$2`.
const MONTHS: &str = "SELECT to_char(month, 'YYYYMM') AS name, \
    CAST(extract(epoch FROM month) * 1000000 AS BIGINT) AS from_us, \
    CAST(extract(epoch FROM month + INTERVAL '1 month') * 1000000 AS BIGINT) AS to_us \
    FROM generate_series(date_trunc('month', to_timestamp(CAST($1 AS DOUBLE PRECISION) / 1000000) AT TIME ZONE 'UTC'), \
        to_timestamp(CAST($2 AS DOUBLE PRECISION) / 1000000) AT TIME ZONE 'UTC', INTERVAL '1 month') AS month LIMIT $3";

/// Whether large tables have partitions by month here.
pub const fn has_month_partitions(db: &Db) -> bool {
    matches!(db, Db::Postgres(_))
}

/// Makes the partitions that rows from `first` to `last` need, where they are missing: `TABLE_YYYYMM`, by a `BIGINT` of
/// microseconds. Each in a short transaction of its own, as it keeps everybody else from the table and from those that
/// it refers to.
///
/// A partition that is no longer wanted can be detached or dropped whole. Rows of that month that come later go to a
/// new one, with the next free name: `TABLE_YYYYMM_2`.
pub async fn month_partitions(
    db: &Db,
    table: &'static str,
    first: Timestamp,
    last: Timestamp,
) -> Result<(), sqlx::Error> {
    let Db::Postgres(pools) = db else { return Ok(()) };
    let mut connection = pools.all.acquire().await?;
    for month in months(&mut connection, first, last).await? {
        if !month.is_there(&mut connection, table).await? {
            let mut tx = sqlx::Connection::begin(&mut *connection).await?;
            sqlx::query(LOCK_TIMEOUT).execute(&mut *tx).await?;
            month.make(&mut tx, table).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// [`month_partitions`] in the caller's transaction.
pub(crate) async fn month_partitions_on(
    connection: &mut PgConnection,
    table: &str,
    first: Timestamp,
    last: Timestamp,
) -> Result<(), sqlx::Error> {
    for month in months(connection, first, last).await? {
        if !month.is_there(connection, table).await? {
            month.make(connection, table).await?;
        }
    }
    Ok(())
}

/// A month (UTC).
#[derive(sqlx::FromRow)]
struct Month {
    name: String,
    from_us: i64,
    to_us: i64,
}

async fn months(connection: &mut PgConnection, first: Timestamp, last: Timestamp) -> Result<Vec<Month>, sqlx::Error> {
    sqlx::query_as(MONTHS).bind(first).bind(last).bind(MONTHS_MAX).fetch_all(connection).await
}

impl Month {
    fn bounds(&self) -> String {
        format!("FOR VALUES FROM ('{}') TO ('{}')", self.from_us, self.to_us)
    }

    async fn is_there(&self, connection: &mut PgConnection, table: &str) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(IS_THERE).bind(table).bind(self.bounds()).fetch_one(connection).await
    }

    async fn make(&self, connection: &mut PgConnection, table: &str) -> Result<(), sqlx::Error> {
        let (month, bounds) = (&self.name, self.bounds());
        for number in 1..=NAMES_MAX {
            let name = if number == 1 { format!("{table}_{month}") } else { format!("{table}_{month}_{number}") };
            let is_free: bool =
                sqlx::query_scalar("SELECT to_regclass($1) IS NULL").bind(&name).fetch_one(&mut *connection).await?;
            if is_free {
                let sql = format!("CREATE TABLE {name} PARTITION OF {table} {bounds}");
                return sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map(drop);
            }
        }
        Err(sqlx::Error::Protocol(format!(
            "{NAMES_MAX} tables are named {table}_{month}: rename or drop detached ones"
        )))
    }
}
