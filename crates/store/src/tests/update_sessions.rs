//! Update sessions change by compare-and-set; a component has one running session at a time.

use drover_db::{on_both, unique_violation};
use drover_types::{
    ComponentName, DeviceId, EnrolmentTokenId, FailureClass, RolloutId, RolloutState, SessionState, Timestamp,
    UpdateSessionId,
};

use super::fixture::{Scope, acme, at, commit, component, offer_from, refused, uuid};
use crate::Reach;
use crate::devices::{self, NewDevice};
use crate::firmware::FirmwareRow;
use crate::session_changes::{self, EndedRow, Move};
use crate::update_sessions::{self as sessions, Chosen, INSERT_ROWS_MAX, PendingStage, UpdateSessionRow};

/// An active rollout of firmware 2.0.0, and firmware 1.0.0.
async fn with_rollout(acme: Scope<'_>) -> (RolloutId, FirmwareRow, FirmwareRow) {
    let (old, new) = (acme.firmware(4, "1.0.0").await, acme.firmware(5, "2.0.0").await);
    (acme.rollout(200, &new, RolloutState::Active).await, new, old)
}

async fn get(acme: Scope<'_>, id: UpdateSessionId) -> UpdateSessionRow {
    sessions::get(acme.db, acme.tenant, &[id]).await.unwrap().remove(0)
}

fn ids(rows: &[UpdateSessionRow]) -> Vec<UpdateSessionId> {
    rows.iter().map(|row| row.id).collect()
}

