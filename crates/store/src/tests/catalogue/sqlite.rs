//! The catalogue of `SQLite`.

use sqlx::SqlitePool;

use super::{Catalogue, Column, ForeignKey, Index, Kind, list, predicate};

const COLUMNS: &str = "SELECT m.name, p.name, p.type, p.\"notnull\" FROM sqlite_master m \
    JOIN pragma_table_info(m.name) p WHERE m.type = 'table' ORDER BY m.name, p.cid";
const INDEXES: &str = "SELECT m.name, l.name, l.\"unique\", l.origin, \
    (SELECT group_concat(i.name, ',') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno) i), \
    (SELECT x.sql FROM sqlite_master x WHERE x.type = 'index' AND x.name = l.name) \
    FROM sqlite_master m JOIN pragma_index_list(m.name) l WHERE m.type = 'table'";
const FOREIGN_KEYS: &str = "SELECT m.name, f.\"table\", f.on_delete, group_concat(f.\"from\", ','), \
    group_concat(f.\"to\", ',') \
    FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' GROUP BY m.name, f.id";

type IndexRow = (String, String, bool, String, String, Option<String>);

pub(super) async fn read(pool: &SqlitePool) -> Result<Catalogue, sqlx::Error> {
    let mut catalogue = Catalogue::default();
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(COLUMNS).fetch_all(pool).await?;
    for (table, name, kind, is_required) in columns {
        let kind = match kind.as_str() {
            "BLOB" => Kind::Bytes,
            "INTEGER" | "BIGINT" => Kind::Integer,
            "REAL" => Kind::Real,
            "TEXT" => Kind::Text,
            other => panic!("{table}.{name} has the type {other}, which has no counterpart"),
        };
        let table = catalogue.tables.entry(table).or_default();
        table.columns.push(Column { name, kind, is_nullable: !is_required });
    }
    let indexes: Vec<IndexRow> = sqlx::query_as(INDEXES).fetch_all(pool).await?;
    for (table, name, is_unique, origin, columns, sql) in indexes {
        let keys = catalogue.tables.entry(table.clone()).or_default();
        let columns = list(&columns);
        match origin.as_str() {
            "pk" => keys.primary_key = columns,
            "u" => {
                keys.unique_keys.insert(columns);
            }
            _ => {
                let predicate = sql.as_deref().and_then(|sql| sql.split_once("WHERE ")).map(|(_, p)| predicate(p));
                catalogue.indexes.insert(name, Index { table, columns, is_unique, predicate });
            }
        }
    }
    let keys: Vec<(String, String, String, String, String)> = sqlx::query_as(FOREIGN_KEYS).fetch_all(pool).await?;
    for (owner, table, on_delete, columns, references) in keys {
        let (columns, references) = (list(&columns), list(&references));
        let is_cascading = on_delete == "CASCADE";
        let owner = catalogue.tables.entry(owner).or_default();
        owner.foreign_keys.insert(ForeignKey { columns, table, references, is_cascading });
    }
    Ok(catalogue)
}
