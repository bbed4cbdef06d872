//! Leases: one holder at a time, and no write of a former one.

use std::time::Duration;

use drover_db::{LeaseLost, on_both, on_tx};

use crate::support::{ids, insert, set_up, until};

const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(30);

#[derive(Debug, thiserror::Error)]
enum DutyError {
    #[error(transparent)]
    Lease(#[from] LeaseLost),
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

/// What a holder does: verify, then change.
async fn duty(db: &drover_db::Db, lease: &drover_db::Lease, id: i64) -> Result<i64, DutyError> {
    let lease = lease.clone();
    db.write(move |tx| {
        Box::pin(async move {
            lease.verify(tx).await?;
            Ok(insert(tx, id).await?)
        })
    })
    .await
}

async fn run_all(db: &drover_db::Db, sql: &'static str) {
    let done: Result<(), sqlx::Error> = db
        .write(move |tx| Box::pin(async move { on_tx!(tx, |c| sqlx::raw_sql(sql).execute(c).await.map(drop)) }))
        .await;
    done.unwrap();
}

on_both! {
    async fn two_contenders_one_holder(test: TestDb) {
        let db = set_up(&test).await;
        let other = test.open_again().await;
        for round in 0..10 {
            let name = format!("driver {round}");
            let (a, b) = tokio::join!(db.lease_acquire(&name, "a", LONG), other.lease_acquire(&name, "b", LONG));
            let (a, b) = (a.unwrap(), b.unwrap());
            assert!(a.is_some() != b.is_some(), "{a:?} {b:?}");
            assert_eq!(a.or(b).unwrap().token, 1);
        }
        other.close().await;
    }

    async fn a_lease_that_ran_out_is_taken_over_and_its_holder_refused(test: TestDb) {
        let db = set_up(&test).await;
        let old = db.lease_acquire("driver", "a", SHORT).await.unwrap().unwrap();
        duty(&db, &old, 1).await.unwrap();
        let mut taken = None;
        until("the lease runs out", async || {
            taken = db.lease_acquire("driver", "b", LONG).await.unwrap();
            taken.is_some()
        })
        .await;
        let new = taken.unwrap();
        assert!(new.token > old.token);
        assert!(matches!(duty(&db, &old, 2).await, Err(DutyError::Lease(LeaseLost::Lost { .. }))));
        assert!(!db.lease_renew(&old, LONG).await.unwrap());
        assert!(!db.lease_release(&old).await.unwrap());
        duty(&db, &new, 3).await.unwrap();
        assert_eq!(ids(&db).await, [1, 3]);
    }

    async fn a_renewed_lease_stays(test: TestDb) {
        let db = set_up(&test).await;
        let lease = db.lease_acquire("driver", "a", Duration::ZERO).await.unwrap().unwrap();
        assert!(db.lease_renew(&lease, LONG).await.unwrap());
        assert_eq!(db.lease_acquire("driver", "b", LONG).await.unwrap(), None);
        assert_eq!(db.lease_acquire("driver", "a", LONG).await.unwrap(), None, "a name is no key");
        duty(&db, &lease, 1).await.unwrap();
    }

    async fn a_lease_given_back_is_free_and_void(test: TestDb) {
        let db = set_up(&test).await;
        let lease = db.lease_acquire("driver", "a", LONG).await.unwrap().unwrap();
        assert!(db.lease_release(&lease).await.unwrap());
        assert!(matches!(duty(&db, &lease, 1).await, Err(DutyError::Lease(LeaseLost::Lost { .. }))));
        let next = db.lease_acquire("driver", "b", LONG).await.unwrap().unwrap();
        assert!(next.token > lease.token);
        assert_eq!(ids(&db).await, [0_i64; 0]);
    }

    async fn nobody_has_a_duty_where_the_installation_was_moved_away(test: TestDb) {
        let db = set_up(&test).await;
        let lease = db.lease_acquire("driver", "a", LONG).await.unwrap().unwrap();
        run_all(&db, "INSERT INTO moves (target, moved_at) VALUES ('there', 1)").await;
        assert!(!db.lease_renew(&lease, LONG).await.unwrap());
        assert_eq!(db.lease_acquire("other", "a", LONG).await.unwrap(), None, "one that nobody ever had");
        run_all(&db, "UPDATE leases SET expires_at = 0").await;
        assert_eq!(db.lease_acquire("driver", "b", LONG).await.unwrap(), None, "one that ran out");
        run_all(&db, "DELETE FROM moves").await;
        assert!(db.lease_acquire("driver", "b", LONG).await.unwrap().is_some());
        assert!(db.lease_acquire("other", "b", LONG).await.unwrap().is_some());
    }

    async fn nobody_takes_over_during_a_verified_transaction(test: TestDb) {
        let db = set_up(&test).await;
        let lease = db.lease_acquire("driver", "a", Duration::ZERO).await.unwrap().unwrap();
        let mut tx = db.begin().await.unwrap();
        lease.verify(&mut tx).await.unwrap();
        let other = test.open_again().await;
        let taking = tokio::spawn(async move {
            let taken = other.lease_acquire("driver", "b", LONG).await;
            (taken, other)
        });
        // Long enough for an acquisition that would not wait: several statements on another table.
        for id in 0..50 {
            insert(&mut tx, id).await.unwrap();
        }
        assert!(!taking.is_finished(), "taken over although a transaction relies on the lease");
        tx.commit().await.unwrap();
        let (taken, other) = taking.await.unwrap();
        assert_eq!(taken.unwrap().unwrap().token, lease.token + 1);
        assert_eq!(ids(&other).await.len(), 50);
        other.close().await;
    }
}
