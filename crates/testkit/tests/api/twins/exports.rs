//! The audit log and its export.

use drover_api::{AuditEntry, AuditFilter};
use drover_testkit::answer;
use reqwest::Method;

use super::ask::assert_none_of;
use super::world::Twins;

pub(super) async fn each_has_an_audit_log_of_its_own(twins: &Twins) {
    for (reader, other) in twins.both_ways() {
        let secrets = other.secrets(&twins.server).await;
        let export = twins.server.request(Method::GET, "/api/v1/audit/export").bearer_auth(&reader.token);
        let export = answer(export).await;
        assert_none_of(&secrets, &export.text(), "the export");
        let exported: Vec<AuditEntry> =
            export.text().lines().map(|line| serde_json::from_str(line).expect("a line is an entry")).collect();
        let mut listed = reader.owner.audit(&AuditFilter::default(), 1_000).await.unwrap().items;
        listed.reverse();
        assert_eq!(exported, listed);
        // A gap would count what the other did.
        let numbers: Vec<u64> = exported.iter().map(|entry| entry.seq).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let count = |action: &str| exported.iter().filter(|entry| entry.action == action).count();
        let kind = reader.kind;
        assert_eq!((count("api_key.create"), count("device.add_tag")), (kind.extras + 1, 2 * kind.devices));
        assert_eq!((count("rollout.create"), count("firmware.publish")), (2, 3 + kind.extras));
    }
}
