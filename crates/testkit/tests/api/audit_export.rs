//! The audit log as a whole: exported, and seen by its own tenant only.

use std::collections::BTreeMap;

use drover_api::{AuditEntry, AuditFilter};
use drover_cli::ClientError;
use drover_testkit::{Profile, TestServer, answer, eventually, on_both_profiles};
use reqwest::Method;
use serde_json::json;

on_both_profiles! {
    async fn the_export_has_every_entry_and_goes_on_anywhere(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        for number in 0..20 {
            let body = json!({ "name": format!("group {number}") });
            assert_eq!(answer(server.admin_request(Method::POST, "/api/v1/groups").json(&body)).await.status, 201);
        }
        let last = eventually("all to be numbered", async || {
            let entries = admin.audit(&AuditFilter::default(), 1_000).await.unwrap().items;
            let all = entries.iter().filter(|entry| entry.action == "group.create").count() == 20;
            all.then(|| entries[0].seq)
        })
        .await;
        let mut exported: Vec<AuditEntry> = Vec::new();
        let mut keep = |line: &str| {
            exported.push(serde_json::from_str(line).expect("a line is an entry"));
            Ok::<(), ClientError>(())
        };
        assert_eq!(admin.export_audit(0, &mut keep).await.unwrap(), last);
        let mut pages = admin.audit(&AuditFilter::default(), 1_000).await.unwrap().items;
        pages.reverse();
        assert_eq!(exported, pages);
        let mut rest = Vec::new();
        let mut keep = |line: &str| {
            rest.push(serde_json::from_str::<AuditEntry>(line).expect("a line is an entry"));
            Ok::<(), ClientError>(())
        };
        assert_eq!(admin.export_audit(last - 3, &mut keep).await.unwrap(), last);
        assert_eq!(rest, exported[exported.len() - 3..]);
        let answered = answer(server.admin_request(Method::GET, "/api/v1/audit/export?after_seq=1000000")).await;
        assert_eq!((answered.status, answered.text().as_str()), (200, ""));
        assert_eq!(answered.header("content-type"), "application/x-ndjson");
    }

    async fn another_tenant_sees_and_counts_nothing_of_it(profile: Profile) {
        let server = TestServer::start(profile).await;
        let other = server.add_tenant("other").await;
        let body = json!({ "name": "theirs" });
        let made = server.request(Method::POST, "/api/v1/groups").bearer_auth(&other.token).json(&body);
        assert_eq!(answer(made).await.status, 201);
        let theirs = eventually("their entry", async || {
            let entries = other.admin.audit(&AuditFilter::default(), 100).await.unwrap().items;
            entries.iter().any(|entry| entry.action == "group.create").then_some(entries)
        })
        .await;
        // The tenant was made by hand: its log begins with the log-in.
        let actions: BTreeMap<u64, &str> = theirs.iter().map(|entry| (entry.seq, entry.action.as_str())).collect();
        assert_eq!(actions, BTreeMap::from([(1, "user.login"), (2, "group.create")]));
        let ours = server.admin().audit(&AuditFilter::default(), 100).await.unwrap().items;
        assert!(ours.iter().all(|entry| !theirs.iter().any(|other| other.id == entry.id)));
    }
}
