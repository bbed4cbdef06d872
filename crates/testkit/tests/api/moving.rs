//! An installation that moves to other back-ends, and back.

use std::sync::Arc;
use std::time::Duration;

use drover_app::compose::{Backends, ComposeError, Parts, compose};
use drover_app::moving::{self, MoveError, Moved};
use drover_app::{Settings, SystemRandom};
use drover_db::testing::TestDb;
use drover_db::{Db, MIGRATIONS, run};
use drover_testkit::{Profile, eventually, on_both_profiles};
use drover_types::{Clock as _, SystemClock};
use reqwest::Method;

use crate::backup::{busy, empty_place, execute, made_by_an_older_program, unnumbered};

async fn copy(from: &Backends, to: &Backends) -> Result<Moved, MoveError> {
    let (from, to) = (Parts::open_to_stop(from).await.unwrap(), Parts::connect(to).await.unwrap());
    let moved =
        moving::copy_installation(&from, &to, "over there", SystemClock.now(), &SystemRandom, &mut |_| ()).await;
    from.close().await;
    to.close().await;
    moved
}

/// Whether a server could start there.
async fn start(at: &Backends) -> Result<(), ComposeError> {
    let app = compose(at, Settings::default(), Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
    app.close().await;
    Ok(())
}

async fn epoch_and_state(db: &Db) -> (i64, String) {
    let sql = "SELECT epoch, state FROM rollouts";
    let found: Result<_, sqlx::Error> = async { run!(db, |c| sqlx::query_as(sql).fetch_one(c).await) }.await;
    found.unwrap()
}

/// A killed server leaves any number of entries without one; each gets its own, below those of the server.
const NUMBER_WHAT_THE_KILL_LEFT: &str = "UPDATE audit_entries SET seq = \
    -1 - (SELECT COUNT(*) FROM audit_entries e WHERE e.tenant_id = audit_entries.tenant_id AND e.id < audit_entries.id) \
    WHERE seq IS NULL";

async fn other_place(profile: Profile, folder: &std::path::Path) -> (Backends, TestDb) {
    empty_place(if profile == Profile::Local { Profile::Cluster } else { Profile::Local }, folder).await
}

on_both_profiles! {
    async fn the_source_is_closed_until_it_is_opened_again(profile: Profile) {
        let mut scene = busy(profile).await;
        scene.server.kill().await;
        let (source, db) = (scene.server.backends().clone(), scene.server.db().db());
        execute(db, "UPDATE leases SET expires_at = 0").await;
        execute(db, NUMBER_WHAT_THE_KILL_LEFT).await;
        let folder = tempfile::tempdir().unwrap();
        let (target, target_db) = other_place(profile, folder.path()).await;
        let (before, state) = epoch_and_state(db).await;
        let hour = Duration::from_hours(1);
        let asleep = db.lease_acquire("duty", "one that sleeps", Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(copy(&source, &target).await.unwrap().objects, 3);
        assert!(!db.lease_renew(&asleep, hour).await.unwrap(), "it woke up too late");
        assert_eq!(db.lease_acquire("duty", "one that sleeps", hour).await.unwrap(), None);
        assert_eq!(db.lease_acquire("new duty", "one that just started", hour).await.unwrap(), None);

        let refused = start(&source).await.unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, ComposeError::Moved { .. }), "{text}");
        assert!(text.contains("over there") && text.contains("undo-copy"), "{text}");
        let again = copy(&source, &target).await.unwrap_err();
        assert!(matches!(again, MoveError::Moved { .. }), "{again}");

        start(&target).await.unwrap();
        let (moved, same) = epoch_and_state(target_db.db()).await;
        assert!(moved > before + (1 << 31), "what drove it before is refused: {before}, {moved}");
        assert_eq!(state, same, "it goes on");
        assert_eq!(unnumbered(target_db.db()).await, [("tenant.move".to_owned(), 1)]);
        assert!(matches!(moving::undo(&target, SystemClock.now(), &SystemRandom).await, Err(MoveError::NotMoved)));

        let settled = moving::undo(&source, SystemClock.now(), &SystemRandom).await.unwrap();
        assert_eq!(settled.paused_rollouts, 1);
        start(&source).await.unwrap();
        assert!(!db.lease_renew(&asleep, hour).await.unwrap(), "what it held stays void");
        assert!(db.lease_acquire("duty", "another", hour).await.unwrap().is_some());
        let (returned, state) = epoch_and_state(db).await;
        assert!(returned > moved && state == "paused", "{returned} {state}");
        assert_eq!(unnumbered(db).await, [("rollout.pause".to_owned(), 1), ("tenant.undo_move".to_owned(), 1)]);
    }

    async fn a_server_that_was_overlooked_ends(profile: Profile) {
        let scene = busy(profile).await;
        let server = &scene.server;
        server.sql("INSERT INTO moves (target, moved_at) VALUES ('over there', 1)").await;
        eventually("the server to end", async || {
            let asked = server.request(Method::GET, "/healthz").send().await;
            asked.is_err().then_some(())
        })
        .await;
        let refused = start(server.backends()).await.unwrap_err();
        assert!(matches!(refused, ComposeError::Moved { .. }), "{refused}");
    }

    async fn an_older_schema_is_brought_up_to_date_before_it_moves(profile: Profile) {
        let folder = tempfile::tempdir().unwrap();
        let (source, _db) = empty_place(profile, &folder.path().join("old")).await;
        made_by_an_older_program(&source, &MIGRATIONS[..1]).await;
        let (target, db) = other_place(profile, &folder.path().join("new")).await;
        let refused = copy(&source, &target).await.unwrap_err();
        assert!(matches!(refused, MoveError::OlderSchema) && refused.to_string().contains("drover migrate"), "{refused}");
        let old = Parts::connect(&source).await.unwrap();
        old.prepare(MIGRATIONS).await.unwrap();
        old.close().await;
        copy(&source, &target).await.unwrap();
        assert!(drover_db::pending(db.db(), MIGRATIONS).await.unwrap().is_empty());
        assert_eq!(unnumbered(db.db()).await, [("tenant.move".to_owned(), 1)]);
    }

    async fn a_target_that_is_in_use_stays_as_it_is_and_the_source_stays_open(profile: Profile) {
        let folder = tempfile::tempdir().unwrap();
        let (source, _db) = empty_place(profile, &folder.path().join("one")).await;
        made_by_an_older_program(&source, MIGRATIONS).await;
        let (target, _other) = other_place(profile, &folder.path().join("two")).await;
        made_by_an_older_program(&target, MIGRATIONS).await;
        let refused = copy(&source, &target).await.unwrap_err();
        assert!(refused.to_string().contains("it has the tenant old already"), "{refused}");
        start(&source).await.unwrap();
    }
}
