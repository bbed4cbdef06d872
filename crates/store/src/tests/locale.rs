//! Text sorts by its bytes on both databases, whatever the locale of the server.

use drover_db::Db;
use drover_db::testing::{POSTGRES_VARIABLE, TestDb};
use drover_types::ComponentName;
use sqlx::{Connection, PgConnection};

use super::fixture::{Scope, acme, at, commit, component, digest, migrated};
use crate::objects::ObjectRow;
use crate::{device_components, objects};

/// In the order of their bytes, which is not that of a dictionary.
const NAMES: [&str; 8] = ["A/1", "B", "a", "a-b", "a.b", "a/b", "a_b", "ab"];
const COMPONENTS: [&str; 5] = ["a", "a-b", "a1", "a_b", "ab"];

/// The columns of text that a statement orders by or compares in order.
pub(super) const ORDERED: [(&str, &str); 5] = [
    ("device_components", "component"),
    ("objects", "name"),
    ("rollout_counters", "failure_class"),
    ("rollout_counters", "state"),
    ("update_sessions", "component"),
];

/// The columns of text that conditions compare in order.
const COMPARED: [(&str, &str); 2] = [("device_attributes", "text_value"), ("devices", "hardware_id")];

/// Options of `CREATE DATABASE` for English order. A server that knows neither ICU nor English gets none: there only
/// the collations of the columns are checked.
async fn english() -> String {
    let url = std::env::var(POSTGRES_VARIABLE).unwrap_or_else(|_| panic!("{POSTGRES_VARIABLE} is not set"));
    let mut server = PgConnection::connect(&url).await.expect("the server is there");
    let (version, has_icu): (i32, bool) = sqlx::query_as(
        "SELECT current_setting('server_version_num')::int, \
         EXISTS (SELECT 1 FROM pg_collation WHERE collprovider = 'i')",
    )
    .fetch_one(&mut server)
    .await
    .expect("the server tells its version");
    if has_icu && version >= 150_000 {
        return "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'".to_owned();
    }
    let name: Option<String> = sqlx::query_scalar(
        "SELECT collcollate::text FROM pg_collation WHERE collprovider = 'c' AND collcollate LIKE 'en\\_US%' LIMIT 1",
    )
    .fetch_optional(&mut server)
    .await
    .expect("the server lists its collations");
    name.map(|name| format!("LC_COLLATE '{name}' LC_CTYPE '{name}'")).unwrap_or_default()
}

async fn names_in_pages(acme: Scope<'_>) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = objects::page(acme.db, acme.tenant, after.as_deref(), None, 3).await.expect("a page can be read");
        let Some(last) = page.last() else { return names };
        after = Some(last.name.clone());
        names.extend(page.into_iter().map(|object| object.name));
    }
}

async fn text_sorts_by_bytes(test: TestDb) {
    let acme = acme(&test).await;
    for name in NAMES.iter().rev() {
        let object = ObjectRow { name: (*name).to_owned(), size_bytes: 1, sha256: digest(1), created_at: at(1) };
        assert!(commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object, None)));
    }
    assert_eq!(names_in_pages(acme).await, NAMES);

    let device = acme.device(10, 0).await;
    for name in COMPONENTS.iter().rev() {
        acme.runs(device, name, "1.0.0", None).await;
    }
    let expected: Vec<ComponentName> = COMPONENTS.iter().map(|name| component(name)).collect();
    let found = device_components::of_device(acme.db, acme.tenant, device).await.expect("they can be read");
    assert_eq!(found.into_iter().map(|row| row.component).collect::<Vec<_>>(), expected);
    let found = device_components::of_devices(acme.db, acme.tenant, &[device]).await.expect("they can be read");
    assert_eq!(found.into_iter().map(|row| row.component).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn text_sorts_by_bytes_on_sqlite() {
    text_sorts_by_bytes(TestDb::sqlite().await).await;
}

#[tokio::test]
async fn text_sorts_by_bytes_on_an_english_server() {
    text_sorts_by_bytes(TestDb::postgres_with(&english().await).await).await;
}

#[tokio::test]
async fn ordered_text_has_the_collation_of_bytes() {
    let test = TestDb::postgres().await;
    let Db::Postgres(pools) = migrated(&test).await else { panic!("not PostgreSQL") };
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT table_name::text, column_name::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND collation_name = 'C' ORDER BY 1, 2",
    )
    .fetch_all(&pools.all)
    .await
    .expect("the columns can be read");
    let found: Vec<(&str, &str)> = columns.iter().map(|(table, name)| (table.as_str(), name.as_str())).collect();
    let mut expected = [&ORDERED[..], &COMPARED[..]].concat();
    expected.sort_unstable();
    assert_eq!(found, expected);
}
