//! Rollouts change by compare-and-set and are looked at when they are due.

use std::collections::BTreeMap;
use std::time::Duration;

use drover_db::{on_both, unique_violation};
use drover_types::{FailureClass, RolloutId, RolloutKind, RolloutState, SessionState, StageState, TenantId, Timestamp};

use super::fixture::{Scope, acme, at, commit, new_rollout, refused, uuid};
use crate::rollouts::{self, DueRow, Filter, NewRollout, RolloutRow, StateChange};
use crate::{Reach, counters, update_sessions};

async fn get(acme: Scope<'_>, id: RolloutId) -> RolloutRow {
    rollouts::get(acme.db, acme.tenant, id).await.unwrap().unwrap()
}

async fn change(acme: Scope<'_>, id: RolloutId, from: RolloutState, to: RolloutState, now: Timestamp) -> bool {
    let change = StateChange { from, to, reason: Some(format!("to {to}")) };
    commit!(acme.db, |tx| rollouts::set_state(tx, acme.tenant, id, &change, now))
}

async fn wake(acme: Scope<'_>, id: RolloutId, at: Timestamp) -> Option<Timestamp> {
    commit!(acme.db, |tx| rollouts::wake(tx, acme.tenant, id, at));
    get(acme, id).await.next_tick_at
}

async fn ids(acme: Scope<'_>, filter: Filter) -> Vec<RolloutId> {
    let page = rollouts::page(acme.db, acme.tenant, &Reach::Tenant, &filter, 10).await.unwrap();
    page.into_iter().map(|row| row.id).collect()
}

