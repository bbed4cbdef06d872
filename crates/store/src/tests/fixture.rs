//! Rows that the tests begin with.

use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{Db, MIGRATIONS, migrate};
use drover_types::{
    ComponentName, DeviceId, EnrolmentTokenId, FirmwareId, FirmwareState, GroupId, RolloutId, RolloutKind,
    RolloutState, SessionState, Sha256Digest, StageState, TenantId, Timestamp, UpdateSessionId, Version,
};
use uuid::Uuid;

use crate::device_components::Heard;
use crate::firmware::FirmwareRow;
use crate::rollouts::NewRollout;
use crate::session_changes::{self, Move};
use crate::update_sessions::{Chosen, PendingStage};
use crate::{device_components, devices, firmware, groups, rollouts, stages, tenants, update_sessions};

/// Runs a body in a transaction of its own, commits it and gives what the body returned.
macro_rules! commit {
    ($db:expr, |$tx:ident| $body:expr) => {{
        let mut transaction = $db.begin().await.expect("a transaction begins");
        let value = {
            let $tx = &mut transaction;
            $body.await.expect("the statement runs")
        };
        transaction.commit().await.expect("the transaction commits");
        value
    }};
}
pub(super) use commit;

/// Runs a body that the database has to refuse, and gives its error.
macro_rules! refused {
    ($db:expr, |$tx:ident| $body:expr) => {{
        let mut transaction = $db.begin().await.expect("a transaction begins");
        let error = {
            let $tx = &mut transaction;
            $body.await.expect_err("the statement is refused")
        };
        transaction.rollback().await.expect("the transaction is taken back");
        error
    }};
}
pub(super) use refused;

/// A moment, in seconds from the start of the test's time.
pub(super) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

/// The id number `n`; a greater number sorts behind.
pub(super) fn uuid(n: u16) -> Uuid {
    DeviceId::generate(at(n.into()), n.into()).0
}

pub(super) const fn digest(n: u8) -> Sha256Digest {
    Sha256Digest::from_bytes([n; 32])
}

pub(super) fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

pub(super) fn component(name: &str) -> ComponentName {
    name.parse().expect("a component's name")
}

pub(super) async fn migrated(test: &TestDb) -> &Db {
    migrate(test.db(), MIGRATIONS, Duration::from_secs(10)).await.expect("the schema is made");
    test.db()
}

/// The tenant that most tests work in, in a fresh schema.
pub(super) async fn acme(test: &TestDb) -> Scope<'_> {
    Scope::new(migrated(test).await, 1, "acme").await
}

/// A tenant in a database.
#[derive(Clone, Copy)]
pub(super) struct Scope<'t> {
    pub(super) db: &'t Db,
    pub(super) tenant: TenantId,
}

impl<'t> Scope<'t> {
    pub(super) async fn new(db: &'t Db, n: u16, name: &str) -> Self {
        let tenant = TenantId(uuid(n));
        commit!(db, |tx| tenants::insert(tx, tenant, None, name, at(0)));
        Self { db, tenant }
    }

    /// Device `n`, a robot.
    pub(super) async fn device(&self, n: u16, bucket: i64) -> DeviceId {
        self.device_of_type(n, "robot", bucket).await
    }

    pub(super) async fn device_of_type(&self, n: u16, device_type: &str, bucket: i64) -> DeviceId {
        let (id, hardware_id) = (DeviceId(uuid(n)), format!("hw-{n}"));
        let device = devices::NewDevice {
            id,
            hardware_id: &hardware_id,
            device_type,
            bucket,
            enrolment_token: EnrolmentTokenId(uuid(90)),
        };
        commit!(self.db, |tx| devices::insert(tx, self.tenant, device, at(n.into())));
        id
    }

    /// Notes that a component runs `version`, from a manifest when it is known.
    pub(super) async fn runs(&self, device: DeviceId, name: &str, text: &str, manifest: Option<Sha256Digest>) {
        let (name, version) = (component(name), version(text));
        let heard = Heard { device, component: &name, version: Some(&version), manifest_sha256: manifest, at: at(50) };
        commit!(self.db, |tx| device_components::note(tx, self.tenant, &[heard]));
    }

    /// Firmware `n` for the main component of robots; `n` is its release counter, `digest(n)` its manifest's digest.
    pub(super) async fn firmware(&self, n: u8, text: &str) -> FirmwareRow {
        let row = firmware_row(n, text);
        commit!(self.db, |tx| firmware::insert(tx, self.tenant, &row));
        row
    }

