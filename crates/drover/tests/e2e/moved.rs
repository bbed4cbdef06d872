//! An installation that goes on elsewhere.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::{Agent, HARDWARE_ID};
use crate::operator::Operator;
use crate::server::{Moving, Profile, Server, drover};
use crate::story::{GOOD, content};
use crate::wait::until;

/// A backup is taken from a running server in the middle of a rollout, and restored under another name: the device goes
/// on there with its old token, the rollout waits for a person, and further ones run.
pub(crate) async fn restored_elsewhere(profile: Profile) {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(profile, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let mut agent = Agent::start(folder.path(), &server);
    operator.publish(&content(folder.path(), "1.0.0", 4_000_000, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    operator.wait_for_rollout("1.0.0", "completed").await;
    agent.kill();
    operator.publish(&content(folder.path(), "1.1.0", 64, 1, GOOD), "1.1.0", "2");
    operator.roll_out("1.1.0");
    operator.wait_for_rollout("1.1.0", "active").await;

    let file = folder.path().join("fleet.tar");
    let saved = server.back_up(&file);
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let mode = std::fs::metadata(&file).expect("the backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it has secrets");
    assert!(!server.back_up(&file).status.success(), "a backup is never overwritten");
    let old_url = server.url.clone();
    let server = server.restore_elsewhere(profile, &file).await;
    assert_ne!(server.url, old_url);

    let refused = drover(folder.path()).args(["device", "list", "--server", &server.url]).output();
    assert_eq!(refused.expect("drover starts").status.code(), Some(4), "old sessions ended");
    Operator::enter(folder.path(), &server);
    let stopped: Value = operator.json(&["rollout", "show", "1.1.0"]);
    assert_eq!(stopped["status"], "paused", "{stopped}");
    assert!(stopped["reason"].as_str().is_some_and(|reason| reason.contains("restored from the backup")), "{stopped}");

    agent.point_to(&old_url, &server.url);
    agent.run();
    operator.run(&["rollout", "resume", "1.1.0"]);
    operator.wait_for_rollout("1.1.0", "completed").await;
    operator.publish(&content(folder.path(), "1.2.0", 64, 1, GOOD), "1.2.0", "3");
    operator.roll_out("1.2.0");
    operator.wait_for_rollout("1.2.0", "completed").await;
    assert_eq!(agent.running("version").as_deref(), Some(&b"1.2.0"[..]));
    assert_eq!(operator.version_of(HARDWARE_ID), "1.2.0");
}

/// From SQLite and a folder to PostgreSQL and S3: not while a server works on it, and then with everything. The device
/// goes on with its old token and with the authority that it pinned, people with their sessions. Nobody goes on where it
/// was.
pub(crate) async fn moved_to_cluster() {
    let folder = TempDir::new().expect("a temporary folder");
    let own_authority = ["--tls", "on"];
    let mut server = Server::start_with(Profile::Local, folder.path(), "127.0.0.1:0", &own_authority).await;
    let pin = server.pin.clone();
    let operator = Operator::log_in(folder.path(), &server);
    let mut agent = Agent::start(folder.path(), &server);
    operator.publish(&content(folder.path(), "1.0.0", 64, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    operator.wait_for_rollout("1.0.0", "completed").await;
    operator.publish(&content(folder.path(), "1.1.0", 64, 1, GOOD), "1.1.0", "2");
    agent.kill();

    let target = Moving::new(folder.path(), &own_authority).await;
    let refused = server.copy_to(&target);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && text.contains("stop every server"), "{text}");
    server.kill();
    // What was killed is forgotten after some seconds.
    until("the copy", async || server.copy_to(&target).status.success().then_some(())).await;
    let again = server.copy_to(&target);
    let text = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(!again.status.success() && text.contains("already"), "{text}");
    let left = server.try_start();
    let text = String::from_utf8_lossy(&left.stderr).into_owned();
    assert!(!left.status.success() && text.contains("was moved to postgres"), "{text}");

    let old_url = server.url.clone();
    let server = server.go_on_at(target).await;
    assert!(pin.is_some() && server.pin == pin, "{pin:?} {:?}", server.pin);
    Operator::enter(folder.path(), &server);
    agent.point_to(&old_url, &server.url);
    agent.run();
    operator.roll_out("1.1.0");
    operator.wait_for_rollout("1.1.0", "completed").await;
    assert_eq!(agent.running("version").as_deref(), Some(&b"1.1.0"[..]));
}
