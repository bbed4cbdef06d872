//! Backups of a running server, and what is restored from them.

use std::path::{Path, PathBuf};

use drover_app::SystemRandom;
use drover_app::backup::{self, Backup, Objects, RestoreError, RestoreOptions, Restored, VerifyError};
use drover_app::compose::{Backends, Parts};
use drover_db::testing::TestDb;
use drover_db::{Db, MIGRATIONS, Migration, copy, on_tx, run, tables};
use drover_testkit::{Profile, TestServer, answer, on_both_profiles};
use drover_types::{Clock as _, SystemClock};
use reqwest::Method;

use crate::scene::Scene;

/// An installation of its own with a fleet, an object and a rollout that goes on.
pub(crate) async fn busy(profile: Profile) -> Scene {
    let scene = Scene::new(profile, 3).await;
    let put = scene.server.admin_request(Method::PUT, "/api/v1/objects/a.bin").body("kept");
    assert_eq!(answer(put).await.status, 201);
    scene.roll_out(&[34, 100], |_| ()).await;
    scene
}

async fn back_up(server: &TestServer, objects: Objects) -> (PathBuf, backup::Manifest) {
    back_up_of(server.backends(), server.folder(), objects).await
}

async fn back_up_of(backends: &Backends, folder: &Path, objects: Objects) -> (PathBuf, backup::Manifest) {
    let path = folder.join("backup.tar");
    let file = tokio::fs::File::create(&path).await.unwrap();
    let parts = Parts::open(backends).await.unwrap();
    let manifest = backup::write(&parts, file, objects, SystemClock.now(), &mut |_| ()).await.unwrap();
    parts.close().await;
    (path, manifest)
}

async fn restore(backup: &Backup, target: &Backends) -> Result<Restored, RestoreError> {
    restore_with(RestoreOptions::default(), backup, target).await
}

async fn restore_with(options: RestoreOptions, backup: &Backup, to: &Backends) -> Result<Restored, RestoreError> {
    backup::restore(backup, to, options, SystemClock.now(), &SystemRandom, &mut |_| ()).await
}

/// The actions in the audit log, with how often they are there and have no number yet.
pub(crate) async fn unnumbered(db: &Db) -> Vec<(String, i64)> {
    let sql = "SELECT action, COUNT(*) FROM audit_entries WHERE seq IS NULL AND actor_kind = 'host' \
               GROUP BY action ORDER BY action";
    let found: Result<_, sqlx::Error> = async { run!(db, |c| sqlx::query_as(sql).fetch_all(c).await) }.await;
    found.unwrap()
}

/// Runs statements.
pub(crate) async fn execute(db: &Db, sql: &'static str) {
    let mut tx = db.begin().await.unwrap();
    let done: Result<(), sqlx::Error> =
        async { on_tx!(&mut tx, |c| sqlx::raw_sql(sql).execute(c).await.map(drop)) }.await;
    done.unwrap();
    tx.commit().await.unwrap();
}

/// An installation with one tenant, as an older program would have left it.
pub(crate) async fn made_by_an_older_program(backends: &Backends, steps: &[Migration]) {
    let parts = Parts::create(backends).await.unwrap();
    parts.prepare(steps).await.unwrap();
    // Bytes are written in two ways.
    let sql = match &parts.db {
        Db::Sqlite(_) => {
            "INSERT INTO tenants (id, name, created_at) VALUES (X'0190a1b2c3d47e5f8a9b0c1d2e3f4a5b', 'old', 5)"
        }
        Db::Postgres(_) => {
            "INSERT INTO tenants (id, name, created_at) VALUES ('0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b', 'old', 5)"
        }
    };
    execute(&parts.db, sql).await;
    parts.close().await;
}

/// An empty place for an installation on these back-ends.
pub(crate) async fn empty_place(profile: Profile, folder: &Path) -> (Backends, TestDb) {
    let db = match profile {
        Profile::Local => TestDb::sqlite().await,
        Profile::Cluster => TestDb::postgres().await,
    };
    let backends = Backends {
        database: db.url().to_owned(),
        blobs: profile.blobs(folder),
        data_dir: folder.join("data"),
        public_url: "http://127.0.0.1:1".to_owned(),
        pool_max: 10,
        migrate: true,
    };
    (backends, db)
}

