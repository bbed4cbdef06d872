//! Numbers of audit entries: dense, once, whatever the order of commits.

use drover_db::on_both;
use drover_types::{ActorKind, AuditEntryId};
use uuid::Uuid;

use super::fixture::{Scope, acme, at, commit, digest, uuid};
use crate::audit::{self, EntryRow, Filter, NewEntry, Order};

const fn entry(id: Uuid, seconds: i64) -> NewEntry<'static> {
    NewEntry {
        id: AuditEntryId(id),
        at: at(seconds),
        actor_kind: ActorKind::User,
        actor_tenant: None,
        actor_id: None,
        action: "group.create",
        object_kind: "group",
        object_id: "g",
        request_id: Some("r"),
        before: None,
        after: Some(digest(1)),
        details: "{}",
    }
}

async fn add(scope: Scope<'_>, entry: NewEntry<'_>) {
    commit!(scope.db, |tx| audit::insert(tx, scope.tenant, &entry));
}

async fn number(scope: Scope<'_>, limit: i64) -> u64 {
    commit!(scope.db, |tx| audit::number(tx, scope.tenant, limit))
}

async fn numbered(scope: Scope<'_>, filter: &Filter, order: Order) -> Vec<EntryRow> {
    audit::page(scope.db, scope.tenant, filter, order, 100).await.expect("a page")
}

async fn ids(scope: Scope<'_>, filter: &Filter, order: Order) -> Vec<(i64, Uuid)> {
    numbered(scope, filter, order).await.into_iter().map(|row| (row.seq, row.id.0)).collect()
}

on_both! {
    async fn entries_get_the_next_numbers_in_batches(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        for n in [3, 1, 2] {
            add(acme, entry(uuid(n), n.into())).await;
        }
        add(other, entry(uuid(1), 1)).await;
        let everything = Filter::default();
        assert_eq!(ids(acme, &everything, Order::OldestFirst).await, [], "without a number nothing is shown");
        let mut waiting = audit::unnumbered(acme.db, 10).await.expect("tenants");
        waiting.sort();
        assert_eq!(waiting, [acme.tenant, other.tenant]);
        assert_eq!((number(acme, 2).await, number(acme, 2).await, number(acme, 2).await), (2, 1, 0));
        let first = [(1, uuid(1)), (2, uuid(2)), (3, uuid(3))];
        assert_eq!(ids(acme, &everything, Order::OldestFirst).await, first);
        // Committed late, with an older time and an older id than what has its number: the next number all the same.
        add(acme, entry(uuid(0), 0)).await;
        assert_eq!(number(acme, 512).await, 1);
        assert_eq!(ids(acme, &everything, Order::NewestFirst).await[0], (4, uuid(0)));
        assert_eq!(number(other, 512).await, 1);
        assert_eq!(ids(other, &everything, Order::OldestFirst).await, [(1, uuid(1))], "each tenant counts for itself");
        assert_eq!(audit::unnumbered(acme.db, 10).await.expect("tenants"), []);
    }

    async fn every_filter_finds_its_own(test: TestDb) {
        let acme = acme(&test).await;
        add(acme, entry(uuid(1), 1)).await;
        let mut others = vec![entry(uuid(2), 2); 6];
        others[0].actor_kind = ActorKind::System;
        others[1].actor_id = Some(uuid(77));
        others[2].action = "group.delete";
        others[3].object_kind = "device";
        others[4].object_id = "h";
        others[5].request_id = Some("s");
        for (n, other) in (2..).zip(&mut others) {
            (other.id, other.at) = (AuditEntryId(uuid(n)), at(n.into()));
            add(acme, other.clone()).await;
        }
        number(acme, 100).await;
        let filters = [
            (Filter { actor_kind: Some(ActorKind::System), ..Filter::default() }, vec![2]),
            (Filter { actor_id: Some(uuid(77)), ..Filter::default() }, vec![3]),
            (Filter { action: Some("group.delete".into()), ..Filter::default() }, vec![4]),
            (Filter { object_kind: Some("device".into()), ..Filter::default() }, vec![5]),
            (Filter { object_id: Some("h".into()), ..Filter::default() }, vec![6]),
            (Filter { request_id: Some("s".into()), ..Filter::default() }, vec![7]),
            (Filter { from: Some(at(6)), ..Filter::default() }, vec![6, 7]),
            (Filter { to: Some(at(3)), ..Filter::default() }, vec![1, 2]),
            (Filter { above: Some(2), below: Some(5), ..Filter::default() }, vec![3, 4]),
        ];
        for (filter, wanted) in filters {
            let found: Vec<i64> =
                numbered(acme, &filter, Order::OldestFirst).await.into_iter().map(|row| row.seq).collect();
            assert_eq!(found, wanted, "{filter:?}");
        }
    }

    async fn people_are_erased_and_their_entries_stay(test: TestDb) {
        let acme = acme(&test).await;
        let entries = [1, 2].map(|n| NewEntry { actor_id: Some(uuid(70 + n)), ..entry(uuid(n), n.into()) });
        for entry in &entries {
            add(acme, entry.clone()).await;
            let (name, address) = (Some("erika"), Some("192.0.2.1"));
            commit!(acme.db, |tx| audit::insert_person(tx, acme.tenant, entry.id, name, address));
        }
        number(acme, 10).await;
        let before = numbered(acme, &Filter::default(), Order::OldestFirst).await;
        assert_eq!(commit!(acme.db, |tx| audit::erase_person(tx, acme.tenant, uuid(71))), 1);
        let after = numbered(acme, &Filter::default(), Order::OldestFirst).await;
        let anonymous = EntryRow { person_entry_id: None, actor_name: None, actor_address: None, ..before[0].clone() };
        assert_eq!(after, [anonymous, before[1].clone()]);
    }
}
