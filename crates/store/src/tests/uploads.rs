//! Uploads in parts: one at a time decides, and parts are noted before the end or not at all.

use drover_db::on_both;
use drover_types::{ActorKind, UploadId, UploadKind, UploadState};

use super::fixture::{Scope, acme, at, commit, digest, uuid};
use crate::uploads::{Completer, DueRow, Filter, NewUpload, PartRow, StateChange, Work};
use crate::{audit, uploads};

pub(super) fn new_upload(n: u16) -> NewUpload {
    NewUpload {
        id: UploadId(uuid(n)),
        kind: UploadKind::Object,
        firmware_id: None,
        name: format!("upload/{n}"),
        size_bytes: 25,
        sha256: digest(7),
        part_size_bytes: 10,
        expires_at: at(100),
    }
}

fn part(number: i64, tag: &str) -> PartRow {
    PartRow { number, size_bytes: 10, sha256: Some(digest(1)), tag: tag.to_owned(), uploaded_at: at(20) }
}

fn change(from: UploadState, to: UploadState) -> StateChange {
    StateChange { from, to, reason: Some("why".to_owned()) }
}

async fn begun(acme: Scope<'_>, n: u16) -> UploadId {
    let new = new_upload(n);
    commit!(acme.db, |tx| uploads::insert(tx, acme.tenant, &new, at(10)));
    new.id
}