on_both_profiles! {
    async fn a_backup_goes_into_either_profile_row_by_row(profile: Profile) {
        let scene = busy(profile).await;
        let (path, manifest) = back_up(&scene.server, Objects::Included).await;
        assert!(manifest.rows() > 20 && manifest.faults.is_empty(), "{manifest:?}");
        assert_eq!(manifest.objects.len(), 3);
        let whole = Backup::open(&path).await.unwrap();
        for target in [Profile::Local, Profile::Cluster] {
            let folder = tempfile::tempdir().unwrap();
            let (backends, db) = empty_place(target, folder.path()).await;
            let restored = restore(&whole, &backends).await.unwrap();
            assert_eq!((restored.settled.paused_rollouts, restored.settled.ended_logins), (1, 1));
            assert_eq!(unnumbered(db.db()).await, [("rollout.pause".to_owned(), 1), ("tenant.restore".to_owned(), 1)]);
            let mut tx = db.db().snapshot().await.unwrap();
            for table in tables(&mut tx).await.unwrap() {
                let sum = copy::sum(&mut tx, &table).await.unwrap();
                if table.name == "changes" {
                    assert_eq!(sum.rows, 0, "the numbers of another database mean nothing here");
                    continue;
                }
                let entry = manifest.tables.iter().find(|entry| entry.name == table.name).unwrap();
                let recorded = if table.name == "audit_entries" { 2 } else { 0 };
                assert_eq!(sum.rows, entry.rows + recorded, "{}", table.name);
                let is_settled = ["rollouts", "logins", "leases", "audit_entries"].contains(&table.name.as_str());
                assert_eq!(sum.sha256 == entry.sha256, !is_settled, "{}", table.name);
            }
        }
    }

    async fn what_is_there_is_never_overwritten(profile: Profile) {
        let scene = busy(profile).await;
        let (path, _) = back_up(&scene.server, Objects::Included).await;
        let whole = Backup::open(&path).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut backends, _db) = empty_place(profile, folder.path()).await;
        std::fs::create_dir(&backends.data_dir).unwrap();
        std::fs::write(backends.data_dir.join("something"), "").unwrap();
        let refused = restore(&whole, &backends).await.unwrap_err();
        assert!(matches!(&refused, RestoreError::NotEmpty { found, .. } if found.contains("something")), "{refused}");
        backends.data_dir = folder.path().join("other");
        backends.database.clone_from(&scene.server.backends().database);
        let refused = restore(&whole, &backends).await.unwrap_err();
        assert!(matches!(&refused, RestoreError::Fill(_)) && refused.to_string().contains("default"), "{refused}");
        assert!(scene.admin.whoami().await.is_ok());
    }

    async fn objects_that_are_only_named_must_be_there(profile: Profile) {
        let scene = busy(profile).await;
        let (path, manifest) = back_up(&scene.server, Objects::Named).await;
        let whole = Backup::open(&path).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut backends, _db) = empty_place(profile, folder.path()).await;
        let refused = restore(&whole, &backends).await.unwrap_err();
        assert!(matches!(refused, RestoreError::ObjectsMissing { missing: 3, all: 3, .. }), "{refused}");
        assert_eq!(manifest.objects.len(), 3);
        assert!(refused.to_string().contains("--without-lost-objects"), "{refused}");
        let (without, _other) = empty_place(profile, &folder.path().join("without")).await;
        let options = RestoreOptions { without_lost_objects: true, ..RestoreOptions::default() };
        assert_eq!(restore_with(options, &whole, &without).await.unwrap().faults.len(), 3);
        backends.blobs.clone_from(&scene.server.backends().blobs);
        backends.data_dir = folder.path().join("other");
        restore(&whole, &backends).await.unwrap();
    }

    async fn what_happens_meanwhile_is_in_it_as_a_whole_or_not_at_all(profile: Profile) {
        let server = TestServer::start(profile).await;
        let registering = async { server.devices(40, None).await };
        let (devices, (path, _)) = tokio::join!(registering, back_up(&server, Objects::Included));
        assert_eq!(devices.len(), 40);
        let folder = tempfile::tempdir().unwrap();
        let (backends, db) = empty_place(profile, folder.path()).await;
        restore(&Backup::open(&path).await.unwrap(), &backends).await.unwrap();
        let sql = "SELECT CAST((SELECT SUM(uses) FROM enrolment_tokens) AS BIGINT), \
                   (SELECT COUNT(*) FROM devices), (SELECT COUNT(*) FROM device_tokens)";
        let found: Result<(i64, i64, i64), sqlx::Error> =
            async { run!(db.db(), |c| sqlx::query_as(sql).fetch_one(c).await) }.await;
        let (uses, rows, tokens) = found.unwrap();
        assert!(uses == rows && uses == tokens, "{uses} uses, {rows} devices, {tokens} tokens");
    }

    async fn a_backup_of_an_older_schema_is_brought_up_to_date(profile: Profile) {
        for steps in [&MIGRATIONS[..1], &MIGRATIONS[..MIGRATIONS.len() - 1]] {
            let folder = tempfile::tempdir().unwrap();
            let (old, _db) = empty_place(profile, &folder.path().join("old")).await;
            made_by_an_older_program(&old, steps).await;
            let (path, manifest) = back_up_of(&old, folder.path(), Objects::Included).await;
            assert_eq!(manifest.schema.len(), steps.len());
            let (backends, db) = empty_place(profile, &folder.path().join("new")).await;
            let whole = Backup::open(&path).await.unwrap();
            restore(&whole, &backends).await.unwrap();
            assert!(drover_db::pending(db.db(), MIGRATIONS).await.unwrap().is_empty());
            assert_eq!(unnumbered(db.db()).await, [("tenant.restore".to_owned(), 1)]);
            // A place that a newer program prepared is not one for older rows.
            let (prepared, db) = empty_place(profile, &folder.path().join("prepared")).await;
            drover_db::migrate(db.db(), MIGRATIONS, std::time::Duration::from_secs(10)).await.unwrap();
            let refused = restore(&whole, &prepared).await.unwrap_err();
            assert!(refused.to_string().contains("without tables"), "{refused}");
        }
    }

    async fn nothing_goes_on_by_itself_nor_with_a_key_that_was_revoked(profile: Profile) {
        let scene = busy(profile).await;
        let made = scene.server.admin_request(Method::POST, "/api/v1/api-keys");
        let body = serde_json::json!({ "name": "ci" });
        assert_eq!(answer(made.json(&body)).await.status, 201);
        // Taken back, and the driver has not made the way back yet.
        execute(scene.server.db().db(), "UPDATE rollouts SET state = 'rolling_back', next_tick_at = NULL").await;
        let (path, _) = back_up(&scene.server, Objects::Included).await;
        let whole = Backup::open(&path).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (backends, db) = empty_place(profile, folder.path()).await;
        let options = RestoreOptions { revoke_api_keys: true, ..RestoreOptions::default() };
        let settled = restore_with(options, &whole, &backends).await.unwrap().settled;
        assert_eq!((settled.paused_rollouts, settled.api_keys, settled.revoked_api_keys), (1, 0, 1));
        let sql = "SELECT state, reason FROM rollouts";
        let found: Result<(String, String), sqlx::Error> =
            async { run!(db.db(), |c| sqlx::query_as(sql).fetch_one(c).await) }.await;
        let (state, reason) = found.unwrap();
        assert!(state == "paused" && reason.ends_with("It was rolling_back"), "{state}: {reason}");
        let sql = "SELECT COUNT(*) FROM api_keys WHERE revoked_at IS NULL";
        let living: Result<i64, sqlx::Error> = async { run!(db.db(), |c| sqlx::query_scalar(sql).fetch_one(c).await) }.await;
        assert_eq!(living.unwrap(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_refused_wherever_the_damage_is() {
    let scene = busy(Profile::Local).await;
    let (path, _) = back_up(&scene.server, Objects::Included).await;
    let good = std::fs::read(&path).unwrap();
    let bad = scene.server.folder().join("bad.tar");
    // The last two blocks only say that nothing follows, and what fills blocks up means nothing.
    let step = good.len() / 199;
    let mut refusals = 0;
    for at in (0..good.len() - 1024).step_by(step) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        std::fs::write(&bad, &bytes).unwrap();
        match Backup::open(&bad).await {
            Err(_) => refusals += 1,
            Ok(_) => assert_eq!(good[at], 0, "byte {at} was changed and nobody noticed"),
        }
    }
    assert!(refusals > 50, "{refusals}");
    for length in [0, 100, 512, good.len() / 2, good.len() - 1024] {
        std::fs::write(&bad, &good[..length]).unwrap();
        let refused = Backup::open(&bad).await.unwrap_err();
        let is_right = matches!(refused, VerifyError::Incomplete { .. } | VerifyError::NotABackup { .. });
        assert!(is_right, "{length}: {refused}");
    }
}

/// The files of all objects.
fn object_files(server: &TestServer) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![server.folder().join("blobs/t")]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[tokio::test]
async fn an_object_that_cannot_be_opened_is_named_and_the_rest_is_saved() {
    let scene = busy(Profile::Local).await;
    let file = object_files(&scene.server).swap_remove(0);
    std::fs::remove_file(&file).unwrap();
    // A link to itself: nobody can open it, whoever he is.
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let (path, manifest) = back_up(&scene.server, Objects::Included).await;
    assert_eq!(manifest.faults.len(), 1, "{:?}", manifest.faults);
    assert!(manifest.faults[0].what.contains("cannot be read"), "{:?}", manifest.faults);
    Backup::open(&path).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_object_is_named_and_the_rest_is_saved() {
    let scene = busy(Profile::Local).await;
    let files = object_files(&scene.server);
    assert_eq!(files.len(), 3);
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::write(&files[1], "damaged").unwrap();
    // What is no file opens, and cannot be read.
    std::fs::remove_file(&files[2]).unwrap();
    std::fs::create_dir(&files[2]).unwrap();
    let (path, manifest) = back_up(&scene.server, Objects::Included).await;
    assert!(manifest.faults.iter().any(|fault| fault.what.contains("cannot be read")), "{:?}", manifest.faults);
    assert_eq!(manifest.faults.len(), 3, "{:?}", manifest.faults);
    let folder = tempfile::tempdir().unwrap();
    let (backends, _db) = empty_place(Profile::Local, folder.path()).await;
    let whole = Backup::open(&path).await.unwrap();
    assert_eq!(restore(&whole, &backends).await.unwrap().faults, manifest.faults);
}
