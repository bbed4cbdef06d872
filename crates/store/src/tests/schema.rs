//! Both databases have the same schema, and it keeps tenants apart.

use std::collections::BTreeSet;
use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{Db, MIGRATIONS, is_foreign_key_violation, on_both};
use drover_types::{RolloutState, SessionState};

use super::catalogue::Catalogue;
use super::fixture::{Scope, at, migrated, refused};
use crate::{firmware, update_sessions};

const LOCK: Duration = Duration::from_secs(10);

/// Tables of the installation: the tenants themselves, the duties of processes, where it moved, what nodes have to hear
/// of (also of tenants that are gone), the history of the schema.
const WITHOUT_TENANT: [&str; 6] = ["tenants", "tenant_tree", "leases", "moves", "changes", "schema_migrations"];
/// A grant of a user may hold in a tenant below his own.
const SCOPE: &str = "scope_tenant_id";
/// Nodes look for what is due and for what changed in the whole installation; the tree of tenants;
/// who owns a tenant.
const INDEXES_WITHOUT_TENANT: [&str; 5] = [
    "rollouts_by_next_tick",
    "uploads_by_next_action",
    "changes_by_seq",
    "tenant_tree_by_descendant",
    "grants_by_scope",
];

#[tokio::test]
async fn both_databases_have_one_schema() {
    let (sqlite, postgres) = (TestDb::sqlite().await, TestDb::postgres().await);
    let left = Catalogue::read(migrated(&sqlite).await).await;
    let right = Catalogue::read(migrated(&postgres).await).await;
    assert!(left.tables.len() >= 20, "{:?}", left.tables.keys());
    assert_eq!(left.tables.keys().collect::<Vec<_>>(), right.tables.keys().collect::<Vec<_>>());
    for (name, table) in &left.tables {
        assert_eq!(table, &right.tables[name], "table {name}");
    }
    assert_eq!(left.indexes.keys().collect::<Vec<_>>(), right.indexes.keys().collect::<Vec<_>>());
    for (name, index) in &left.indexes {
        assert_eq!(index, &right.indexes[name], "index {name}");
    }
}

/// `SQLite` takes any value in any column unless the table is strict.
#[tokio::test]
async fn tables_of_sqlite_are_strict() {
    let test = TestDb::sqlite().await;
    let Db::Sqlite(pools) = migrated(&test).await else { panic!("not SQLite") };
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 \
         AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .fetch_all(&pools.readers)
    .await
    .expect("the list of tables can be read");
    // Its one text is for both databases, and STRICT is not.
    assert_eq!(loose, ["schema_migrations"]);
}

/// Ids bind as UUID, everything else in bytes does not.
#[tokio::test]
async fn ids_are_uuids_on_postgres() {
    let test = TestDb::postgres().await;
    let Db::Postgres(pools) = migrated(&test).await else { panic!("not PostgreSQL") };
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT column_name::text, data_type::text FROM information_schema.columns \
         WHERE table_schema = current_schema() AND data_type IN ('uuid', 'bytea')",
    )
    .fetch_all(&pools.all)
    .await
    .expect("the columns can be read");
    assert!(!columns.is_empty());
    for (name, kind) in columns {
        let is_id = name == "id" || name.ends_with("_id") || name == "cursor_device";
        assert_eq!(kind, if is_id { "uuid" } else { "bytea" }, "{name}");
    }
}