async fn due(acme: Scope<'_>, rollout: RolloutId, now: Timestamp, limit: i64) -> Vec<UpdateSessionId> {
    let rows = sessions::due(acme.db, acme.tenant, rollout, now, limit).await.unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

on_both! {
    async fn a_session_from_choice_to_success(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, old) = with_rollout(acme).await;
        let device = acme.device(10, 0).await;
        let id = acme.pending(300, rollout, device, new.id).await;
        let row = get(acme, id).await;
        assert_eq!((row.id, row.rollout_id, row.stage, row.device_id), (id, rollout, 0, device));
        assert_eq!((row.hardware_id.as_str(), row.component), ("hw-10", ComponentName::main()));
        assert_eq!((row.firmware_id, row.version, row.state), (new.id, new.version, SessionState::Pending));
        assert_eq!((row.from_version, row.from_firmware_id, row.progress), (None, None, 0));
        assert_eq!((row.started_at, row.completed_at, row.created_at), (None, None, at(300)));

        assert!(acme.offer(id, Some(&old), at(90)).await);
        assert!(!acme.offer(id, Some(&old), at(90)).await, "it was offered already");
        let row = get(acme, id).await;
        assert_eq!((row.state, row.started_at), (SessionState::Offered, Some(at(70))));
        assert_eq!((row.from_version, row.from_firmware_id), (Some(old.version), Some(old.id)));

        let step = SessionState::Downloading;
        let next = |from, progress, until| {
            [(id, Move { from, to: step, progress, failure: None, next_action_at: Some(at(until)) })]
        };
        let begins = next(SessionState::Offered, 40, 95);
        assert_eq!(commit!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &begins, at(80))), [id]);
        assert_eq!(commit!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &begins, at(81))), []);
        let goes_on = next(step, 60, 99);
        assert_eq!(commit!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &goes_on, at(82))), [id]);
        let row = get(acme, id).await;
        assert_eq!((row.state, row.progress, row.completed_at), (step, 60, None));
        assert_eq!(sessions::next_due(acme.db, acme.tenant, rollout).await.unwrap(), Some(at(99)));

        assert!(acme.change(id, step, SessionState::Succeeded).await);
        assert_eq!(get(acme, id).await.completed_at, Some(at(80)));
        assert_eq!(sessions::next_due(acme.db, acme.tenant, rollout).await.unwrap(), None);
    }

    async fn a_failure_keeps_its_reason(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let device = acme.device(10, 0).await;
        let id = acme.pending(300, rollout, device, new.id).await;
        assert!(acme.offer(id, None, at(90)).await);
        let failure = Some((FailureClass::SelfTest, "exit_1".to_owned(), "the self-test ended with 1".to_owned()));
        let (from, to) = (SessionState::Offered, SessionState::RolledBack);
        let end = [(id, Move { from, to, progress: 90, failure, next_action_at: None })];
        assert_eq!(commit!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &end, at(80))), [id]);
        let row = get(acme, id).await;
        assert_eq!((row.failure_class, row.failure_code.as_deref()), (Some(FailureClass::SelfTest), Some("exit_1")));
        assert_eq!(row.failure_message.as_deref(), Some("the self-test ended with 1"));
        let counted = sessions::counted_of_device(acme.db, acme.tenant, device).await.unwrap();
        let found: Vec<_> =
            counted.iter().map(|row| (row.rollout_id, row.stage, row.state, row.failure_class)).collect();
        assert_eq!(found, [(rollout, 0, SessionState::RolledBack, Some(FailureClass::SelfTest))]);
    }

    async fn many_sessions_end_at_once(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let mut all = Vec::new();
        for n in 0..3 {
            let device = acme.device(10 + n, 0).await;
            all.push((acme.pending(300 + n, rollout, device, new.id).await, device));
        }
        let list: Vec<_> = all.iter().map(|(id, _)| *id).collect();
        assert!(acme.change(list[2], SessionState::Pending, SessionState::Offered).await);
        let failure = (FailureClass::Timeout, "silent".to_owned(), "no report".to_owned());
        let states = (SessionState::Pending, SessionState::Cancelled);
        let mut ended = commit!(acme.db, |tx| session_changes::end_many(tx, (acme.tenant, rollout), &list, states, Some(&failure), at(70)));
        ended.sort_by_key(|row| row.device_id);
        let expected: Vec<_> =
            all[..2].iter().map(|(_, device)| EndedRow { stage: 0, device_id: *device }).collect();
        assert_eq!(ended, expected, "one of them had moved on");
        let row = get(acme, list[0]).await;
        assert_eq!((row.state, row.completed_at), (SessionState::Cancelled, Some(at(70))));
        assert_eq!((row.failure_class, row.failure_code.as_deref()), (Some(FailureClass::Timeout), Some("silent")));
        assert_eq!(get(acme, list[2]).await.state, SessionState::Offered);
    }

    async fn of_parallel_changes_one_wins(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let device = acme.device(10, 0).await;
        let id = acme.pending(300, rollout, device, new.id).await;
        let mut offers = tokio::task::JoinSet::new();
        for _ in 0..12 {
            let (db, tenant) = (acme.db.clone(), acme.tenant);
            offers.spawn(async move {
                let offers = [(id, offer_from(None, at(90)))];
                db.write(move |tx| Box::pin(async move { session_changes::offer(tx, tenant, &offers, at(70)).await })).await
            });
        }
        let answers = offers.join_all().await;
        assert_eq!(answers.into_iter().map(|answer| answer.unwrap().len()).sum::<usize>(), 1);
    }

    async fn a_component_has_one_running_session(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let other = acme.rollout(201, &new, RolloutState::Active).await;
        let third = acme.rollout(202, &new, RolloutState::Active).await;
        let device = acme.device(10, 0).await;
        let first = acme.pending(300, rollout, device, new.id).await;
        let second = acme.pending(301, other, device, new.id).await;
        let ecu = UpdateSessionId(uuid(302));
        let stage = PendingStage { rollout: third, stage: 0, component: component("ecu") };
        let chosen = [Chosen { id: ecu, device, firmware: new.id }];
        commit!(acme.db, |tx| sessions::insert_pending(tx, acme.tenant, &stage, &chosen, at(70)));
        assert!(acme.offer(first, None, at(90)).await);
        assert!(acme.offer(ecu, None, at(90)).await, "another component is free");

        let path: Vec<_> = SessionState::ALL.iter().copied().filter(|state| state.is_in_flight()).collect();
        for step in path.windows(2) {
            assert!(!acme.offer(second, None, at(90)).await, "the first one runs");
            let (from, to) = (SessionState::Pending, step[0]);
            let change = [(second, Move { from, to, progress: 0, failure: None, next_action_at: None })];
            let error = refused!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &change, at(70)));
            let name = unique_violation(&error);
            assert_eq!(name.as_deref(), Some("update_sessions_tenant_id_device_id_component_key"), "{}", step[0]);
            assert!(acme.change(first, step[0], step[1]).await);
        }
        assert_eq!(sessions::count_in_flight(acme.db, acme.tenant, device, new.id).await.unwrap(), 2);
        let targets = sessions::targets_of_devices(acme.db, acme.tenant, &[device]).await.unwrap();
        assert_eq!(targets.iter().map(|row| (row.device_id, row.version.to_string())).collect::<Vec<_>>(),
            [(device, "2.0.0".to_owned()), (device, "2.0.0".to_owned())]);
        assert!(sessions::targets_of_devices(acme.db, acme.tenant, &[]).await.unwrap().is_empty());

        assert!(acme.change(first, SessionState::Validating, SessionState::Succeeded).await);
        assert_eq!(sessions::count_in_flight(acme.db, acme.tenant, device, new.id).await.unwrap(), 1);
        assert!(acme.offer(second, None, at(90)).await, "the first one ended");
        assert_eq!(sessions::count_in_flight(acme.db, acme.tenant, device, new.id).await.unwrap(), 2);
    }

    async fn a_device_is_in_a_rollout_once(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let device = acme.device(10, 0).await;
        acme.pending(300, rollout, device, new.id).await;
        let stage = PendingStage { rollout, stage: 1, component: ComponentName::main() };
        let twin = [Chosen { id: UpdateSessionId(uuid(301)), device, firmware: new.id }];
        let error = refused!(acme.db, |tx| sessions::insert_pending(tx, acme.tenant, &stage, &twin, at(70)));
        assert_eq!(unique_violation(&error).as_deref(), Some("update_sessions_tenant_id_device_id_rollout_id_key"));
        commit!(acme.db, |tx| sessions::insert_pending(tx, acme.tenant, &stage, &[], at(70)));
    }

    async fn a_full_batch_is_one_statement(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, old) = with_rollout(acme).await;
        let mut chosen = Vec::new();
        let mut tx = acme.db.begin().await.unwrap();
        for n in (1_000..).take(INSERT_ROWS_MAX) {
            let (id, hardware_id) = (DeviceId(uuid(n)), format!("hw-{n}"));
            let device = NewDevice { id, hardware_id: &hardware_id, device_type: "robot", bucket: 0, enrolment_token: EnrolmentTokenId(uuid(90)) };
            devices::insert(&mut tx, acme.tenant, device, at(1)).await.unwrap();
            chosen.push(Chosen { id: UpdateSessionId(uuid(n + 10_000)), device: id, firmware: new.id });
        }
        let stage = PendingStage { rollout, stage: 0, component: ComponentName::main() };
        sessions::insert_pending(&mut tx, acme.tenant, &stage, &chosen, at(2)).await.unwrap();
        tx.commit().await.unwrap();
        let all = sessions::of_rollout(acme.db, acme.tenant, &Reach::Tenant, rollout, None, None, 9_999).await.unwrap();
        let all = ids(&all);
        assert_eq!(all, chosen.iter().map(|one| one.id).collect::<Vec<_>>());

        let offers: Vec<_> = all.iter().map(|id| (*id, offer_from(Some(&old), at(90)))).collect();
        let mut offered = commit!(acme.db, |tx| session_changes::offer(tx, acme.tenant, &offers, at(70)));
        offered.sort();
        assert_eq!(offered, all);
        // Every third one failed, each with its own words; the others go on.
        let change = |(n, id): (usize, &UpdateSessionId)| {
            let failure = (n % 3 == 0).then(|| (FailureClass::SelfTest, format!("code-{n}"), format!("word {n}")));
            let to = if failure.is_some() { SessionState::Failed } else { SessionState::Installing };
            let next_action_at = failure.is_none().then(|| at(100));
            (*id, Move { from: SessionState::Offered, to, progress: 50, failure, next_action_at })
        };
        let changes: Vec<_> = all.iter().enumerate().map(change).collect();
        assert_eq!(commit!(acme.db, |tx| session_changes::change_states(tx, acme.tenant, &changes, at(80))).len(), all.len());
        let mut rows = sessions::get(acme.db, acme.tenant, &all).await.unwrap();
        rows.sort_by_key(|row| row.id);
        for (n, row) in rows.iter().enumerate() {
            let code = (n % 3 == 0).then(|| format!("code-{n}"));
            assert_eq!((&row.failure_code, row.completed_at), (&code, code.as_ref().map(|_| at(80))));
            assert_eq!((row.state, row.from_firmware_id), (changes[n].1.to, Some(old.id)));
        }
    }

    async fn sessions_in_pages(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let ends = [
            (10, None),
            (11, Some(SessionState::Succeeded)),
            (12, Some(SessionState::Failed)),
            (13, Some(SessionState::RolledBack)),
            (14, Some(SessionState::Rejected)),
            (15, Some(SessionState::TimedOut)),
            (16, Some(SessionState::Cancelled)),
            (17, Some(SessionState::Skipped)),
        ];
        let mut all = Vec::new();
        for (n, end) in ends {
            let device = acme.device(n, 0).await;
            let id = acme.pending(n + 300, rollout, device, new.id).await;
            if let Some(end) = end {
                assert!(acme.change(id, SessionState::Pending, end).await);
            }
            all.push(id);
        }
        let page = sessions::of_rollout(acme.db, acme.tenant, &Reach::Tenant, rollout, None, None, 3).await.unwrap();
        assert_eq!(ids(&page), all[..3]);
        let page = sessions::of_rollout(acme.db, acme.tenant, &Reach::Tenant, rollout, None, Some(all[2]), 99).await.unwrap();
        assert_eq!(ids(&page), all[3..]);
        let state = Some(SessionState::Succeeded);
        let page = sessions::of_rollout(acme.db, acme.tenant, &Reach::Tenant, rollout, state, None, 99).await.unwrap();
        assert_eq!(ids(&page), all[1..2]);
        let page = sessions::failures(acme.db, acme.tenant, &Reach::Tenant, rollout, None, 99).await.unwrap();
        assert_eq!(ids(&page), all[2..6]);
        let page = sessions::failures(acme.db, acme.tenant, &Reach::Tenant, rollout, Some(all[3]), 1).await.unwrap();
        assert_eq!(ids(&page), all[4..5]);

        let device = DeviceId(uuid(10));
        let mut newest_first = vec![all[0]];
        for n in [201, 202] {
            let other = acme.rollout(n, &new, RolloutState::Active).await;
            newest_first.insert(0, acme.pending(n + 300, other, device, new.id).await);
        }
        let page = sessions::of_device(acme.db, acme.tenant, device, None, 2).await.unwrap();
        assert_eq!(ids(&page), newest_first[..2]);
        let page = sessions::of_device(acme.db, acme.tenant, device, Some(newest_first[1]), 2).await.unwrap();
        assert_eq!(ids(&page), newest_first[2..]);
    }

    async fn devices_of_open_sessions_in_pages(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let mut pending = Vec::new();
        for n in 0..4 {
            let device = acme.device(10 + n, 0).await;
            pending.push((acme.pending(300 + n, rollout, device, new.id).await, device));
        }
        assert!(acme.offer(pending[1].0, None, at(90)).await);
        let page = async |state, after: Option<UpdateSessionId>, limit| {
            let after = after.unwrap_or(UpdateSessionId(uuid::Uuid::nil()));
            let rows = sessions::devices_of(acme.db, acme.tenant, rollout, state, after, limit).await.unwrap();
            rows.into_iter().map(|row| (row.id, row.device_id)).collect::<Vec<_>>()
        };
        assert_eq!(page(SessionState::Pending, None, 2).await, [pending[0], pending[2]]);
        assert_eq!(page(SessionState::Pending, Some(pending[2].0), 2).await, [pending[3]]);
        assert_eq!(page(SessionState::Offered, None, 2).await, [pending[1]]);
        let add = async |state, sessions| {
            commit!(acme.db, |tx| crate::counters::add(tx, acme.tenant, rollout, 0, state, None, sessions));
        };
        let open = async || crate::counters::open(acme.db).await.unwrap();
        add(SessionState::Succeeded, 1).await;
        assert!(open().await.is_empty());
        add(SessionState::Pending, 2).await;
        add(SessionState::Offered, 1).await;
        assert_eq!(open().await.iter().map(|row| (row.tenant_id, row.rollout_id)).collect::<Vec<_>>(), [(acme.tenant, rollout)]);
        add(SessionState::Pending, -2).await;
        add(SessionState::Offered, -1).await;
        assert!(open().await.is_empty());
    }

    async fn the_driver_sees_what_is_due_and_what_waits(test: TestDb) {
        let acme = acme(&test).await;
        let (rollout, new, _) = with_rollout(acme).await;
        let mut all = Vec::new();
        for n in [10, 11, 12, 13] {
            let device = acme.device(n, 0).await;
            all.push(acme.pending(n + 300, rollout, device, new.id).await);
        }
        assert!(due(acme, rollout, at(9_999), 9).await.is_empty(), "pending sessions are never due");
        assert_eq!(sessions::next_due(acme.db, acme.tenant, rollout).await.unwrap(), None);
        for (id, second) in [(all[0], 95), (all[1], 90), (all[2], 99)] {
            assert!(acme.offer(id, None, at(second)).await);
        }
        assert_eq!(due(acme, rollout, at(95), 9).await, [all[1], all[0]]);
        assert_eq!(due(acme, rollout, at(95), 1).await, [all[1]]);
        assert_eq!(sessions::next_due(acme.db, acme.tenant, rollout).await.unwrap(), Some(at(90)));
        let row = sessions::due(acme.db, acme.tenant, rollout, at(90), 1).await.unwrap().remove(0);
        assert_eq!((row.device_id, row.stage, row.state), (DeviceId(uuid(11)), 0, SessionState::Offered));
        assert_eq!(row.next_action_at, Some(at(90)));

        assert!(acme.change(all[1], SessionState::Offered, SessionState::Downloading).await);
        for (state, limit, expected) in [
            (SessionState::Offered, 9, &[all[0], all[2]][..]),
            (SessionState::Offered, 1, &[all[0]]),
            (SessionState::Pending, 9, &[all[3]]),
        ] {
            let found = sessions::in_state(acme.db, acme.tenant, rollout, state, limit).await.unwrap();
            assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), expected);
        }
    }
}
