//! The change feed loses nothing, in whatever order transactions commit.

use std::time::Duration;

use drover_db::testing::TestDb;
use drover_db::{Db, on_both, run};
use drover_types::{ChangeKind, DeviceId, RolloutId};
use uuid::Uuid;

use super::fixture::{acme, commit, migrated, uuid};
use crate::changes;

/// What is to be read from a horizon on.
async fn from(db: &Db, horizon: i64) -> Vec<(ChangeKind, Uuid)> {
    let rows = changes::page(db, (horizon, Uuid::nil()), 100).await.unwrap();
    rows.iter().map(|row| (row.kind, row.subject_id)).collect()
}

/// As if the change of this device were two hours old.
async fn written_long_ago(db: &Db, n: u16) {
    let sql = "UPDATE changes SET created_at = created_at - 7200000000 WHERE subject_id = $1";
    let mut tx = db.begin().await.unwrap();
    let done: crate::Result<()> =
        async { run!(&mut tx, |c| sqlx::query(sql).bind(uuid(n)).execute(c).await.map(drop)) }.await;
    done.unwrap();
    tx.commit().await.unwrap();
}

on_both! {
    async fn changes_come_in_the_order_of_their_transactions(test: TestDb) {
        let acme = acme(&test).await;
        let (device, rollout) = (DeviceId(uuid(10)), RolloutId(uuid(11)));
        let start = changes::horizon(acme.db).await.unwrap().number;
        commit!(acme.db, |tx| changes::push_device(tx, acme.tenant, device));
        let mut tx = acme.db.begin().await.unwrap();
        changes::push_rollout(&mut tx, acme.tenant, rollout).await.unwrap();
        tx.commit().await.unwrap();
        let both = [(ChangeKind::Device, device.0), (ChangeKind::Rollout, rollout.0)];
        assert_eq!(from(acme.db, start).await, both);
        let [first, second] = changes::page(acme.db, (start, Uuid::nil()), 9).await.unwrap()[..] else { panic!("two") };
        assert!(first.seq < second.seq);
        assert_eq!(first.tenant_id, acme.tenant);
        assert_eq!(changes::page(acme.db, (first.seq, first.subject_id), 9).await.unwrap(), [second]);
    }

    async fn a_change_may_be_pushed_twice(test: TestDb) {
        let acme = acme(&test).await;
        let mut tx = acme.db.begin().await.unwrap();
        for _ in 0..2 {
            changes::push_device(&mut tx, acme.tenant, DeviceId(uuid(10))).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert!(from(acme.db, 0).await.iter().all(|change| *change == (ChangeKind::Device, uuid(10))));
    }

    async fn what_was_taken_back_never_was(test: TestDb) {
        let acme = acme(&test).await;
        let start = changes::horizon(acme.db).await.unwrap().number;
        let mut tx = acme.db.begin().await.unwrap();
        changes::push_device(&mut tx, acme.tenant, DeviceId(uuid(10))).await.unwrap();
        tx.rollback().await.unwrap();
        commit!(acme.db, |tx| changes::push_device(tx, acme.tenant, DeviceId(uuid(11))));
        assert_eq!(from(acme.db, start).await, [(ChangeKind::Device, uuid(11))]);
    }

    async fn old_changes_go_but_numbers_are_never_given_twice(test: TestDb) {
        let acme = acme(&test).await;
        for n in 1..=3 {
            commit!(acme.db, |tx| changes::push_device(tx, acme.tenant, DeviceId(uuid(n))));
        }
        let horizon = changes::horizon(acme.db).await.unwrap().number;
        commit!(acme.db, |tx| changes::trim(tx, Duration::from_hours(1)));
        assert_eq!(from(acme.db, 0).await.len(), 3, "they are new by the database's clock");
        written_long_ago(acme.db, 1).await;
        commit!(acme.db, |tx| changes::trim(tx, Duration::from_hours(1)));
        assert_eq!(from(acme.db, 0).await, [(ChangeKind::Device, uuid(2)), (ChangeKind::Device, uuid(3))]);
        for n in [2, 3] {
            written_long_ago(acme.db, n).await;
        }
        commit!(acme.db, |tx| changes::trim(tx, Duration::from_hours(1)));
        assert_eq!(from(acme.db, 0).await, [(ChangeKind::Device, uuid(3))]);
        commit!(acme.db, |tx| changes::push_device(tx, acme.tenant, DeviceId(uuid(4))));
        // Others that write on the same server at this moment keep PostgreSQL's horizon back: then more is seen again.
        let news = from(acme.db, horizon).await;
        assert!(news.contains(&(ChangeKind::Device, uuid(4))), "it lies above the old horizon: {news:?}");
    }
}

/// The order of commits is not the order of numbers.
#[tokio::test]
async fn a_transaction_that_commits_late_is_not_passed_over() {
    let test = TestDb::postgres().await;
    let acme = acme(&test).await;
    let mut late = migrated(&test).await.begin().await.unwrap();
    changes::push_device(&mut late, acme.tenant, DeviceId(uuid(10))).await.unwrap();
    commit!(acme.db, |tx| changes::push_device(tx, acme.tenant, DeviceId(uuid(11))));
    let horizon = changes::horizon(acme.db).await.unwrap().number;
    assert_eq!(from(acme.db, 0).await, [(ChangeKind::Device, uuid(11))]);
    late.commit().await.unwrap();
    let both = [(ChangeKind::Device, uuid(10)), (ChangeKind::Device, uuid(11))];
    assert_eq!(from(acme.db, horizon).await, both, "it is seen, and what was seen is seen again");
}
