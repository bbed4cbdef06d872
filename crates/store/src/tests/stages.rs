//! Stages open, choose their devices, and change state by compare-and-set.

use drover_db::{on_both, unique_violation};
use drover_types::{DeviceId, RolloutId, RolloutState, StageState};

use super::fixture::{Scope, acme, at, commit, refused, uuid};
use crate::stages::{self, Cursor, StageRow, StateChange};

async fn with_rollout(acme: Scope<'_>) -> RolloutId {
    let new = acme.firmware(5, "2.0.0").await;
    acme.rollout(200, &new, RolloutState::Active).await
}

async fn all(acme: Scope<'_>, rollout: RolloutId) -> Vec<StageRow> {
    stages::of_rollout(acme.db, acme.tenant, rollout).await.unwrap()
}

on_both! {
    async fn stages_wait_in_order(test: TestDb) {
        let acme = acme(&test).await;
        let rollout = with_rollout(acme).await;
        for position in [2, 0, 1] {
            acme.stage(rollout, position, StageState::Waiting).await;
        }
        let error = refused!(acme.db, |tx| stages::insert(tx, acme.tenant, rollout, 1));
        assert_eq!(unique_violation(&error).as_deref(), Some("rollout_stages_pkey"));
        let rows = all(acme, rollout).await;
        let found: Vec<_> = rows.iter().map(|row| (row.position, row.state, row.opened_at, row.remaining)).collect();
        let waiting = |position| (position, StageState::Waiting, None, None);
        assert_eq!(found, [waiting(0), waiting(1), waiting(2)]);
        commit!(acme.db, |tx| stages::clear(tx, acme.tenant, rollout));
        assert!(all(acme, rollout).await.is_empty());
    }

    async fn a_stage_opens_once(test: TestDb) {
        let acme = acme(&test).await;
        let rollout = with_rollout(acme).await;
        acme.stage(rollout, 0, StageState::Waiting).await;
        assert!(commit!(acme.db, |tx| stages::open(tx, acme.tenant, rollout, 0, 40, at(10))));
        assert!(!commit!(acme.db, |tx| stages::open(tx, acme.tenant, rollout, 0, 50, at(11))));
        assert!(!commit!(acme.db, |tx| stages::open(tx, acme.tenant, rollout, 1, 50, at(11))), "there is no stage 1");
        let row = all(acme, rollout).await.remove(0);
        assert_eq!((row.state, row.remaining, row.opened_at), (StageState::Opening, Some(40), Some(at(10))));
        assert_eq!((row.cursor_bucket, row.cursor_device), (None, None));
    }

    async fn the_cursor_moves_by_compare_and_set(test: TestDb) {
        let acme = acme(&test).await;
        let rollout = with_rollout(acme).await;
        acme.stage(rollout, 0, StageState::Waiting).await;
        let start = Cursor { remaining: 40, bucket: None, device: None };
        let cursor = Cursor { remaining: 35, bucket: Some(7), device: Some(DeviceId(uuid(9))) };
        assert!(!commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, start, cursor)), "not opening");
        assert!(commit!(acme.db, |tx| stages::open(tx, acme.tenant, rollout, 0, 40, at(10))));
        assert!(commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, start, cursor)));
        let late = Cursor { remaining: 30, bucket: Some(8), device: None };
        assert!(!commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, start, late)), "somebody was first");
        let row = all(acme, rollout).await.remove(0);
        assert_eq!((row.remaining, row.cursor_bucket, row.cursor_device), (Some(35), Some(7), cursor.device));

        // A look that took nobody: what remains is the same, and yet only one may move on from here.
        let on = Cursor { bucket: Some(9), ..cursor };
        assert!(commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, cursor, on)));
        assert!(!commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, cursor, on)), "somebody was first");
        let cursor = on;

        let change = StateChange { from: StageState::Opening, to: StageState::Running, soak_until: None };
        assert!(commit!(acme.db, |tx| stages::set_state(tx, acme.tenant, rollout, 0, change, at(20))));
        assert!(!commit!(acme.db, |tx| stages::advance(tx, acme.tenant, rollout, 0, cursor, late)), "it is open");
    }

    async fn states_change_by_compare_and_set(test: TestDb) {
        let acme = acme(&test).await;
        let rollout = with_rollout(acme).await;
        acme.stage(rollout, 0, StageState::Running).await;
        let soak = StateChange { from: StageState::Running, to: StageState::Soaking, soak_until: Some(at(99)) };
        assert!(commit!(acme.db, |tx| stages::set_state(tx, acme.tenant, rollout, 0, soak, at(20))));
        assert!(!commit!(acme.db, |tx| stages::set_state(tx, acme.tenant, rollout, 0, soak, at(21))));
        let row = all(acme, rollout).await.remove(0);
        assert_eq!((row.state, row.soak_until, row.completed_at), (StageState::Soaking, Some(at(99)), None));
        for (n, to) in [(0, StageState::Passed), (1, StageState::Failed)] {
            if n == 1 {
                acme.stage(rollout, 1, StageState::Soaking).await;
            }
            let end = StateChange { from: StageState::Soaking, to, soak_until: None };
            assert!(commit!(acme.db, |tx| stages::set_state(tx, acme.tenant, rollout, n, end, at(30))));
        }
        let rows = all(acme, rollout).await;
        let ends: Vec<_> = rows.iter().map(|row| (row.state, row.completed_at)).collect();
        assert_eq!(ends, [(StageState::Passed, Some(at(30))), (StageState::Failed, Some(at(30)))]);
    }
}
