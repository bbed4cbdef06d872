//! What is asked while half a million devices update has to begin at its index on SQLite, which knows nothing about how
//! many rows there are. PostgreSQL counts them and chooses by that; but a rollout that has just begun it has not counted.

use drover_db::Db;
use drover_db::testing::TestDb;
use drover_types::RolloutState;

use super::fixture::{Scope, acme, plan_of};
use crate::statements::{MORE, Statement};
use crate::{device_components, device_tokens, session_changes, targets, update_sessions};

const OF_ROLLOUT: &str = "update_sessions_by_rollout (tenant_id=? AND rollout_id=? AND state=?";

/// A statement, where it begins, and what it must not do.
const PLANS: &[(&[Statement], &str, &str)] = &[
    (
        update_sessions::STATEMENTS,
        "NEXT_DUE",
        "COVERING INDEX update_sessions_by_next_action (tenant_id=? AND rollout_id=?",
    ),
    (
        update_sessions::STATEMENTS,
        "DUE",
        "update_sessions_by_next_action (tenant_id=? AND rollout_id=? AND next_action_at",
    ),
    (update_sessions::STATEMENTS, "IN_STATE", OF_ROLLOUT),
    (update_sessions::STATEMENTS, "DEVICES_OF", OF_ROLLOUT),
    (session_changes::STATEMENTS, "END_MANY", "(tenant_id=? AND rollout_id=? AND state=? AND id=?)"),
    (update_sessions::STATEMENTS, "EXISTS", "(tenant_id=? AND device_id=? AND rollout_id=?)"),
    (update_sessions::STATEMENTS, "IN_FLIGHT_WITH", "(tenant_id=? AND device_id=?"),
    (update_sessions::STATEMENTS, "COUNTED_OF_DEVICE", "(tenant_id=? AND device_id=?"),
    (device_components::STATEMENTS, "RUNNING", "device_components_1 (tenant_id=? AND device_id=? AND component=?)"),
    (update_sessions::STATEMENTS, "GET", "update_sessions_1 (tenant_id=? AND id=?)"),
    (update_sessions::STATEMENTS, "ROLLOUTS", "update_sessions_1 (tenant_id=? AND id=?)"),
    (targets::STATEMENTS, "COUNT", "devices_1 (tenant_id=? AND id>?)"),
    (targets::STATEMENTS, "COUNT_NEXT", "devices_1 (tenant_id=? AND id>?)"),
    (targets::STATEMENTS, "SUMMARY", "devices_1 (tenant_id=? AND id>?)"),
    (
        targets::STATEMENTS,
        "LOOK",
        "COVERING INDEX devices_by_bucket (tenant_id=? AND device_type=? AND bucket>? AND bucket<?)",
    ),
    (targets::STATEMENTS, "LOOK_BY_ID", "COVERING INDEX sqlite_autoindex_devices_1 (tenant_id=? AND id>?)"),
    (targets::STATEMENTS, "PICK_BY_ID", "devices_1 (tenant_id=? AND id>? AND id<?)"),
    (targets::STATEMENTS, "WHY_NOT", "devices_1 (tenant_id=? AND id=?)"),
    (targets::STATEMENTS, "COUNT_BACK", OF_ROLLOUT),
    (targets::STATEMENTS, "COUNT_LEFT", OF_ROLLOUT),
    (device_tokens::STATEMENTS, "IN_USE", "device_tokens_1 ((tenant_id,id)>(?,?))"),
    (targets::STATEMENTS, "PICK_BACK", "(tenant_id=? AND device_id>?)"),
];