    pub(super) async fn group(&self, n: u16, members: &[DeviceId]) -> GroupId {
        let (id, name) = (GroupId(uuid(n)), format!("group-{n}"));
        commit!(self.db, |tx| groups::insert(tx, self.tenant, id, &name, "", at(n.into())));
        for device in members {
            assert!(commit!(self.db, |tx| groups::add(tx, self.tenant, id, *device)).is_some());
        }
        id
    }

    /// Rollout `n` of a firmware, created in `state`.
    pub(super) async fn rollout(&self, n: u16, firmware: &FirmwareRow, state: RolloutState) -> RolloutId {
        let new = new_rollout(n, firmware, state);
        commit!(self.db, |tx| rollouts::insert(tx, self.tenant, &new, at(n.into())));
        new.id
    }

    /// Adds a stage and takes it up to `state`.
    pub(super) async fn stage(&self, rollout: RolloutId, position: i64, state: StageState) {
        commit!(self.db, |tx| stages::insert(tx, self.tenant, rollout, position));
        if state == StageState::Waiting {
            return;
        }
        assert!(commit!(self.db, |tx| stages::open(tx, self.tenant, rollout, position, 10, at(60))));
        let path = [StageState::Opening, StageState::Running, state];
        for step in path.windows(2).filter(|step| state != StageState::Opening && step[0] != step[1]) {
            let change = stages::StateChange { from: step[0], to: step[1], soak_until: None };
            assert!(commit!(self.db, |tx| stages::set_state(tx, self.tenant, rollout, position, change, at(61))));
        }
    }

    /// Session `n` of a device in stage 0, pending.
    pub(super) async fn pending(
        &self,
        n: u16,
        rollout: RolloutId,
        device: DeviceId,
        firmware: FirmwareId,
    ) -> UpdateSessionId {
        let id = UpdateSessionId(uuid(n));
        let stage = PendingStage { rollout, stage: 0, component: ComponentName::main() };
        let chosen = [Chosen { id, device, firmware }];
        commit!(self.db, |tx| update_sessions::insert_pending(tx, self.tenant, &stage, &chosen, at(n.into())));
        id
    }

    /// Tells the device of a pending session.
    pub(super) async fn offer(
        &self,
        id: UpdateSessionId,
        from: Option<&FirmwareRow>,
        next_action_at: Timestamp,
    ) -> bool {
        let offer = offer_from(from, next_action_at);
        let offers = [(id, offer)];
        commit!(self.db, |tx| session_changes::offer(tx, self.tenant, &offers, at(70))) == [id]
    }

    /// Changes a session's state; false when it was not in `from`.
    pub(super) async fn change(&self, id: UpdateSessionId, from: SessionState, to: SessionState) -> bool {
        let change = Move { from, to, progress: 0, failure: None, next_action_at: None };
        let changes = [(id, change)];
        commit!(self.db, |tx| session_changes::change_states(tx, self.tenant, &changes, at(80))) == [id]
    }
}

pub(super) fn firmware_row(n: u8, text: &str) -> FirmwareRow {
    FirmwareRow {
        id: FirmwareId(uuid(n.into())),
        name: "app".to_owned(),
        version: version(text),
        device_type: "robot".to_owned(),
        component: ComponentName::main(),
        release_counter: n.into(),
        rollback_floor: 0,
        state: FirmwareState::Draft,
        size_bytes: 1_000,
        manifest: format!("{{\"manifest\":{n}}}").into_bytes(),
        manifest_bundle: "{}".to_owned(),
        manifest_sha256: digest(n),
        signed_by: digest(255),
        created_at: at(n.into()),
        published_at: None,
    }
}

pub(super) fn new_rollout(n: u16, firmware: &FirmwareRow, state: RolloutState) -> NewRollout {
    NewRollout {
        id: RolloutId(uuid(n)),
        name: format!("rollout-{n}"),
        kind: RolloutKind::Update,
        state,
        firmware_id: firmware.id,
        device_type: firmware.device_type.clone(),
        component: firmware.component.clone(),
        parent_id: None,
        policy: "{}".to_owned(),
        target_condition: None,
        shift: 0,
    }
}

pub(super) fn offer_from(from: Option<&FirmwareRow>, next_action_at: Timestamp) -> session_changes::Offer {
    session_changes::Offer {
        from_version: from.map(|row| row.version.clone()),
        from_firmware: from.map(|row| row.id),
        next_action_at,
    }
}

/// How SQLite goes about a statement: the tables in their order, each with its index and what is bound of it.
pub(super) async fn plan_of(db: &Db, sql: &str) -> Vec<String> {
    let Db::Sqlite(pools) = db else { panic!("not SQLite") };
    let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps: Vec<(i64, i64, i64, String)> = sqlx::query_as(sql).fetch_all(&pools.writer).await.unwrap();
    steps.into_iter().map(|(_, _, _, step)| step).collect()
}
