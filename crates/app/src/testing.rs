//! A small fleet in a fresh database, for tests of what is written in sets.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_api::{RolloutCreate, StageCreate};
use drover_db::testing::TestDb;
use drover_db::{Db, MIGRATIONS};
use drover_store::device_components::Heard;
use drover_store::firmware::FirmwareRow;
use drover_store::rollouts::NewRollout;
use drover_store::update_sessions::{Chosen, PendingStage, UpdateSessionRow};
use drover_store::{counters, device_components, devices, firmware, rollouts, stages, tenants, update_sessions};
use drover_types::{
    ComponentName, DeviceId, EnrolmentTokenId, FirmwareId, FirmwareState, RolloutId, RolloutKind, RolloutState,
    SessionState, Sha256Digest, StageState, TenantId, Timestamp, UpdateSessionId,
};

use crate::rollout_policy;

/// Runs a body in a transaction of its own.
macro_rules! commit {
    ($db:expr, |$tx:ident| $body:expr) => {{
        let mut transaction = $db.begin().await.unwrap();
        let value = {
            let $tx = &mut transaction;
            $body.await.unwrap()
        };
        transaction.commit().await.unwrap();
        value
    }};
}
pub(crate) use commit;

/// A moment, in seconds from the start of the test's time.
pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_800_000_000_000_000 + seconds * 1_000_000)
}

fn uuid(n: u16) -> uuid::Uuid {
    DeviceId::generate(at(n.into()), n.into()).0
}

/// One tenant.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) db: Db,
    pub(crate) tenant: TenantId,
    /// What rollouts bring.
    pub(crate) firmware: FirmwareRow,
}

impl Fleet {
    /// A tenant with a name of its own, and version 2.0.0.
    pub(crate) async fn new(test: &TestDb, n: u16) -> Self {
        drover_db::migrate(test.db(), MIGRATIONS, Duration::from_secs(10)).await.unwrap();
        let (db, tenant) = (test.db().clone(), TenantId(uuid(n)));
        let firmware = FirmwareRow {
            id: FirmwareId(uuid(2)),
            name: "app".to_owned(),
            version: "2.0.0".parse().unwrap(),
            device_type: "robot".to_owned(),
            component: ComponentName::main(),
            release_counter: 2,
            rollback_floor: 0,
            state: FirmwareState::Published,
            size_bytes: 1_000,
            manifest: b"{}".to_vec(),
            manifest_bundle: "{}".to_owned(),
            manifest_sha256: Sha256Digest::from_bytes([2; 32]),
            signed_by: Sha256Digest::from_bytes([255; 32]),
            created_at: at(0),
            published_at: Some(at(0)),
        };
        commit!(db, |tx| tenants::insert(tx, tenant, None, &format!("tenant-{n}"), at(0)));
        commit!(db, |tx| firmware::insert(tx, tenant, &firmware));
        Self { db, tenant, firmware }
    }

    /// Device `n`; one that is `updated` runs the firmware already.
    pub(crate) async fn device(&self, n: u16, updated: bool) -> DeviceId {
        let (id, hardware_id) = (DeviceId(uuid(n)), format!("hw-{n}"));
        let device = devices::NewDevice {
            id,
            hardware_id: &hardware_id,
            device_type: "robot",
            bucket: 0,
            enrolment_token: EnrolmentTokenId(uuid(90)),
        };
        commit!(self.db, |tx| devices::insert(tx, self.tenant, device, at(1)));
        let (version, manifest) =
            if updated { ("2.0.0", Some(self.firmware.manifest_sha256)) } else { ("1.0.0", None) };
        let (main, version) = (ComponentName::main(), version.parse().unwrap());
        let heard =
            Heard { device: id, component: &main, version: Some(&version), manifest_sha256: manifest, at: at(1) };
        commit!(self.db, |tx| device_components::note(tx, self.tenant, &[heard]));
        id
    }

    /// Rollout `n`, whose only stage is open, with room for `max_in_flight` devices at once.
    pub(crate) async fn rollout(&self, n: u16, max_in_flight: u32) -> RolloutId {
        self.rollout_of(n, &[StageState::Running], |plan| plan.max_in_flight = Some(max_in_flight)).await
    }

    /// Rollout `n` with stages that are running or passed.
    pub(crate) async fn rollout_of(
        &self,
        n: u16,
        states: &[StageState],
        change: impl FnOnce(&mut RolloutCreate),
    ) -> RolloutId {
        let share = |percentage| StageCreate { percentage: Some(percentage), ..StageCreate::default() };
        let mut plan = RolloutCreate {
            name: "test".to_owned(),
            firmware_id: self.firmware.id,
            stages: (1..states.len()).map(|_| share(50)).chain([share(100)]).collect(),
            target_groups: Vec::new(),
            target_condition: None,
            success_threshold: None,
            rollback_threshold: None,
            min_sample: None,
            on_breach: None,
            max_in_flight: None,
            session_timeout_ms: None,
        };
        change(&mut plan);
        let policy = rollout_policy::from_request(&plan);
        let id = RolloutId(uuid(n));
        let rollout = NewRollout {
            id,
            name: format!("rollout-{n}"),
            kind: RolloutKind::Update,
            state: RolloutState::Active,
            firmware_id: self.firmware.id,
            device_type: "robot".to_owned(),
            component: ComponentName::main(),
            parent_id: None,
            policy: rollout_policy::to_json(&policy.unwrap()).unwrap(),
            target_condition: None,
            shift: 0,
        };
        commit!(self.db, |tx| rollouts::insert(tx, self.tenant, &rollout, at(2)));
        for (position, state) in (0..).zip(states) {
            commit!(self.db, |tx| stages::insert(tx, self.tenant, id, position));
            commit!(self.db, |tx| stages::open(tx, self.tenant, id, position, 10, at(3)));
            for (from, to) in [(StageState::Opening, StageState::Running), (StageState::Running, *state)] {
                let change = stages::StateChange { from, to, soak_until: None };
                commit!(self.db, |tx| stages::set_state(tx, self.tenant, id, position, change, at(3)));
            }
        }
        id
    }

    /// Session `n` of a device that a rollout chose in its first stage.
    pub(crate) async fn pending(&self, n: u16, rollout: RolloutId, device: DeviceId) -> UpdateSessionId {
        self.pending_in(n, rollout, 0, device).await
    }

    /// The same in any stage.
    pub(crate) async fn pending_in(
        &self,
        n: u16,
        rollout: RolloutId,
        position: i64,
        device: DeviceId,
    ) -> UpdateSessionId {
        let id = UpdateSessionId(uuid(n));
        let stage = PendingStage { rollout, stage: position, component: ComponentName::main() };
        let chosen = [Chosen { id, device, firmware: self.firmware.id }];
        commit!(self.db, |tx| update_sessions::insert_pending(tx, self.tenant, &stage, &chosen, at(4)));
        commit!(self.db, |tx| counters::add(tx, self.tenant, rollout, position, SessionState::Pending, None, 1));
        id
    }

    pub(crate) async fn session(&self, id: UpdateSessionId) -> UpdateSessionRow {
        update_sessions::get(&self.db, self.tenant, &[id]).await.unwrap().remove(0)
    }

    /// What a rollout's counters say, without those at zero.
    pub(crate) async fn counters(&self, rollout: RolloutId) -> BTreeMap<SessionState, i64> {
        let rows = counters::of_rollout(&self.db, self.tenant, rollout).await.unwrap();
        rows.into_iter().filter(|row| row.sessions != 0).map(|row| (row.state, row.sessions)).collect()
    }
}
