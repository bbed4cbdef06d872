//! Every statement is known here, is valid on both databases, and stays within one tenant.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use drover_db::{Dialect, on_both, run};
use drover_types::{GroupId, SessionState};
use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use super::catalogue::{Catalogue, Kind};
use super::fixture::{migrated, uuid};
use super::locale::ORDERED;
use crate::Reach;
use crate::conditions::{CONDITIONS, OUTSIDE, TARGET};
use crate::statements::{MORE, Statement};

macro_rules! modules {
    ($($module:ident),+ $(,)?) => { &[$((stringify!($module), crate::$module::STATEMENTS)),+] };
}

const MODULES: &[(&str, &[Statement])] = modules![
    api_keys,
    archive,
    artifacts,
    audit,
    changes,
    checkup,
    condition_groups,
    content,
    counters,
    dependencies,
    device_attributes,
    device_components,
    device_tags,
    device_tokens,
    devices,
    enrolment_tokens,
    firmware,
    grants,
    group_tree,
    groups,
    idempotency,
    logins,
    moves,
    objects,
    offers,
    reach,
    release_keys,
    restored,
    rollouts,
    session_changes,
    stages,
    targets,
    tenants,
    unused_content,
    update_sessions,
    uploads,
    users,
];

/// Statements that end in the dialect's lock clause.
const LOCKING: [&str; 7] = [
    "drover_store::devices::LOCK",
    "drover_store::firmware::LOCK",
    "drover_store::groups::LOCK",
    "drover_store::groups::LOCK_BY_NAME",
    "drover_store::rollouts::LOCK",
    "drover_store::rollouts::ALL",
    "drover_store::rollouts::TARGET_GROUPS",
];

/// Statements with another fragment of the dialect inside.
const WITH_FRAGMENT: [&str; 3] =
    ["drover_store::changes::PUSH", "drover_store::changes::HORIZON", "drover_store::changes::TRIM"];

/// Statements that are not limited to one tenant, and why.
const WITHOUT_TENANT: &[(&str, &str)] = &[
    ("drover_store::checkup::OVERDUE", "the driver serves the installation; each row says whose it is"),
    ("drover_store::checkup::DEVICES", "numbers of the installation, without names"),
    ("drover_store::content::NAMED", "a backup is of the installation; each row says whose it is"),
    ("drover_store::restored::RAISE_EPOCHS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::RAISE_LEASES", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::GOING_ON", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::PAUSE", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::OPEN_UPLOADS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::ABORT_UPLOADS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::FORGET_CHANGES", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::LOGINS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::END_LOGINS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::API_KEYS", "the installation came from elsewhere as a whole"),
    ("drover_store::restored::REVOKE_API_KEYS", "the installation came from elsewhere as a whole"),
    ("drover_store::moves::CURRENT", "the installation moves as a whole"),
    ("drover_store::moves::INSERT", "the installation moves as a whole"),
    ("drover_store::moves::END_DUTIES", "the installation moves as a whole"),
    ("drover_store::moves::CLEAR", "the installation moves as a whole"),
    ("drover_store::moves::HOLD", "the installation moves as a whole"),
    ("drover_store::audit::UNNUMBERED", "the sequencer serves the installation; each row says whose it is"),
    ("drover_store::tenants::INSERT", "makes a tenant"),
    ("drover_store::tenants::INSERT_SELF", "makes a tenant"),
    ("drover_store::tenants::INSERT_BELOW", "makes a tenant"),
    ("drover_store::tenants::GET", "the tenant is the row"),
    ("drover_store::tenants::BY_NAME", "finds the tenant that a caller names"),
    ("drover_store::tenants::ALL", "lists tenants"),
    ("drover_store::tenants::ANY_NAME", "whether there is any tenant"),
    ("drover_store::tenants::PAGE", "lists a tenant and those below it"),
    ("drover_store::tenants::IS_WITHIN", "the tree of tenants"),
    ("drover_store::tenants::LEVEL", "the tree of tenants"),
    ("drover_store::tenants::TOP", "the tree of tenants"),
    ("drover_store::tenants::HOLD", "the tenant is the row"),
    ("drover_store::tenants::RENAME", "the tenant is the row"),
    ("drover_store::tenants::DELETE_FROM_TREE", "the tree of tenants"),
    ("drover_store::tenants::DELETE", "the tenant is the row"),
    ("drover_store::grants::OWNERS", "owners of a tenant are users of it and of those above"),
    ("drover_store::rollouts::ACTIVE", "a number of the installation, without names"),
    ("drover_store::rollouts::DUE", "the driver serves the installation; each row says whose it is"),
    ("drover_store::changes::HORIZON", "a number of the installation, without names"),
    ("drover_store::changes::FROM", "a node serves the installation; each row says whose it is"),
    ("drover_store::changes::TRIM", "what is old is forgotten for all"),
    ("drover_store::counters::OPEN", "a node serves the installation; each row says whose it is"),
    ("drover_store::device_tokens::IN_USE", "a node serves the installation; each row says whose it is"),
    ("drover_store::uploads::DUE", "every node serves the installation; each row says whose it is"),
];