on_both! {
    async fn a_draft_waits_and_anything_else_is_due(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let draft = acme.rollout(200, &new, RolloutState::Draft).await;
        let active = acme.rollout(201, &new, RolloutState::Active).await;
        let row = get(acme, draft).await;
        assert_eq!((row.name.as_str(), row.kind, row.state), ("rollout-200", RolloutKind::Update, RolloutState::Draft));
        assert_eq!((row.firmware_id, row.version, row.device_type.as_str()), (new.id, new.version, "robot"));
        assert_eq!((row.component, row.epoch, row.reason, row.parent_id), (new.component, 0, None, None));
        assert_eq!((row.policy.as_str(), row.shift, row.created_at), ("{}", 0, at(200)));
        assert_eq!((row.next_tick_at, row.started_at, row.completed_at), (None, None, None));
        let row = get(acme, active).await;
        assert_eq!((row.next_tick_at, row.started_at), (Some(at(201)), Some(at(201))));
        assert_eq!(rollouts::count_active(acme.db).await.unwrap(), 1);
    }

    async fn rollouts_in_filtered_pages(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let draft = acme.rollout(200, &new, RolloutState::Draft).await;
        let active = acme.rollout(201, &new, RolloutState::Active).await;
        let back = NewRollout {
            kind: RolloutKind::Rollback,
            parent_id: Some(active),
            ..new_rollout(202, &new, RolloutState::Active)
        };
        commit!(acme.db, |tx| rollouts::insert(tx, acme.tenant, &back, at(202)));
        assert_eq!(ids(acme, Filter::default()).await, [back.id, active, draft]);
        assert_eq!(ids(acme, Filter { after: Some(active), ..Filter::default() }).await, [draft]);
        let state = Some(RolloutState::Active);
        assert_eq!(ids(acme, Filter { state, ..Filter::default() }).await, [back.id, active]);
        assert_eq!(ids(acme, Filter { parent: Some(active), ..Filter::default() }).await, [back.id]);
        assert_eq!(rollouts::page(acme.db, acme.tenant, &Reach::Tenant, &Filter::default(), 1).await.unwrap().len(), 1);
    }

    async fn a_rollout_is_taken_back_once(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let parent = acme.rollout(200, &new, RolloutState::Active).await;
        assert!(rollouts::child(acme.db, acme.tenant, parent).await.unwrap().is_none());
        let child = |n| NewRollout { parent_id: Some(parent), ..new_rollout(n, &new, RolloutState::Active) };
        commit!(acme.db, |tx| rollouts::insert(tx, acme.tenant, &child(201), at(201)));
        let error = refused!(acme.db, |tx| rollouts::insert(tx, acme.tenant, &child(202), at(202)));
        assert_eq!(unique_violation(&error).as_deref(), Some("rollouts_tenant_id_parent_id_key"));
        let found = rollouts::child(acme.db, acme.tenant, parent).await.unwrap().unwrap();
        assert_eq!((found.id, found.parent_id), (RolloutId(uuid(201)), Some(parent)));
    }

    async fn states_change_by_compare_and_set(test: TestDb) {
        use RolloutState::{Active, Completed, Draft, Paused, RollingBack};
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, Draft).await;
        assert!(change(acme, id, Draft, Active, at(10)).await);
        assert!(!change(acme, id, Draft, Active, at(11)).await, "it is no draft any more");
        assert!(change(acme, id, Active, Paused, at(20)).await);
        let row = get(acme, id).await;
        assert_eq!((row.state, row.epoch, row.reason.as_deref()), (Paused, 2, Some("to paused")));
        assert_eq!(row.next_tick_at, Some(at(20)), "the driver looks at once");
        assert!(change(acme, id, Paused, Active, at(30)).await);
        assert!(change(acme, id, Active, Completed, at(40)).await);
        let row = get(acme, id).await;
        assert_eq!((row.started_at, row.completed_at, row.epoch), (Some(at(10)), Some(at(40)), 4));
        assert!(change(acme, id, Completed, RollingBack, at(50)).await);
        assert_eq!(get(acme, id).await.completed_at, None, "it goes on");
        assert!(!change(acme, RolloutId(uuid(999)), Active, Paused, at(60)).await);
    }

    async fn what_is_due_comes_in_the_order_of_waiting(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        let new = acme.firmware(5, "2.0.0").await;
        let late = acme.rollout(210, &new, RolloutState::Active).await;
        acme.rollout(211, &new, RolloutState::Draft).await;
        let new = other.firmware(5, "2.0.0").await;
        let early = other.rollout(200, &new, RolloutState::Active).await;
        let row = |scope: Scope<'_>, id, second| DueRow { tenant_id: scope.tenant, id, next_tick_at: at(second) };
        let both = [row(other, early, 200), row(acme, late, 210)];
        assert_eq!(rollouts::due(acme.db, at(210), 10).await.unwrap(), both);
        assert_eq!(rollouts::due(acme.db, at(209), 10).await.unwrap(), both[..1]);
        assert_eq!(rollouts::due(acme.db, at(210), 1).await.unwrap(), both[..1]);
    }

    async fn the_next_look_is_set_unless_somebody_else_wished(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Active).await;
        let set = async |before, after| {
            commit!(acme.db, |tx| rollouts::set_next_tick(tx, acme.tenant, id, before, after))
        };
        assert!(set(at(200), Some(at(300))).await);
        assert!(!set(at(200), Some(at(400))).await, "it was set to another time");
        assert_eq!(get(acme, id).await.next_tick_at, Some(at(300)));
        assert!(set(at(300), None).await);
        assert_eq!(get(acme, id).await.next_tick_at, None);
        assert!(!set(at(300), Some(at(400))).await);
    }

    async fn waking_never_makes_it_later(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Active).await;
        assert_eq!(wake(acme, id, at(300)).await, Some(at(200)));
        assert_eq!(wake(acme, id, at(100)).await, Some(at(100)));
        assert!(commit!(acme.db, |tx| rollouts::set_next_tick(tx, acme.tenant, id, at(100), None)));
        assert_eq!(wake(acme, id, at(400)).await, Some(at(400)));
    }

    /// A cancelled rollout is final, yet its running sessions still end under the driver's eyes.
    async fn only_what_is_driven_wakes(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        for (n, state) in (200..).zip(RolloutState::ALL.iter().copied()) {
            let id = acme.rollout(n, &new, state).await;
            let before = get(acme, id).await.next_tick_at;
            if let Some(before) = before {
                assert!(commit!(acme.db, |tx| rollouts::set_next_tick(tx, acme.tenant, id, before, None)));
            }
            let wakes = state.is_driven() || state == RolloutState::Cancelled;
            assert_eq!(wake(acme, id, at(5)).await, wakes.then_some(at(5)), "{state}");
        }
    }

    async fn only_drafts_are_rewritten(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let draft = acme.rollout(200, &new, RolloutState::Draft).await;
        let active = acme.rollout(201, &new, RolloutState::Active).await;
        assert!(commit!(acme.db, |tx| rollouts::update_draft(tx, acme.tenant, draft, "{\"a\":1}", Some("true"))));
        assert!(!commit!(acme.db, |tx| rollouts::update_draft(tx, acme.tenant, active, "{\"a\":1}", None)));
        commit!(acme.db, |tx| rollouts::rename(tx, acme.tenant, active, "spring"));
        assert_eq!(get(acme, draft).await.policy, "{\"a\":1}");
        let row = get(acme, active).await;
        assert_eq!((row.name.as_str(), row.policy.as_str(), row.epoch), ("spring", "{}", 0));
    }

    async fn target_groups_come_and_go(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Draft).await;
        let (one, two) = (acme.group(20, &[]).await, acme.group(21, &[]).await);
        for group in [two, one] {
            assert!(commit!(acme.db, |tx| rollouts::add_group(tx, acme.tenant, id, group)));
        }
        let unknown = drover_types::GroupId(uuid(99));
        assert!(!commit!(acme.db, |tx| rollouts::add_group(tx, acme.tenant, id, unknown)));
        let targets = rollouts::target_groups(acme.db, acme.tenant, id).await.unwrap();
        assert_eq!(targets.iter().map(|group| group.id).collect::<Vec<_>>(), [one, two]);
        commit!(acme.db, |tx| rollouts::clear_groups(tx, acme.tenant, id));
        assert!(rollouts::target_groups(acme.db, acme.tenant, id).await.unwrap().is_empty());
    }

    async fn counters_add_up(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Active).await;
        let steps = [
            (0, SessionState::Pending, None, 5),
            (0, SessionState::Pending, None, -2),
            (0, SessionState::Failed, Some(FailureClass::Crash), 1),
            (0, SessionState::Failed, Some(FailureClass::Download), 1),
            (0, SessionState::Failed, Some(FailureClass::Crash), 2),
            (1, SessionState::Offered, None, 4),
            (1, SessionState::Validating, None, 3),
            (1, SessionState::Succeeded, None, 8),
        ];
        for (stage, state, class, sessions) in steps {
            commit!(acme.db, |tx| counters::add(tx, acme.tenant, id, stage, state, class, sessions));
        }
        // Many at once, to those that are there and those that are not.
        let crashed = Some(FailureClass::Crash);
        let more = [(0, (SessionState::Pending, None), -1), (0, (SessionState::Failed, crashed), 1), (2, (SessionState::Offered, None), 6)];
        let more = more.map(|(stage, counted, sessions)| ((id, stage, counted), sessions)).into();
        commit!(acme.db, |tx| counters::add_all(tx, acme.tenant, &more));
        commit!(acme.db, |tx| counters::add_all(tx, acme.tenant, &BTreeMap::new()));
        let rows = counters::of_rollout(acme.db, acme.tenant, id).await.unwrap();
        let found: Vec<_> =
            rows.iter().map(|row| (row.stage, row.state, row.failure_class.as_str(), row.sessions)).collect();
        let expected = [
            (0, SessionState::Failed, "crash", 4),
            (0, SessionState::Failed, "download", 1),
            (0, SessionState::Pending, "", 2),
            (1, SessionState::Offered, "", 4),
            (1, SessionState::Succeeded, "", 8),
            (1, SessionState::Validating, "", 3),
            (2, SessionState::Offered, "", 6),
        ];
        assert_eq!(found, expected);
    }

    async fn a_locked_rollout_holds_still(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Active).await;
        let mut tx = acme.db.begin().await.unwrap();
        assert_eq!(rollouts::lock(&mut tx, acme.tenant, id).await.unwrap(), Some(0));
        assert_eq!(rollouts::lock(&mut tx, acme.tenant, RolloutId(uuid(999))).await.unwrap(), None);
        let (db, tenant) = (acme.db.clone(), acme.tenant);
        let mut pause = tokio::spawn(async move {
            let change = StateChange { from: RolloutState::Active, to: RolloutState::Paused, reason: None };
            commit!(db, |tx| rollouts::set_state(tx, tenant, id, &change, at(300)))
        });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut pause).await;
        assert!(early.is_err(), "the state changed under the lock");
        assert_eq!(rollouts::lock(&mut tx, acme.tenant, id).await.unwrap(), Some(0));
        tx.commit().await.unwrap();
        assert!(pause.await.unwrap());
        let mut tx = acme.db.begin().await.unwrap();
        assert_eq!(rollouts::lock(&mut tx, acme.tenant, id).await.unwrap(), Some(1));
    }

    /// Whoever waited for the lock sees what was done under it.
    async fn a_report_sees_its_rollout_as_it_is(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let id = acme.rollout(200, &new, RolloutState::Active).await;
        let device = acme.device(10, 0).await;
        acme.stage(id, 0, StageState::Running).await;
        let session = acme.pending(700, id, device, new.id).await;
        let mut tx = acme.db.begin().await.unwrap();
        assert_eq!(update_sessions::rollouts(&mut tx, acme.tenant, &[session]).await.unwrap(), [id].into());
        assert!(update_sessions::rollouts(&mut tx, TenantId(uuid(999)), &[session]).await.unwrap().is_empty());
        let locked = rollouts::locked(&mut tx, acme.tenant, &[id]).await.unwrap().remove(0);
        assert_eq!((locked.id, locked.state, locked.epoch), (id, RolloutState::Active, 0));
        assert!(rollouts::locked(&mut tx, TenantId(uuid(999)), &[id]).await.unwrap().is_empty());
        let change = StateChange { from: RolloutState::Active, to: RolloutState::Paused, reason: None };
        assert!(rollouts::set_state(&mut tx, acme.tenant, id, &change, at(300)).await.unwrap());
        let (db, tenant) = (acme.db.clone(), acme.tenant);
        let mut waiting = tokio::spawn(async move {
            commit!(db, |tx| rollouts::locked(tx, tenant, &[id])).remove(0)
        });
        let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
        assert!(early.is_err(), "it did not wait");
        tx.commit().await.unwrap();
        let seen = waiting.await.unwrap();
        assert_eq!((seen.state, seen.epoch), (RolloutState::Paused, 1));
    }
}
