//! One meaning of conditions: SQL on `SQLite`, SQL on `PostgreSQL`, the flat program, and the interpreter of the crate
//! `cel` on the text as it was written.

mod draw;
mod fleet;
mod interpreter;
mod rsql;
mod writer;

use std::collections::BTreeSet;

use drover_db::testing::TestDb;
use drover_db::{Db, run};
use drover_rules::{Condition, Slots, SqlCondition, SqlValue};
use drover_types::{DeviceId, TenantId};
use sqlx::AssertSqlSafe;

use super::fixture::{migrated, uuid};
use draw::Draw;
use fleet::{Device, NOW};
use interpreter::Interpreter;

const DEVICES: usize = 1_000;
/// Of each of the five parts: a thousand in all.
const CONDITIONS: usize = 200;

/// The devices of the tenant for which the condition holds.
async fn select(db: &Db, tenant: TenantId, condition: &SqlCondition) -> BTreeSet<DeviceId> {
    let sql = format!("SELECT d.id FROM devices d WHERE d.tenant_id = $1 AND {}", condition.text);
    let ids: Result<Vec<DeviceId>, sqlx::Error> = async {
        run!(db, |c| {
            let mut query = sqlx::query_scalar(AssertSqlSafe(sql)).bind(tenant);
            for value in condition.binds.clone() {
                query = match value {
                    SqlValue::Text(text) => query.bind(text),
                    SqlValue::Number(number) => query.bind(number),
                    SqlValue::Integer(integer) => query.bind(integer),
                    SqlValue::Bytes(bytes) => query.bind(bytes),
                    SqlValue::Id(id) => query.bind(id),
                };
            }
            query.persistent(false).fetch_all(c).await
        })
    }
    .await;
    ids.unwrap_or_else(|error| panic!("{error}: {}", condition.text)).into_iter().collect()
}

/// A fleet in a database, with a second tenant in which some of the ids have the data of other devices.
async fn filled<'t>(test: &'t TestDb, devices: &[Device]) -> (&'t Db, TenantId) {
    let db = migrated(test).await;
    let (tenant, other) = (TenantId(uuid(1)), TenantId(uuid(2)));
    fleet::insert(db, tenant, "acme", devices).await;
    let mut shifted = devices[DEVICES - 100..].to_vec();
    for (device, original) in shifted.iter_mut().zip(devices) {
        device.id = original.id;
    }
    fleet::insert(db, other, "other", &shifted).await;
    (db, tenant)
}

fn in_memory(condition: &Condition, devices: &[Device]) -> BTreeSet<DeviceId> {
    let mut slots = Slots::new();
    let program = condition.program(&mut slots);
    let holds = |device: &&Device| program.eval(NOW, &device.values(slots.fields()));
    devices.iter().filter(holds).map(|device| device.id).collect()
}

/// Another fleet and other conditions for each seed.
async fn a_condition_has_one_meaning(seed: u64) {
    let draw = &mut Draw::new(seed);
    let devices: Vec<Device> = (0..DEVICES).map(|_| Device::draw(draw)).collect();
    let (sqlite_test, postgres_test) = (TestDb::sqlite().await, TestDb::postgres().await);
    let (sqlite, tenant) = filled(&sqlite_test, &devices).await;
    let (postgres, _) = filled(&postgres_test, &devices).await;
    let interpreter = Interpreter::new(&devices);
    let group_ids = fleet::group_ids();

    let (mut mixed, mut unanswered) = (0, 0);
    for number in 0..CONDITIONS {
        let text = writer::condition(draw, &devices);
        let condition = Condition::parse(&text).unwrap_or_else(|error| panic!("condition {number}: {error}"));
        assert_eq!(Condition::parse(condition.text()).as_ref(), Ok(&condition), "{text}");
        let sql = condition.sql(2, NOW, &group_ids).expect("it reads no telemetry");
        let search = condition.search_sql(1, 2, NOW, &group_ids).expect("it reads no telemetry");
        let reference = interpreter.select(&text);
        let answers = [
            ("SQLite", select(sqlite, tenant, &sql).await),
            ("PostgreSQL", select(postgres, tenant, &sql).await),
            ("SQLite by index", select(sqlite, tenant, &search).await),
            ("PostgreSQL by index", select(postgres, tenant, &search).await),
            ("the program", in_memory(&condition, &devices)),
        ];
        for (name, answer) in &answers {
            let wrong = devices.iter().find(|d| answer.contains(&d.id) != reference.holds.contains(&d.id));
            assert!(
                wrong.is_none(),
                "condition {number}: {text}\n{name} has {} devices, the interpreter {}; they differ in {wrong:#?}\n{sql:#?}",
                answer.len(),
                reference.holds.len(),
            );
        }
        mixed += usize::from(!reference.holds.is_empty() && reference.holds.len() < DEVICES);
        unanswered += reference.without_answer;
    }
    // Were all of them always true, or always an error for CEL, nothing would be compared.
    println!("{mixed} of {CONDITIONS} conditions divide the fleet; CEL itself had no answer {unanswered} times");
    assert!(mixed > CONDITIONS / 2, "{mixed}");
    assert!((1..CONDITIONS * DEVICES / 2).contains(&unanswered), "{unanswered}");
}

/// Programs alone read telemetry.
#[test]
fn telemetry_has_one_meaning_in_memory() {
    let draw = &mut Draw::new(6);
    let devices: Vec<Device> = (0..DEVICES).map(|_| Device::draw(draw)).collect();
    let interpreter = Interpreter::new(&devices);
    let mut mixed = 0;
    for _ in 0..CONDITIONS {
        let text = writer::condition_on_telemetry(draw, &devices);
        let condition = Condition::parse(&text).unwrap_or_else(|error| panic!("{error}"));
        let expected = interpreter.select(&text).holds;
        assert_eq!(in_memory(&condition, &devices), expected, "{text}");
        mixed += usize::from(!expected.is_empty() && expected.len() < DEVICES);
    }
    assert!(mixed > CONDITIONS / 2, "{mixed}");
}

/// What RSQL says is what its twin in CEL means.
#[test]
fn rsql_means_what_its_twin_means() {
    let draw = &mut Draw::new(7);
    let devices: Vec<Device> = (0..DEVICES).map(|_| Device::draw(draw)).collect();
    let interpreter = Interpreter::new(&devices);
    let mut mixed = 0;
    for _ in 0..CONDITIONS {
        let depth = draw.below(4);
        let (text, twin) = rsql::condition(draw, depth);
        let condition = Condition::parse_rsql(&text).unwrap_or_else(|error| panic!("{error}"));
        let expected = interpreter.select(&twin).holds;
        assert_eq!(in_memory(&condition, &devices), expected, "{text} is not {twin}");
        mixed += usize::from(!expected.is_empty() && expected.len() < DEVICES);
    }
    assert!(mixed > CONDITIONS / 2, "{mixed}");
}

macro_rules! parts {
    ($($name:ident: $seed:literal),+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            a_condition_has_one_meaning($seed).await;
        }
    )+};
}

// So that they share the machine's cores.
parts! {
    a_condition_has_one_meaning_1: 1,
    a_condition_has_one_meaning_2: 2,
    a_condition_has_one_meaning_3: 3,
    a_condition_has_one_meaning_4: 4,
    a_condition_has_one_meaning_5: 5
}