fn statements() -> impl Iterator<Item = Statement> {
    MODULES.iter().flat_map(|(_, list)| list.iter().copied())
}

fn sources() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = std::fs::read_dir(folder).expect("the source folder can be read");
    let paths = files.map(|file| file.expect("an entry can be read").path());
    let sources: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("a source file can be read")))
        .collect();
    assert!(sources.len() > MODULES.len(), "the source folder is not where it was");
    sources
}

#[test]
fn every_module_with_statements_is_listed() {
    let listed: BTreeSet<String> = MODULES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let written: BTreeSet<String> = sources()
        .iter()
        .filter(|(_, text)| text.contains("\nstatements! {"))
        .map(|(path, _)| path.file_stem().expect("a file has a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(listed, written);
}

#[test]
fn no_statement_bypasses_the_list() {
    for (path, text) in sources() {
        for call in ["query", "query_as", "query_scalar", "raw_sql"] {
            let literal = format!("sqlx::{call}(\"");
            assert!(!text.contains(&literal), "{}: move the text of {literal}… to statements!", path.display());
        }
        // A built statement names its clause itself.
        let locking = text.matches(".dialect()").count() - text.matches(".for_change_skip_locked()").count();
        let module = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let listed =
            LOCKING.iter().chain(&WITH_FRAGMENT).filter(|name| name.contains(&format!("::{module}::"))).count();
        assert_eq!(
            locking,
            listed,
            "{}: list statements with a dialect's fragment in LOCKING or WITH_FRAGMENT",
            path.display()
        );
    }
}

#[test]
fn every_statement_is_limited_to_one_tenant() {
    for (name, sql) in statements() {
        if WITHOUT_TENANT.iter().any(|(allowed, _)| *allowed == name) {
            continue;
        }
        let conditions = sql.matches("tenant_id = ").count();
        // Each table that is read is tied to the tenant on its own; what the statement itself put together is not one.
        let own = sql.strip_prefix("WITH ").and_then(|rest| rest.split(' ').next());
        let words: Vec<&str> = sql.split_whitespace().collect();
        let reads = words.windows(2).filter(|pair| matches!(pair[0], "FROM" | "JOIN") && Some(pair[1]) != own);
        let tables = reads.filter(|pair| pair[1] != "(SELECT").count();
        assert!(conditions >= tables, "{name} reads {tables} tables with {conditions} conditions on tenant_id: {sql}");
        let is_plain_insert = sql.starts_with("INSERT INTO ") && sql.contains("(tenant_id, ") && sql.contains("($1, ");
        assert!(is_plain_insert || sql.contains("tenant_id = $1"), "{name} does not bind the tenant as $1: {sql}");
    }
}

#[test]
fn every_exemption_still_exists() {
    let names: BTreeSet<&str> = statements().map(|(name, _)| name).collect();
    let exempt = WITHOUT_TENANT.iter().map(|(name, _)| *name).chain(LOCKING).chain(WITH_FRAGMENT);
    for name in exempt {
        assert!(names.contains(name), "{name} is no statement any more");
    }
}

#[test]
fn every_built_statement_is_limited_to_one_tenant() {
    let mut built = 0;
    for (path, text) in sources() {
        for rest in text.split("QueryBuilder::new(").skip(1) {
            let sql = rest.split(".build").next().unwrap_or_default();
            let is_bound = sql.contains("push_bind(tenant)");
            assert!(sql.contains("tenant_id") && is_bound, "{}: {sql}", path.display());
            built += 1;
        }
    }
    assert!(built >= 5, "only {built} built statements found: this test looks for the wrong text");
}

#[test]
fn every_list_of_running_states_is_complete() {
    let running: BTreeSet<&str> =
        SessionState::ALL.iter().filter(|state| state.is_in_flight()).map(|state| state.as_str()).collect();
    let mut lists = 0;
    let built = sources().into_iter().flat_map(|(path, text)| {
        let name = path.display().to_string();
        text.split("IN (").skip(1).map(|list| (name.clone(), list.to_owned())).collect::<Vec<_>>()
    });
    for (name, list) in built.filter(|(_, list)| list.starts_with("'offered'")) {
        let list = list.split(')').next().unwrap_or_default().to_owned();
        let words: BTreeSet<&str> = list.split('\'').skip(1).step_by(2).collect();
        assert_eq!(words, running, "{name}");
        lists += 1;
    }
    assert!(lists >= 3, "only {lists} lists found: this test looks for the wrong text");
}

/// `PostgreSQL` sorts text by the locale of the server unless the column says otherwise, see `locale.rs`.
#[tokio::test]
async fn every_text_that_is_sorted_is_known() {
    let test = drover_db::testing::TestDb::sqlite().await;
    let catalogue = Catalogue::read(migrated(&test).await).await;
    let texts: BTreeSet<&str> = catalogue
        .tables
        .values()
        .flat_map(|table| &table.columns)
        .filter(|column| column.kind == Kind::Text)
        .map(|column| column.name.as_str())
        .collect();
    let known: BTreeSet<&str> = ORDERED.iter().map(|(_, name)| *name).collect();
    let sources = sources();
    let lists = sources.iter().flat_map(|(_, text)| text.split("ORDER BY ").skip(1));
    let mut sorted = BTreeSet::new();
    for list in lists {
        let list = list.split(['"', ')']).next().unwrap_or_default();
        let list = list.split("LIMIT").next().unwrap_or_default();
        // What a CASE looks at is compared, not sorted.
        let cases = list.split("CASE ").map(|part| part.split_once(" END").map_or(part, |(_, rest)| rest));
        let words = cases.flat_map(|part| part.split(|c: char| !c.is_alphanumeric() && c != '_'));
        sorted.extend(words.filter(|word| texts.contains(word)));
    }
    assert_eq!(sorted, known);
}

on_both! {
    async fn every_statement_is_valid(test: TestDb) {
        let db = migrated(&test).await;
        let mut faults = Vec::new();
        for (name, sql) in statements() {
            // As it stands, the marks of conditions are comments.
            let mut texts = vec![crate::changes::with_fragments(sql, db.dialect())];
            let sql = [TARGET, OUTSIDE, CONDITIONS, MORE].iter().fold(sql.to_owned(), |sql, mark| sql.replace(mark, ""));
            if sql.contains("/*") {
                texts.push(Reach::Groups(vec![GroupId(uuid(1)); 3]).limit(&sql));
                assert!(!texts[1].contains("1 = 0"), "{name} has a mark that nobody knows");
            }
            if LOCKING.contains(&name) {
                texts.push(format!("{sql} {}", db.dialect().for_update()));
            }
            for text in texts {
                if let Err(error) = prepare(db, text).await {
                    faults.push(format!("{name}: {error}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    async fn a_wrong_statement_is_found(test: TestDb) {
        let db = migrated(&test).await;
        let wrong_column = "SELECT nothing FROM devices WHERE tenant_id = $1";
        let wrong_table = "SELECT id FROM device WHERE tenant_id = $1";
        for wrong in [wrong_column, wrong_table] {
            assert!(prepare(db, wrong.to_owned()).await.is_err(), "{wrong}");
        }
    }
}

#[test]
fn the_lock_clause_differs() {
    assert_ne!(Dialect::Sqlite.for_update(), Dialect::Postgres.for_update());
}

async fn prepare(db: &drover_db::Db, sql: String) -> Result<(), sqlx::Error> {
    let sql = AssertSqlSafe(sql).into_sql_str();
    run!(db, |c| c.prepare(sql).await.map(drop))
}
