//! Rows of whole tables from one database to another.

use drover_db::testing::TestDb;
use drover_db::{CopyError, Db, MIGRATIONS, Migration, Table, Tx, copy, migrate, on_both, read, tables};
use futures::{StreamExt as _, stream};

use crate::support::LOCK_TIMEOUT;

const STEPS: &[Migration] = &[Migration {
    version: 1,
    name: "kinds",
    sqlite: "CREATE TABLE nodes (tenant BLOB NOT NULL, name TEXT NOT NULL, parent TEXT, size INTEGER, share REAL, \
             note TEXT, body BLOB, PRIMARY KEY (tenant, name), \
             FOREIGN KEY (tenant, parent) REFERENCES nodes (tenant, name)) STRICT; \
             CREATE TABLE leaves (fallen_at INTEGER NOT NULL, tenant BLOB NOT NULL, name TEXT NOT NULL, \
             PRIMARY KEY (tenant, fallen_at), \
             FOREIGN KEY (tenant, name) REFERENCES nodes (tenant, name)) STRICT;",
    postgres: "CREATE TABLE nodes (tenant UUID NOT NULL, name TEXT NOT NULL, parent TEXT, size BIGINT, \
               share DOUBLE PRECISION, note TEXT, body BYTEA, PRIMARY KEY (tenant, name), \
               FOREIGN KEY (tenant, parent) REFERENCES nodes (tenant, name)); \
               CREATE TABLE leaves (fallen_at BIGINT NOT NULL, tenant UUID NOT NULL, name TEXT NOT NULL, \
               PRIMARY KEY (tenant, fallen_at), \
               FOREIGN KEY (tenant, name) REFERENCES nodes (tenant, name)) PARTITION BY RANGE (fallen_at); \
               CREATE TABLE leaves_197001 PARTITION OF leaves FOR VALUES FROM (0) TO (2678400000000);",
}];

/// Names whose order differs between locales, a child before its parent, and every kind with and without a value.
const ROWS: [&str; 4] = [
    "INSERT INTO nodes (tenant, name, parent, size, share, note, body) VALUES \
     ($1, 'Z', NULL, 9223372036854775807, 0.1, 'ünïcode', $2), ($1, 'a', 'Z', -1, -0.0, '', $3), \
     ($1, 'B', 'a', NULL, NULL, NULL, NULL), ($1, 'é', 'a', 0, 1e300, 'line\nbreak', $2)",
    "INSERT INTO leaves (fallen_at, tenant, name) VALUES (3, $1, 'a')",
    "INSERT INTO leaves (fallen_at, tenant, name) VALUES (7, $1, 'Z')",
    // The last but one microsecond of the month for which every database has a partition.
    "INSERT INTO leaves (fallen_at, tenant, name) VALUES (2678399999998, $1, 'é')",
];

const TENANT: [u8; 16] = [7; 16];

async fn made(test: &TestDb) -> Db {
    migrate(test.db(), STEPS, LOCK_TIMEOUT).await.unwrap();
    test.db().clone()
}

async fn fill(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    for sql in ROWS {
        match &mut tx {
            Tx::Sqlite(tx) => sqlx::query(sql)
                .bind(&TENANT[..])
                .bind(&b"\0\xff"[..])
                .bind(&b""[..])
                .execute(&mut **tx)
                .await
                .map(drop),
            Tx::Postgres(tx) if sql.contains("$3") => {
                let query = sqlx::query(sql).bind(sqlx::types::Uuid::from_bytes(TENANT));
                query.bind(&b"\0\xff"[..]).bind(&b""[..]).execute(&mut **tx).await.map(drop)
            }
            Tx::Postgres(tx) => {
                sqlx::query(sql).bind(sqlx::types::Uuid::from_bytes(TENANT)).execute(&mut **tx).await.map(drop)
            }
        }
        .unwrap();
    }
    tx.commit().await.unwrap();
}

async fn names_and_sums(db: &Db) -> Vec<(String, copy::TableSum)> {
    let mut tx = db.snapshot().await.unwrap();
    let mut sums = Vec::new();
    for table in tables(&mut tx).await.unwrap() {
        sums.push((table.name.clone(), copy::sum(&mut tx, &table).await.unwrap()));
    }
    sums
}

async fn copy_all(from: &Db, to: &Db) {
    let (mut from, mut to) = (from.snapshot().await.unwrap(), to.begin().await.unwrap());
    for table in tables(&mut from).await.unwrap() {
        let rows = copy::dump(&mut from, &table).await.unwrap();
        let rows = rows.map(|bytes| bytes.map_err(std::io::Error::other));
        copy::load(&mut to, &table, rows).await.unwrap();
    }
    to.commit().await.unwrap();
}

