//! Numbers of the audit log under trouble: several nodes at once, one killed while it numbers.

use std::sync::Arc;

use drover_app::compose::{self, Backends};
use drover_app::{SystemRandom, tasks};
use drover_db::Db;
use drover_store::audit::{self, EntryRow, Filter, NewEntry, Order};
use drover_testkit::{Profile, TestServer, eventually, on_both_profiles};
use drover_types::{ActorKind, AuditEntryId, Clock as _, SystemClock, TenantId};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// Entries of the test, and how many are written by whom: several batches of the sequencer.
const WRITERS: u32 = 4;
const ENTRIES: u32 = 400;

/// The background tasks of one more node, until it is dropped, which kills it.
struct Node(Option<Runtime>);

impl Node {
    async fn start(backends: Backends) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let app = runtime.spawn(async move {
            let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
            let app = compose::compose(&backends, drover_app::Settings::default(), clock, random).await;
            tasks::start(&app.expect("a node on the same back-ends"), &CancellationToken::new());
        });
        app.await.unwrap();
        Self(Some(runtime))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.0.take().expect("it runs until it is dropped").shutdown_background();
    }
}

/// Commits entries whose ids and times fall while time goes on, each in a transaction of its own.
async fn write(db: Db, tenant: TenantId, writer: u32) {
    let now = SystemClock.now();
    for number in (0..ENTRIES).rev() {
        let at = now.plus(std::time::Duration::from_millis(number.into()));
        let id = AuditEntryId::generate(at, (u128::from(writer) << 32) | u128::from(number));
        let mut tx = db.begin().await.unwrap();
        let entry = NewEntry {
            id,
            at,
            actor_kind: ActorKind::System,
            actor_tenant: None,
            actor_id: None,
            action: "test.write",
            object_kind: "test",
            object_id: "x",
            request_id: None,
            before: None,
            after: None,
            details: "{}",
        };
        audit::insert(&mut tx, tenant, &entry).await.unwrap();
        tx.commit().await.unwrap();
    }
}

/// All that has a number; what had one before must have kept it.
async fn look(db: &Db, tenant: TenantId, before: &[EntryRow]) -> Vec<EntryRow> {
    let all = audit::page(db, tenant, &Filter::default(), Order::OldestFirst, 100_000).await.unwrap();
    assert!(all.len() >= before.len() && all[..before.len()] == *before, "a number changed its entry");
    let numbers: Vec<i64> = all.iter().map(|entry| entry.seq).collect();
    let dense: Vec<i64> = (1..).take(all.len()).collect();
    assert_eq!(numbers, dense, "no gap, none twice");
    all
}

on_both_profiles! {
    async fn numbers_are_dense_and_final_whatever_happens_to_the_nodes(profile: Profile) {
        let mut server = TestServer::start(profile).await;
        let tenant = server.admin().whoami().await.unwrap().tenant_id;
        let db = server.db().db().clone();
        let other = Node::start(server.backends().clone()).await;
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| tokio::spawn(write(db.clone(), tenant, writer))).collect();
        let mut seen = Vec::new();
        let half = (WRITERS * ENTRIES / 2) as usize;
        eventually("the first numbers", async || {
            seen = look(&db, tenant, &seen).await;
            (seen.len() > 1).then_some(())
        })
        .await;
        // Whichever of the two holds the lease: each is killed once while entries wait.
        drop(other);
        let _third = Node::start(server.backends().clone()).await;
        eventually("half of the numbers", async || {
            seen = look(&db, tenant, &seen).await;
            (seen.len() > half).then_some(())
        })
        .await;
        server.kill_and_restart().await;
        for writer in writers {
            writer.await.unwrap();
        }
        eventually("all numbers", async || {
            seen = look(&db, tenant, &seen).await;
            let written = seen.iter().filter(|entry| entry.action == "test.write").count();
            (written == (WRITERS * ENTRIES) as usize).then_some(())
        })
        .await;
    }
}
