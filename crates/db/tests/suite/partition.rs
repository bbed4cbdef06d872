//! Partitions by month: made once, without a gap, by UTC.

use drover_db::testing::TestDb;
use drover_db::{Db, month_partitions};
use drover_types::Timestamp;

/// The last microsecond of November 2026, and the first ones of the two months behind it.
const NOVEMBER: Timestamp = Timestamp::from_micros(1_796_083_199_999_999);
const DECEMBER: Timestamp = Timestamp::from_micros(1_796_083_200_000_000);
const JANUARY: Timestamp = Timestamp::from_micros(1_798_761_600_000_000);

#[tokio::test]
async fn months_are_made_once_and_take_their_rows() {
    let test = TestDb::postgres().await;
    let Db::Postgres(pools) = test.db() else { panic!("not PostgreSQL") };
    let pool = &pools.all;
    sqlx::raw_sql("CREATE TABLE history (at BIGINT NOT NULL) PARTITION BY RANGE (at)").execute(pool).await.unwrap();
    for _ in 0..2 {
        month_partitions(test.db(), "history", NOVEMBER, JANUARY).await.unwrap();
    }
    for time in [NOVEMBER, DECEMBER, JANUARY] {
        sqlx::query("INSERT INTO history (at) VALUES ($1)").bind(time).execute(pool).await.unwrap();
    }
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT tableoid::regclass::text, at FROM history ORDER BY at").fetch_all(pool).await.unwrap();
    let tables: Vec<_> = rows.iter().map(|(table, _)| table.as_str()).collect();
    assert_eq!(tables, ["history_202611", "history_202612", "history_202701"]);
    test.close().await;
}

#[tokio::test]
async fn a_month_that_was_detached_gets_a_new_partition() {
    let test = TestDb::postgres().await;
    let Db::Postgres(pools) = test.db() else { panic!("not PostgreSQL") };
    let pool = &pools.all;
    sqlx::raw_sql("CREATE TABLE history (at BIGINT NOT NULL) PARTITION BY RANGE (at)").execute(pool).await.unwrap();
    for _ in 0..2 {
        month_partitions(test.db(), "history", DECEMBER, DECEMBER).await.unwrap();
        sqlx::query("INSERT INTO history (at) VALUES ($1)").bind(DECEMBER).execute(pool).await.unwrap();
        sqlx::raw_sql("ALTER TABLE history DETACH PARTITION history_202612").execute(pool).await.ok();
    }
    let rows: Vec<String> =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM history").fetch_all(pool).await.unwrap();
    assert_eq!(rows, ["history_202612_2"], "what was detached stays as it is");
    test.close().await;
}

#[tokio::test]
async fn sqlite_has_none() {
    let test = TestDb::sqlite().await;
    month_partitions(test.db(), "history", NOVEMBER, JANUARY).await.unwrap();
}
