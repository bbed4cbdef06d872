//! A key is taken once, and everybody else learns for what.

use drover_db::on_both;
use tokio::task::JoinSet;

use super::fixture::{acme, at, commit, digest, uuid};
use crate::idempotency::{Claim, claim, delete_old};

fn use_of(n: u16) -> Claim<'static> {
    Claim { caller: "api_key:1", key: "order-1", request_sha256: digest(1), resource_id: uuid(n) }
}

on_both! {
    async fn a_key_belongs_to_its_caller(test: TestDb) {
        let acme = acme(&test).await;
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, use_of(10), at(10))).is_none());
        let again = Claim { request_sha256: digest(2), ..use_of(11) };
        let before = commit!(acme.db, |tx| claim(tx, acme.tenant, again, at(11))).unwrap();
        assert_eq!((before.request_sha256, before.resource_id), (digest(1), uuid(10)));
        let other = Claim { caller: "api_key:2", ..use_of(12) };
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, other, at(12))).is_none());
    }

    async fn of_parallel_claims_one_wins(test: TestDb) {
        let acme = acme(&test).await;
        let mut claims = JoinSet::new();
        for n in 100..120 {
            let (db, tenant) = (acme.db.clone(), acme.tenant);
            claims.spawn(async move {
                let before = db.write(move |tx| Box::pin(claim(tx, tenant, use_of(n), at(10)))).await;
                (uuid(n), before.expect("an answer"))
            });
        }
        let answers = claims.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|(_, before)| before.is_none()).map(|(id, _)| *id).collect();
        let [winner] = winners.as_slice() else { panic!("{winners:?}") };
        assert!(answers.iter().filter_map(|(_, before)| *before).all(|before| before.resource_id == *winner));
    }

    async fn a_key_is_free_again_when_its_work_failed(test: TestDb) {
        let acme = acme(&test).await;
        let mut tx = acme.db.begin().await.unwrap();
        assert!(claim(&mut tx, acme.tenant, use_of(10), at(10)).await.unwrap().is_none());
        tx.rollback().await.unwrap();
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, use_of(11), at(11))).is_none());
    }

    async fn old_keys_are_forgotten(test: TestDb) {
        let acme = acme(&test).await;
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, use_of(10), at(10))).is_none());
        commit!(acme.db, |tx| delete_old(tx, acme.tenant, at(10)));
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, use_of(11), at(11))).is_some());
        commit!(acme.db, |tx| delete_old(tx, acme.tenant, at(11)));
        assert!(commit!(acme.db, |tx| claim(tx, acme.tenant, use_of(12), at(12))).is_none());
    }
}