on_both! {
    async fn the_last_of_a_part_counts_until_the_end(test: TestDb) {
        let acme = acme(&test).await;
        let id = begun(acme, 1).await;
        for (number, tag) in [(3, "c"), (1, "a"), (3, "d")] {
            assert!(commit!(acme.db, |tx| uploads::put_part(tx, acme.tenant, id, &part(number, tag))));
        }
        let row = uploads::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((row.state, row.parts_received, row.bytes_received), (UploadState::Open, 2, 20));
        assert_eq!((row.updated_at, row.ended_at, row.token), (at(20), None, None));
        let end = change(UploadState::Open, UploadState::Verifying);
        assert!(commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, id, &end, at(30))));
        assert!(!commit!(acme.db, |tx| uploads::put_part(tx, acme.tenant, id, &part(3, "late"))));
        let parts = uploads::parts(acme.db, acme.tenant, id).await.unwrap();
        let tags: Vec<_> = parts.iter().map(|part| (part.number, part.tag.as_str())).collect();
        assert_eq!(tags, [(1, "a"), (3, "d")]);
        commit!(acme.db, |tx| uploads::delete(tx, acme.tenant, id));
        assert!(uploads::parts(acme.db, acme.tenant, id).await.unwrap().is_empty());
    }

    async fn one_change_of_state_wins(test: TestDb) {
        let acme = acme(&test).await;
        let id = begun(acme, 1).await;
        let open = UploadState::Open;
        assert!(commit!(acme.db, |tx| uploads::set_token(tx, acme.tenant, id, "first")));
        assert!(!commit!(acme.db, |tx| uploads::set_token(tx, acme.tenant, id, "second")));
        assert_eq!(uploads::unfinished(acme.db, acme.tenant).await.unwrap(), 1);
        let abort = change(open, UploadState::Aborted);
        assert!(commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, id, &abort, at(30))));
        let complete = change(open, UploadState::Verifying);
        assert!(!commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, id, &complete, at(31))));
        let row = uploads::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((row.state, row.ended_at, row.next_action_at), (UploadState::Aborted, Some(at(30)), at(30)));
        assert_eq!((row.token.as_deref(), row.reason.as_deref()), (Some("first"), Some("why")));
        assert_eq!(uploads::unfinished(acme.db, acme.tenant).await.unwrap(), 0);
    }

    async fn a_claim_is_taken_once(test: TestDb) {
        let acme = acme(&test).await;
        let id = begun(acme, 1).await;
        assert!(uploads::due(acme.db, at(99), Work::Clear, 10, 10).await.unwrap().is_empty());
        let due = uploads::due(acme.db, at(100), Work::Clear, 10, 10).await.unwrap();
        let [due @ DueRow { next_action_at, .. }] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!((due.id, *next_action_at), (id, at(100)));
        assert!(commit!(acme.db, |tx| uploads::claim(tx, *due, at(130))));
        assert!(!commit!(acme.db, |tx| uploads::claim(tx, *due, at(131))));
        assert!(uploads::due(acme.db, at(129), Work::Clear, 10, 10).await.unwrap().is_empty());
        let open = UploadState::Open;
        assert!(commit!(acme.db, |tx| uploads::postpone(tx, acme.tenant, id, open, at(140), None)));
        let verifying = UploadState::Verifying;
        assert!(!commit!(acme.db, |tx| uploads::postpone(tx, acme.tenant, id, verifying, at(150), None)));
        assert_eq!(uploads::due(acme.db, at(140), Work::Clear, 10, 10).await.unwrap().len(), 1);
    }

    async fn the_first_of_each_tenant_is_due_before_the_second_of_any(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        for n in 1..=4 {
            begun(acme, n).await;
        }
        let late = NewUpload { expires_at: at(101), ..new_upload(9) };
        commit!(other.db, |tx| uploads::insert(tx, other.tenant, &late, at(10)));
        let due = async |work, share, limit| {
            let rows = uploads::due(acme.db, at(200), work, share, limit).await.unwrap();
            rows.into_iter().map(|row| (row.tenant_id, row.id.0)).collect::<Vec<_>>()
        };
        let (ours, theirs) = (|n| (acme.tenant, uuid(n)), (other.tenant, uuid(9)));
        assert_eq!(due(Work::Clear, 2, 10).await, [ours(1), theirs, ours(2)]);
        assert_eq!(due(Work::Clear, 4, 2).await, [ours(1), theirs]);
        assert_eq!(due(Work::Verify, 2, 10).await, []);
        let complete = change(UploadState::Open, UploadState::Verifying);
        assert!(commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, UploadId(uuid(3)), &complete, at(30))));
        assert_eq!(due(Work::Verify, 2, 10).await, [ours(3)]);
        assert_eq!(due(Work::Clear, 4, 10).await, [ours(1), theirs, ours(2), ours(4)]);
    }

    async fn who_completed_it_is_known_while_it_is_verified(test: TestDb) {
        let acme = acme(&test).await;
        let id = begun(acme, 1).await;
        let erika = Completer {
            kind: ActorKind::User,
            tenant: Some(acme.tenant),
            id: Some(uuid(71)),
            name: Some("erika".to_owned()),
            address: Some("192.0.2.1".to_owned()),
            request_id: Some("r1".to_owned()),
        };
        let known = async || uploads::completer(acme.db, acme.tenant, id).await.unwrap();
        let verifying = change(UploadState::Open, UploadState::Verifying);
        assert!(commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, id, &verifying, at(30))));
        assert_eq!(known().await, None);
        commit!(acme.db, |tx| uploads::set_completer(tx, acme.tenant, id, &erika));
        assert_eq!(known().await, Some(erika.clone()));
        commit!(acme.db, |tx| audit::erase_person(tx, acme.tenant, uuid(71)));
        assert_eq!(known().await, Some(Completer { name: None, address: None, ..erika }));
        let failed = change(UploadState::Verifying, UploadState::Failed);
        assert!(commit!(acme.db, |tx| uploads::set_state(tx, acme.tenant, id, &failed, at(40))));
        assert_eq!(known().await, None);
    }

    async fn lists_are_filtered(test: TestDb) {
        let acme = acme(&test).await;
        let (first, second) = (begun(acme, 1).await, begun(acme, 2).await);
        let list = async |filter: Filter| {
            let rows = uploads::page(acme.db, acme.tenant, &filter, 10).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(list(Filter::default()).await, [second, first]);
        assert_eq!(list(Filter { after: Some(second), ..Filter::default() }).await, [first]);
        assert_eq!(list(Filter { state: Some(UploadState::Failed), ..Filter::default() }).await, []);
        assert_eq!(list(Filter { kind: Some(UploadKind::Artifact), ..Filter::default() }).await, []);
        assert_eq!(list(Filter { sha256: Some(digest(7)), ..Filter::default() }).await, [second, first]);
        assert_eq!(list(Filter { sha256: Some(digest(8)), ..Filter::default() }).await, []);
    }
}