on_both! {
    /// Step 8 makes the table of sessions anew.
    async fn sessions_survive_the_step_that_orders_their_indexes_anew(test: TestDb) {
        drover_db::migrate(test.db(), &MIGRATIONS[..7], LOCK).await.expect("the older schema is made");
        let old = Scope::new(test.db(), 1, "acme").await;
        let new = old.firmware(5, "2.0.0").await;
        let rollout = old.rollout(200, &new, RolloutState::Active).await;
        let device = old.device(10, 0).await;
        let id = old.pending(300, rollout, device, new.id).await;
        assert!(old.offer(id, None, at(90)).await);
        let before = update_sessions::get(old.db, old.tenant, &[id]).await.unwrap().remove(0);
        let acme = Scope { db: migrated(&test).await, ..old };
        let after = update_sessions::get(acme.db, acme.tenant, &[id]).await.unwrap().remove(0);
        assert_eq!(format!("{before:?}"), format!("{after:?}"));
        assert_eq!(update_sessions::next_due(acme.db, acme.tenant, rollout).await.unwrap(), Some(at(90)));
        let deleted = refused!(acme.db, |tx| firmware::delete(tx, acme.tenant, new.id));
        assert!(is_foreign_key_violation(&deleted), "what it refers to stays: {deleted}");
    }

    async fn every_key_starts_with_the_tenant(test: TestDb) {
        let catalogue = Catalogue::read(migrated(&test).await).await;
        for (name, table) in catalogue.tables.iter().filter(|(name, _)| !WITHOUT_TENANT.contains(&name.as_str())) {
            let references = table.foreign_keys.iter().map(|key| &key.columns);
            for key in references.chain([&table.primary_key]).chain(&table.unique_keys) {
                if name == "grants" && key[0] == SCOPE {
                    continue;
                }
                assert_eq!(key.first().map(String::as_str), Some("tenant_id"), "{name} {key:?}");
            }
            for key in table.foreign_keys.iter().filter(|key| key.table != "tenants") {
                assert_eq!(key.references[0], "tenant_id", "{name} {key:?}");
            }
            assert!(!table.foreign_keys.is_empty(), "{name} does not refer to its tenant, nor to what does");
        }
        for (name, index) in catalogue.indexes.iter().filter(|(name, _)| !INDEXES_WITHOUT_TENANT.contains(&name.as_str())) {
            assert_eq!(index.columns[0], "tenant_id", "{name}");
        }
        for name in INDEXES_WITHOUT_TENANT {
            assert!(catalogue.indexes.contains_key(name), "{name}");
        }
    }

    async fn the_indexes_of_source_002_exist(test: TestDb) {
        let catalogue = Catalogue::read(migrated(&test).await).await;
        let wanted: [(&str, &[&str]); 7] = [
            ("devices", &["tenant_id", "hardware_id"]),
            ("devices", &["tenant_id", "device_type", "status"]),
            ("devices", &["tenant_id", "last_seen_at"]),
            ("firmware", &["tenant_id", "version"]),
            ("firmware", &["tenant_id", "device_type", "published_at"]),
            // In the place of (device_id, started_at): a device has few sessions, and their ids are in order of time.
            ("update_sessions", &["tenant_id", "device_id", "rollout_id"]),
            // In the place of (state): nobody asks for a state of all rollouts at once.
            ("update_sessions", &["tenant_id", "rollout_id", "state", "id"]),
        ];
        for (table, columns) in wanted {
            assert!(catalogue.has_index(table, columns), "{table} {columns:?}");
        }
        assert!(!catalogue.has_index("devices", &["tenant_id", "agent_version"]));
    }

    async fn one_running_session_per_component_is_an_index(test: TestDb) {
        let catalogue = Catalogue::read(migrated(&test).await).await;
        let partial: Vec<_> = catalogue.indexes.values()
            .filter(|index| index.table == "update_sessions" && index.is_unique).collect();
        let [index] = partial.as_slice() else { panic!("{partial:?}") };
        assert_eq!(index.columns, ["tenant_id", "device_id", "component"]);
        let predicate = index.predicate.as_ref().expect("it is partial");
        let running: BTreeSet<String> =
            SessionState::ALL.iter().filter(|state| state.is_in_flight()).map(ToString::to_string).collect();
        assert_eq!((predicate.column.as_str(), &predicate.words), ("state", &running));
    }

    /// `drover_db::unique_violation` gives one name on both databases only for names in this form.
    async fn unique_indexes_are_named_like_constraints(test: TestDb) {
        let catalogue = Catalogue::read(migrated(&test).await).await;
        for (name, index) in catalogue.indexes.iter().filter(|(_, index)| index.is_unique) {
            assert_eq!(*name, format!("{}_{}_key", index.table, index.columns.join("_")));
            assert!(name.len() <= 63, "PostgreSQL cuts {name}");
        }
        for (table, keys) in &catalogue.tables {
            for key in &keys.unique_keys {
                let name = format!("{table}_{}_key", key.join("_"));
                assert!(name.len() <= 63, "PostgreSQL shortens {name}");
            }
        }
    }
}
