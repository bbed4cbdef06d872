//! Backups of a running server, and what is restored from them.

use std::path::{Path, PathBuf};

use drover_app::backup::{self, Backup, Objects, RestoreError, VerifyError, restore};
use drover_app::compose::{Backends, Parts};
use drover_db::testing::TestDb;
use drover_db::{copy, tables};
use drover_testkit::{Profile, TestServer, answer, on_both_profiles};
use drover_types::{Clock as _, SystemClock};
use reqwest::Method;

use crate::scene::Scene;

/// An installation of its own with a fleet, an object and a rollout that goes on.
async fn busy(profile: Profile) -> Scene {
    let scene = Scene::new(profile, 3).await;
    let put = scene.server.admin_request(Method::PUT, "/api/v1/objects/a.bin").body("kept");
    assert_eq!(answer(put).await.status, 201);
    scene.roll_out(&[34, 100], |_| ()).await;
    scene
}

async fn back_up(server: &TestServer, objects: Objects) -> (PathBuf, backup::Manifest) {
    let path = server.folder().join("backup.tar");
    let file = tokio::fs::File::create(&path).await.unwrap();
    let parts = Parts::open(server.backends()).await.unwrap();
    let manifest = backup::write(&parts, file, objects, SystemClock.now(), &mut |_| ()).await.unwrap();
    parts.close().await;
    (path, manifest)
}

/// An empty place for an installation on these back-ends.
async fn empty_place(profile: Profile, folder: &Path) -> (Backends, TestDb) {
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
            let restored = restore(&whole, &backends, SystemClock.now(), &mut |_| ()).await.unwrap();
            assert_eq!((restored.paused_rollouts, restored.ended_logins), (1, 1));
            let mut tx = db.db().snapshot().await.unwrap();
            for table in tables(&mut tx).await.unwrap() {
                let sum = copy::sum(&mut tx, &table).await.unwrap();
                if table.name == "changes" {
                    assert_eq!(sum.rows, 0, "the numbers of another database mean nothing here");
                    continue;
                }
                let entry = manifest.tables.iter().find(|entry| entry.name == table.name).unwrap();
                assert_eq!(sum.rows, entry.rows, "{}", table.name);
                let is_settled = ["rollouts", "logins", "leases"].contains(&table.name.as_str());
                assert_eq!(sum.sha256 == entry.sha256, !is_settled, "{}", table.name);
            }
        }
    }

    async fn what_is_there_is_never_overwritten(profile: Profile) {
        let scene = busy(profile).await;
        let (path, _) = back_up(&scene.server, Objects::Included).await;
        let whole = Backup::open(&path).await.unwrap();
        let now = SystemClock.now();
        let folder = tempfile::tempdir().unwrap();
        let (mut backends, _db) = empty_place(profile, folder.path()).await;
        std::fs::create_dir(&backends.data_dir).unwrap();
        std::fs::write(backends.data_dir.join("something"), "").unwrap();
        let refused = restore(&whole, &backends, now, &mut |_| ()).await.unwrap_err();
        assert!(matches!(&refused, RestoreError::NotEmpty { found, .. } if found.contains("something")), "{refused}");
        backends.data_dir = folder.path().join("other");
        backends.database.clone_from(&scene.server.backends().database);
        let refused = restore(&whole, &backends, now, &mut |_| ()).await.unwrap_err();
        assert!(matches!(&refused, RestoreError::NotEmpty { found, .. } if found.contains("default")), "{refused}");
        assert!(scene.admin.whoami().await.is_ok());
    }

    async fn objects_that_are_only_named_must_be_there(profile: Profile) {
        let scene = busy(profile).await;
        let (path, manifest) = back_up(&scene.server, Objects::Named).await;
        let whole = Backup::open(&path).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (mut backends, _db) = empty_place(profile, folder.path()).await;
        let refused = restore(&whole, &backends, SystemClock.now(), &mut |_| ()).await.unwrap_err();
        assert!(matches!(refused, RestoreError::ObjectsMissing { missing: 3, all: 3, .. }), "{refused}");
        assert_eq!(manifest.objects.len(), 3);
        backends.blobs.clone_from(&scene.server.backends().blobs);
        backends.data_dir = folder.path().join("other");
        restore(&whole, &backends, SystemClock.now(), &mut |_| ()).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_object_is_named_and_the_rest_is_saved() {
    let scene = busy(Profile::Local).await;
    let folder = scene.server.folder().join("blobs/t");
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert_eq!(files.len(), 3);
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::write(&files[1], "damaged").unwrap();
    let (path, manifest) = back_up(&scene.server, Objects::Included).await;
    assert_eq!(manifest.faults.len(), 2, "{:?}", manifest.faults);
    let folder = tempfile::tempdir().unwrap();
    let (backends, _db) = empty_place(Profile::Local, folder.path()).await;
    let whole = Backup::open(&path).await.unwrap();
    restore(&whole, &backends, SystemClock.now(), &mut |_| ()).await.unwrap();
}