#[tokio::test]
async fn what_comes_with_every_report_begins_at_its_index() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    let mut wrong = Vec::new();
    for (statements, name, begin) in PLANS {
        let is_it = |found: &str| found.rsplit("::").next() == Some(name);
        let (_, sql) = statements.iter().find(|(found, _)| is_it(found)).unwrap();
        for more in [4, 400] {
            let list: Vec<_> = (0..more).map(|place| format!(", ${}", 20 + place)).collect();
            let steps = plan_of(acme.db, &sql.replace(MORE, &list.concat())).await;
            let first = steps.iter().find(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")).unwrap();
            if !first.contains(begin) || steps.iter().any(|step| step.contains("FOR ORDER BY") && *name != "SUMMARY") {
                wrong.push(format!("{name} of {more}: not {begin:?} first, or sorted: {steps:#?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A statement over a list `v` for that many sessions.
fn over_sessions([begin, end]: [&str; 2], ids: &[String], tenant: &str) -> String {
    let columns = "id, state_before, from_version, from_firmware_id, state, progress, failure_class, failure_code, \
                   failure_message, next_action_at, completed_at";
    let values = "'x', 'x', CAST(NULL AS UUID), 'x', 1, 'x', 'x', 'x', 1, 1";
    let rows: Vec<_> = ids.iter().map(|id| format!("(CAST({id} AS UUID), {values})")).collect();
    let (rows, ids) = (rows.join(", "), ids.join(", "));
    format!("WITH v ({columns}) AS (VALUES {rows}) {begin} WHERE tenant_id = {tenant} AND id IN ({ids}) {end}")
}

#[tokio::test]
async fn the_sessions_of_a_set_are_found_by_their_ids() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    for (sql, len) in
        [session_changes::OFFER, session_changes::CHANGE].into_iter().flat_map(|sql| [(sql, 1), (sql, 100)])
    {
        let ids: Vec<_> = (0..len).map(|row| format!("${}", row + 2)).collect();
        let steps = plan_of(acme.db, &over_sessions(sql, &ids, "$1")).await;
        let first = steps.iter().find(|step| step.starts_with("SEARCH") || step.starts_with("SCAN")).unwrap();
        assert!(first.contains("update_sessions_1 (tenant_id=? AND id=?)"), "{steps:#?}");
        assert!(!steps.iter().any(|step| step.contains("SEARCH o") && !step.contains("device_id=?")), "{steps:#?}");
    }
}

/// How PostgreSQL goes about a statement.
async fn postgres_plan(acme: Scope<'_>, sql: &str) -> String {
    let Db::Postgres(pools) = acme.db else { panic!("not PostgreSQL") };
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN {sql}"));
    let steps: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pools.all).await.unwrap();
    steps.join("\n")
}

/// Twenty thousand sessions of a rollout that has just begun, which `PostgreSQL` has not analyzed yet.
async fn crowd(acme: Scope<'_>) {
    let firmware = acme.firmware(12, "1.2.0").await;
    let rollout = acme.rollout(40, &firmware, RolloutState::Active).await;
    let (tenant, rollout, firmware) = (acme.tenant, rollout.0, firmware.id);
    let sql = format!(
        "ALTER TABLE update_sessions SET (autovacuum_enabled = false); \
         INSERT INTO devices (tenant_id, id, hardware_id, device_type, status, bucket, metadata, enrolment_token_id, \
         created_at, updated_at) SELECT '{tenant}', CAST(md5('d' || n) AS UUID), 'hw-' || n, 'robot', 'idle', n, '', \
         '{firmware}', 1, 1 FROM generate_series(1, 20000) n; \
         ANALYZE devices; \
         INSERT INTO update_sessions (tenant_id, id, rollout_id, stage, device_id, component, firmware_id, state, progress, \
         created_at, updated_at) SELECT '{tenant}', CAST(md5('s' || n) AS UUID), '{rollout}', 0, \
         CAST(md5('d' || n) AS UUID), 'main', '{firmware}', 'pending', 0, 1, 1 FROM generate_series(1, 20000) n"
    );
    let Db::Postgres(pools) = acme.db else { panic!("not PostgreSQL") };
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pools.all).await.unwrap();
}

#[tokio::test]
async fn once_they_are_analyzed_postgres_finds_sessions_by_their_ids() {
    let test = TestDb::postgres().await;
    let acme = acme(&test).await;
    crowd(acme).await;
    let ids: Vec<_> = (1..=12).map(|n| format!("CAST(md5('s{n}') AS UUID)")).collect();
    let tenant = format!("'{}'", acme.tenant);
    let get = update_sessions::STATEMENTS.iter().find(|(name, _)| name.ends_with("::GET")).unwrap().1;
    let get = get.replace(&format!("$2{MORE}"), &ids.join(", ")).replace("$1", &tenant);
    let statements = [
        get,
        over_sessions(session_changes::OFFER, &ids, &tenant),
        over_sessions(session_changes::CHANGE, &ids, &tenant),
    ];
    let mut ways = Vec::new();
    for _ in ["before", "after"] {
        for sql in &statements {
            let plan = postgres_plan(acme, sql).await;
            let by_id = |line: &str| line.contains("update_sessions_pkey") && line.contains("Scan");
            ways.push(plan.lines().any(by_id));
        }
        update_sessions::analyze(acme.db).await.unwrap();
    }
    // Should all be true before, there is nothing to be analyzed any more.
    assert_eq!(ways, [false, false, true, true, true, true]);
}
