//! The catalogue of `PostgreSQL`.

use sqlx::PgPool;

use super::{Catalogue, Column, ForeignKey, Index, Kind, list, predicate};

const COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text, is_nullable = 'YES' \
    FROM information_schema.columns WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position";
const INDEXES: &str = "SELECT t.relname::text, i.relname::text, x.indisunique, x.indisprimary, \
    EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype = 'u'), \
    (SELECT string_agg(a.attname::text, ',' ORDER BY k.position) \
     FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, position) \
     JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum), \
    pg_get_expr(x.indpred, x.indrelid) FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid \
    JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace \
    WHERE n.nspname = current_schema()";
const FOREIGN_KEYS: &str = "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, c.confdeltype = 'c', \
    (SELECT string_agg(a.attname::text, ',' ORDER BY k.position) \
     FROM unnest(c.conkey) WITH ORDINALITY AS k (attnum, position) \
     JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum), \
    (SELECT string_agg(a.attname::text, ',' ORDER BY k.position) \
     FROM unnest(c.confkey) WITH ORDINALITY AS k (attnum, position) \
     JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum) \
    FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace \
    WHERE c.contype = 'f' AND n.nspname = current_schema()";

type IndexRow = (String, String, bool, bool, bool, String, Option<String>);

pub(super) async fn read(pool: &PgPool) -> Result<Catalogue, sqlx::Error> {
    let mut catalogue = Catalogue::default();
    let columns: Vec<(String, String, String, bool)> = sqlx::query_as(COLUMNS).fetch_all(pool).await?;
    for (table, name, kind, is_nullable) in columns {
        let kind = match kind.as_str() {
            "uuid" | "bytea" => Kind::Bytes,
            "bigint" => Kind::Integer,
            "double precision" => Kind::Real,
            "text" => Kind::Text,
            other => panic!("{table}.{name} has the type {other}, which has no counterpart"),
        };
        catalogue.tables.entry(table).or_default().columns.push(Column { name, kind, is_nullable });
    }
    let indexes: Vec<IndexRow> = sqlx::query_as(INDEXES).fetch_all(pool).await?;
    for (table, name, is_unique, is_primary, is_constraint, columns, condition) in indexes {
        let keys = catalogue.tables.entry(table.clone()).or_default();
        let columns = list(&columns);
        if is_primary {
            keys.primary_key = columns;
        } else if is_constraint {
            keys.unique_keys.insert(columns);
        } else {
            let predicate = condition.as_deref().map(predicate);
            catalogue.indexes.insert(name, Index { table, columns, is_unique, predicate });
        }
    }
    let keys: Vec<(String, String, bool, String, String)> = sqlx::query_as(FOREIGN_KEYS).fetch_all(pool).await?;
    for (owner, table, is_cascading, columns, references) in keys {
        let (columns, references) = (list(&columns), list(&references));
        let owner = catalogue.tables.entry(owner).or_default();
        owner.foreign_keys.insert(ForeignKey { columns, table, references, is_cascading });
    }
    Ok(catalogue)
}
