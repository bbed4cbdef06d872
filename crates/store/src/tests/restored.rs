//! What a restore makes void.

use drover_db::on_both;
use drover_db::testing::TestDb;
use drover_types::Timestamp;

use super::catalogue::{Catalogue, Kind};
use super::fixture::migrated;
use crate::restored;

/// What only grows, so that whoever holds an older number is refused. A restore has to raise it: see `restored.rs`.
const RAISED: [(&str, &str); 2] = [("leases", "token"), ("rollouts", "epoch")];

#[tokio::test]
async fn every_number_that_voids_older_ones_is_raised() {
    let test = TestDb::sqlite().await;
    let catalogue = Catalogue::read(migrated(&test).await).await;
    let is_fence = |name: &str| {
        ["epoch", "token", "fence", "generation"]
            .iter()
            .any(|word| name == *word || name.ends_with(&format!("_{word}")))
    };
    let columns =
        catalogue.tables.iter().flat_map(|(table, found)| found.columns.iter().map(move |column| (table, column)));
    let found: Vec<(&str, &str)> = columns
        .filter(|(_, column)| column.kind == Kind::Integer && is_fence(&column.name))
        .map(|(table, column)| (table.as_str(), column.name.as_str()))
        .collect();
    assert_eq!(found, RAISED);
}

on_both! {
    async fn a_lease_of_before_is_lost_and_can_be_taken_at_once(test: TestDb) {
        let db = migrated(&test).await;
        let hour = std::time::Duration::from_hours(1);
        let before = db.lease_acquire("duty", "one", hour).await.expect("it works").expect("it is free");
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        db.write(move |tx| Box::pin(async move { restored::fence(tx, now).await })).await.expect("it fences");
        assert!(!db.lease_renew(&before, hour).await.expect("it works"));
        let after = db.lease_acquire("duty", "two", hour).await.expect("it works").expect("it is free");
        assert!(after.token > before.token + (1 << 31), "{after:?}");
    }
}
