//! The catalogue of `PostgreSQL`. A partitioned table is one table; its partitions are none, nor are
//! tables that an extension brought along.

use sqlx::PgConnection;

use super::{Found, Kind, Reference};

const COLUMNS: &str = "SELECT t.relname::text, a.attname::text, format_type(a.atttypid, NULL), \
    array_position(x.indkey::int2[], a.attnum)::bigint \
    FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace \
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
    LEFT JOIN pg_index x ON x.indrelid = t.oid AND x.indisprimary \
    WHERE n.nspname = current_schema() AND t.relkind IN ('r', 'p') AND NOT t.relispartition \
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e') \
    ORDER BY t.relname::text COLLATE \"C\", a.attname::text COLLATE \"C\"";
const REFERENCES: &str = "SELECT DISTINCT o.relname::text, r.relname::text FROM pg_constraint c \
    JOIN pg_class o ON o.oid = c.conrelid JOIN pg_class r ON r.oid = c.confrelid \
    JOIN pg_namespace n ON n.oid = c.connamespace \
    WHERE c.contype = 'f' AND n.nspname = current_schema() AND NOT o.relispartition AND NOT r.relispartition";

pub(super) async fn read(connection: &mut PgConnection) -> sqlx::Result<(Vec<Found>, Vec<Reference>)> {
    let rows: Vec<(String, String, String, Option<i64>)> = sqlx::query_as(COLUMNS).fetch_all(&mut *connection).await?;
    let references = sqlx::query_as(REFERENCES).fetch_all(connection).await?;
    let columns = rows.into_iter().map(|(table, column, word, key_position)| {
        let kind = match word.as_str() {
            "uuid" | "bytea" => Some(Kind::Bytes),
            "bigint" => Some(Kind::Integer),
            "double precision" => Some(Kind::Real),
            "text" => Some(Kind::Text),
            _ => None,
        };
        Found { table, column, word, kind, key_position }
    });
    Ok((columns.collect(), references))
}