#[tokio::test]
async fn rows_go_from_one_database_to_the_other_and_back() {
    let (first, second, third) = (TestDb::sqlite().await, TestDb::postgres().await, TestDb::sqlite().await);
    let (first, second, third) = (made(&first).await, made(&second).await, made(&third).await);
    fill(&first).await;
    let wanted = names_and_sums(&first).await;
    assert_eq!(
        wanted.iter().map(|(name, sum)| (name.as_str(), sum.rows)).collect::<Vec<_>>(),
        [("nodes", 4), ("leaves", 3)]
    );
    copy_all(&first, &second).await;
    assert_eq!(names_and_sums(&second).await, wanted);
    // A month for which nobody made a partition.
    let late = "INSERT INTO leaves (fallen_at, tenant, name) SELECT 30000000000000, tenant, name FROM nodes \
                WHERE name = 'B'";
    first
        .write(move |tx| {
            Box::pin(async move { drover_db::on_tx!(tx, |c| sqlx::query(late).execute(c).await.map(drop)) })
        })
        .await
        .unwrap();
    let wanted = names_and_sums(&first).await;
    second
        .write(|tx| {
            Box::pin(async move {
                let all = tables(tx).await.unwrap();
                copy::clear(tx, &all).await.unwrap();
                Ok::<_, sqlx::Error>(())
            })
        })
        .await
        .unwrap();
    copy_all(&first, &second).await;
    assert_eq!(names_and_sums(&second).await, wanted);
    let Db::Postgres(pools) = &second else { panic!("not PostgreSQL") };
    let counted = "SELECT CAST(reltuples AS BIGINT) FROM pg_class WHERE relname = $1";
    for (name, sum) in &wanted {
        let rows: i64 = sqlx::query_scalar(counted).bind(name).fetch_one(&pools.all).await.unwrap();
        assert_eq!(u64::try_from(rows).ok(), Some(sum.rows), "the planner knows them at once: {name}");
    }
    copy_all(&second, &third).await;
    assert_eq!(names_and_sums(&third).await, wanted);
    let shares: Vec<Option<f64>> =
        read!(third, |c| sqlx::query_scalar("SELECT share FROM nodes ORDER BY name").fetch_all(c).await.unwrap());
    assert_eq!(shares, [None, Some(0.1), Some(-0.0), Some(1e300)]);
}

/// A new table of the schema that cannot be copied fails here: give it a primary key and columns of the known kinds.
#[tokio::test]
async fn every_table_of_the_schema_can_be_copied_and_is_the_same_on_both() {
    let (sqlite, postgres) = (TestDb::sqlite().await, TestDb::postgres().await);
    let mut found: Vec<Vec<Table>> = Vec::new();
    for test in [&sqlite, &postgres] {
        migrate(test.db(), MIGRATIONS, LOCK_TIMEOUT).await.unwrap();
        found.push(tables(&mut test.db().snapshot().await.unwrap()).await.unwrap());
    }
    assert!(found[0].len() >= 19, "{:?}", found[0]);
    assert_eq!(found[0], found[1]);
}

on_both! {
    async fn a_snapshot_stays_at_its_moment(test: TestDb) {
        let db = made(&test).await;
        let mut tx = db.snapshot().await.unwrap();
        let before = tables(&mut tx).await.unwrap();
        let empty = copy::sum(&mut tx, &before[0]).await.unwrap();
        fill(&db).await;
        assert_eq!((copy::sum(&mut tx, &before[0]).await.unwrap(), empty.rows), (empty, 0));
        drop(tx);
        assert_eq!(names_and_sums(&db).await[0].1.rows, 4);
    }

    async fn nobody_writes_in_a_standstill(test: TestDb) {
        let db = made(&test).await;
        let standstill = db.standstill().await.unwrap();
        let other = test.open_again().await;
        let writing = tokio::spawn(async move { fill(&other).await });
        let mut seen = standstill;
        let all = tables(&mut seen).await.unwrap();
        for _ in 0..20 {
            assert_eq!(copy::sum(&mut seen, &all[0]).await.unwrap().rows, 0);
        }
        assert!(!writing.is_finished());
        seen.rollback().await.unwrap();
        writing.await.unwrap();
        assert_eq!(names_and_sums(&db).await[0].1.rows, 4);
    }

    async fn rows_that_break_off_leave_nothing(test: TestDb) {
        let db = made(&test).await;
        fill(&db).await;
        let (mut from, mut to) = (db.snapshot().await.unwrap(), db.begin().await.unwrap());
        let all = tables(&mut from).await.unwrap();
        let rows: Vec<_> = copy::dump(&mut from, &all[0]).await.unwrap().collect().await;
        let whole = rows.into_iter().map(|bytes| bytes.unwrap()).collect::<Vec<_>>().concat();
        drop(from);
        copy::clear(&mut to, &all).await.unwrap();
        let half = stream::iter([Ok(whole[..whole.len() / 2].to_vec().into()), Err(std::io::Error::other("gone"))]);
        let error = copy::load(&mut to, &all[0], half).await.unwrap_err();
        assert!(matches!(&error, CopyError::Source { table, .. } if table == "nodes"), "{error:?}");
        to.rollback().await.unwrap();
        assert_eq!(names_and_sums(&db).await[0].1.rows, 4);
    }
}

#[tokio::test]
async fn tables_of_an_extension_are_not_ours() {
    let test = TestDb::postgres().await;
    let db = made(&test).await;
    let Db::Postgres(pools) = &db else { panic!("not PostgreSQL") };
    let pool = &pools.all;
    sqlx::raw_sql("CREATE TABLE theirs (odd BOX); ALTER EXTENSION plpgsql ADD TABLE theirs")
        .execute(pool)
        .await
        .unwrap();
    let mut tx = db.snapshot().await.unwrap();
    let found: Vec<String> = tables(&mut tx).await.unwrap().into_iter().map(|table| table.name).collect();
    assert_eq!(found, ["nodes", "leaves"]);
}

/// A server ends transactions that idle; what reads everything waits for other things in between.
#[tokio::test]
async fn what_reads_everything_may_wait() {
    let test = TestDb::postgres().await;
    let db = made(&test).await;
    for mut tx in [db.snapshot().await.unwrap(), db.standstill().await.unwrap()] {
        let Tx::Postgres(tx) = &mut tx else { panic!("not PostgreSQL") };
        let limit: String =
            sqlx::query_scalar("SHOW idle_in_transaction_session_timeout").fetch_one(&mut **tx).await.unwrap();
        assert_eq!(limit, "0");
    }
}
