//! The catalogue of `SQLite`.

use sqlx::SqliteConnection;

use super::{Found, Kind, Reference};

const COLUMNS: &str = "SELECT m.name, p.name, p.type, NULLIF(p.pk, 0) FROM sqlite_master m \
    JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
    ORDER BY m.name, p.name";
const REFERENCES: &str = "SELECT DISTINCT m.name, f.\"table\" FROM sqlite_master m \
    JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'";

pub(super) async fn read(connection: &mut SqliteConnection) -> sqlx::Result<(Vec<Found>, Vec<Reference>)> {
    let rows: Vec<(String, String, String, Option<i64>)> = sqlx::query_as(COLUMNS).fetch_all(&mut *connection).await?;
    let references = sqlx::query_as(REFERENCES).fetch_all(connection).await?;
    let columns = rows.into_iter().map(|(table, column, word, key_position)| {
        let kind = match word.as_str() {
            "BLOB" => Some(Kind::Bytes),
            // The schema's history is written in words that both databases know.
            "INTEGER" | "BIGINT" => Some(Kind::Integer),
            "REAL" => Some(Kind::Real),
            "TEXT" => Some(Kind::Text),
            _ => None,
        };
        Found { table, column, word, kind, key_position }
    });
    Ok((columns.collect(), references))
}
