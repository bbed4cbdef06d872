//! What a device that asks may be told, and in which order.

use std::time::Duration;

use drover_db::on_both;
use drover_types::{DeviceId, RolloutId, RolloutKind, RolloutState, SessionState, StageState, UpdateSessionId};

use super::fixture::{Scope, acme, at, commit, component, new_rollout, uuid};
use crate::firmware::FirmwareRow;
use crate::offers;
use crate::rollouts::{self, NewRollout, StateChange};
use crate::update_sessions::{self, Chosen, PendingStage};

async fn candidates(acme: Scope<'_>, device: DeviceId) -> Vec<UpdateSessionId> {
    let rows = offers::candidates(acme.db, acme.tenant, device).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// Rollout `n` with a running first stage, and a pending session of the device in it.
async fn offered_by(
    acme: Scope<'_>,
    n: u16,
    kind: RolloutKind,
    device: DeviceId,
    new: &FirmwareRow,
) -> UpdateSessionId {
    let rollout = NewRollout { kind, ..new_rollout(n, new, RolloutState::Active) };
    commit!(acme.db, |tx| rollouts::insert(tx, acme.tenant, &rollout, at(n.into())));
    acme.stage(rollout.id, 0, StageState::Running).await;
    acme.pending(n + 100, rollout.id, device, new.id).await
}

on_both! {
    async fn the_best_comes_first(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let (device, other) = (acme.device(10, 0).await, acme.device(11, 0).await);
        let newer = offered_by(acme, 203, RolloutKind::Update, device, &new).await;
        let older = offered_by(acme, 202, RolloutKind::Update, device, &new).await;
        let back = offered_by(acme, 204, RolloutKind::Rollback, device, &new).await;
        offered_by(acme, 201, RolloutKind::Update, other, &new).await;
        assert_eq!(candidates(acme, device).await, [back, older, newer], "ways back, then the oldest rollout");
        assert!(acme.offer(newer, None, at(90)).await);
        assert_eq!(candidates(acme, device).await, [newer, back, older], "what it was told already comes first");
        let row = offers::candidates(acme.db, acme.tenant, device).await.unwrap().remove(0);
        assert_eq!((row.rollout_id, row.stage, row.state), (RolloutId(uuid(203)), 0, SessionState::Offered));
        assert_eq!((row.component, row.firmware_id), (component("main"), new.id));
        assert!(acme.change(newer, SessionState::Offered, SessionState::Succeeded).await);
        assert_eq!(candidates(acme, device).await, [back, older], "what ended is not told");
    }

    async fn only_an_active_rollout_offers(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        for (n, state) in (20..).zip(RolloutState::ALL.iter().copied()) {
            let device = acme.device(n, 0).await;
            let rollout = acme.rollout(n + 200, &new, state).await;
            acme.stage(rollout, 0, StageState::Running).await;
            let session = acme.pending(n + 300, rollout, device, new.id).await;
            let expected = if state == RolloutState::Active { vec![session] } else { Vec::new() };
            assert_eq!(candidates(acme, device).await, expected, "{state}");
            // What the device was told before stays told, whatever became of the rollout.
            assert!(acme.offer(session, None, at(90)).await);
            assert_eq!(candidates(acme, device).await, [session], "{state}");
        }
    }

    async fn only_an_open_stage_offers(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        for (n, state) in (20..).zip(StageState::ALL.iter().copied()) {
            let device = acme.device(n, 0).await;
            let rollout = acme.rollout(n + 200, &new, RolloutState::Active).await;
            acme.stage(rollout, 0, state).await;
            let session = acme.pending(n + 300, rollout, device, new.id).await;
            let is_open = !matches!(state, StageState::Waiting | StageState::Opening);
            let expected = if is_open { vec![session] } else { Vec::new() };
            assert_eq!(candidates(acme, device).await, expected, "{state}");
        }
    }

    async fn a_session_of_another_stage_waits_for_its_own(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let device = acme.device(10, 0).await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        acme.stage(rollout, 0, StageState::Running).await;
        acme.stage(rollout, 1, StageState::Opening).await;
        let stage = PendingStage { rollout, stage: 1, component: component("main") };
        let chosen = [Chosen { id: UpdateSessionId(uuid(300)), device, firmware: new.id }];
        commit!(acme.db, |tx| update_sessions::insert_pending(tx, acme.tenant, &stage, &chosen, at(70)));
        assert!(candidates(acme, device).await.is_empty());
    }

    async fn a_pause_waits_for_the_offer_that_is_being_made(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        acme.stage(rollout, 0, StageState::Running).await;
        let mut tx = acme.db.begin().await.unwrap();
        assert_eq!(rollouts::lock(&mut tx, acme.tenant, rollout).await.unwrap(), Some(0));
        let (db, tenant) = (acme.db.clone(), acme.tenant);
        let mut pause = tokio::spawn(async move {
            let change = StateChange { from: RolloutState::Active, to: RolloutState::Paused, reason: None };
            assert!(commit!(db, |tx| rollouts::set_state(tx, tenant, rollout, &change, at(300))));
        });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut pause).await;
        assert!(early.is_err(), "the pause overtook the offer");
        tx.commit().await.unwrap();
        pause.await.unwrap();
        assert_eq!(commit!(acme.db, |tx| rollouts::lock(tx, acme.tenant, rollout)), Some(1));
    }
}
