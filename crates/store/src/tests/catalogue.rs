//! Reads the schema of either database into one form.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::Db;

mod postgres;
mod sqlite;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bytes,
    Integer,
    Real,
    Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) is_nullable: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ForeignKey {
    pub(super) columns: Vec<String>,
    pub(super) table: String,
    pub(super) references: Vec<String>,
    pub(super) is_cascading: bool,
}

/// `column IN (words)`, or without words `column IS NULL` or `IS NOT NULL`: the forms of predicate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Predicate {
    pub(super) column: String,
    pub(super) is_not_null: bool,
    pub(super) words: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) is_unique: bool,
    pub(super) predicate: Option<Predicate>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) primary_key: Vec<String>,
    pub(super) unique_keys: BTreeSet<Vec<String>>,
    pub(super) foreign_keys: BTreeSet<ForeignKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalogue {
    pub(super) tables: BTreeMap<String, Table>,
    pub(super) indexes: BTreeMap<String, Index>,
}

impl Catalogue {
    pub(super) async fn read(db: &Db) -> Self {
        match db {
            Db::Sqlite(pools) => sqlite::read(&pools.readers).await,
            Db::Postgres(pools) => postgres::read(&pools.all).await,
        }
        .expect("the catalogue can be read")
    }

    pub(super) fn has_index(&self, table: &str, columns: &[&str]) -> bool {
        let is_it = |found: &[String]| found.iter().map(String::as_str).eq(columns.iter().copied());
        let is_key = self.tables.get(table).is_some_and(|table| table.unique_keys.iter().any(|key| is_it(key)));
        is_key || self.indexes.values().any(|index| index.table == table && is_it(&index.columns))
    }
}

/// The columns that a query joined with commas.
fn list(joined: &str) -> Vec<String> {
    joined.split(',').map(str::to_owned).collect()
}

/// Of `state IN ('a', 'b')` or `(state = ANY (ARRAY['a'::text, 'b'::text]))`; of `seq IS NULL` or `IS NOT NULL`.
fn predicate(sql: &str) -> Predicate {
    let is_not_null = sql.contains(" IS NOT NULL");
    let is_known = is_not_null || [" IN (", " = ANY (ARRAY[", " IS NULL"].iter().any(|form| sql.contains(form));
    assert!(is_known, "teach this test the predicate {sql}");
    let column = sql.trim_start_matches('(').split_whitespace().next().unwrap_or_default().to_owned();
    Predicate { column, is_not_null, words: sql.split('\'').skip(1).step_by(2).map(str::to_owned).collect() }
}
