//! The stories.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::agent::{Agent, HARDWARE_ID};
use crate::operator::Operator;
use crate::server::{Profile, Server, drover};
use crate::wait::until;

pub(crate) const GOOD: &str = "test -s image.bin\n";

/// A release: some megabytes that do not compress, many small files so that unpacking takes its time, a self-test.
pub(crate) fn content(
    folder: &Path,
    version: &str,
    image_bytes: usize,
    small_files: usize,
    self_test: &str,
) -> PathBuf {
    let content = folder.join(format!("content-{version}"));
    std::fs::create_dir_all(content.join("many")).expect("a folder");
    let mut state = u64::try_from(image_bytes).expect("small");
    let image: Vec<u8> = (0..image_bytes / 8)
        .flat_map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()
        })
        .collect();
    std::fs::write(content.join("image.bin"), image).expect("written");
    std::fs::write(content.join("version"), version).expect("written");
    std::fs::write(content.join("self-test"), self_test).expect("written");
    for number in 0..small_files {
        std::fs::write(content.join("many").join(number.to_string()), version).expect("written");
    }
    content
}

/// An agent is killed in mid-download and in mid-install, restarted each time, and finishes.
pub(crate) async fn killed_twice(profile: Profile) {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(profile, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let mut agent = Agent::start(folder.path(), &server);

    operator.publish(&content(folder.path(), "1.0.0", 64, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    operator.wait_for_rollout("1.0.0", "completed").await;

    let newer = content(folder.path(), "1.1.0", 24_000_000, 6_000, GOOD);
    operator.publish(&newer, "1.1.0", "2");
    operator.roll_out("1.1.0");
    until("some of the download", async || (agent.downloaded_bytes() > 4_000_000).then_some(())).await;
    agent.kill();
    let before = agent.downloaded_bytes();
    assert!(before > 4_000_000 && before < 24_000_000, "killed in mid-download, at {before} bytes");
    assert_eq!(agent.running("version").as_deref(), Some(&b"1.0.0"[..]));

    agent.run();
    until("a slot to be filled", async || agent.is_unpacking().then_some(())).await;
    agent.kill();
    assert!(agent.is_unpacking(), "killed in mid-install");
    assert_eq!(agent.running("version").as_deref(), Some(&b"1.0.0"[..]));

    agent.run();
    operator.wait_for_rollout("1.1.0", "completed").await;
    assert_eq!(operator.session("1.1.0")["state"], "succeeded");
    assert_eq!(operator.version_of(HARDWARE_ID), "1.1.0");
    let wanted = std::fs::read(newer.join("image.bin")).expect("the original");
    assert!(agent.running("image.bin") == Some(wanted), "the right bytes run");
    until("everything tidied up", async || agent.leftovers().is_empty().then_some(())).await;
}

/// The self-test of a release fails: the agent goes back by itself while the server is killed and restarted, and the
/// report arrives all the same.
pub(crate) async fn bad_release_and_killed_server(profile: Profile) {
    let folder = TempDir::new().expect("a temporary folder");
    let mut server = Server::start(profile, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let agent = Agent::start(folder.path(), &server);
    operator.publish(&content(folder.path(), "1.0.0", 64, 1, GOOD), "1.0.0", "1");
    until("the device to register", async || operator.run(&["device", "list"]).contains(HARDWARE_ID).then_some(()))
        .await;
    operator.roll_out("1.0.0");
    operator.wait_for_rollout("1.0.0", "completed").await;

    // The self-test says when it has begun and then waits to be told, so that the server dies in between.
    let waits = "touch \"$DROVER_DEVICE_DIR/testing\"\n\
        while ! test -e \"$DROVER_DEVICE_DIR/go-on\"; do sleep 0.05; done\necho 'out of range' >&2\nexit 1\n";
    operator.publish(&content(folder.path(), "1.1.0", 64, 1, waits), "1.1.0", "2");
    operator.roll_out("1.1.0");
    let device = folder.path().join("device");
    until("the self-test to begin", async || device.join("testing").exists().then_some(())).await;
    server.kill_and_restart().await;
    std::fs::write(device.join("go-on"), "").expect("written");

    operator.wait_for_rollout("1.1.0", "paused").await;
    let session = operator.session("1.1.0");
    assert_eq!((&session["state"], &session["failure_class"]), (&"rolled_back".into(), &"self_test".into()));
    assert!(session["error_message"].as_str().is_some_and(|text| text.contains("out of range")), "{session}");
    assert_eq!(agent.running("version").as_deref(), Some(&b"1.0.0"[..]));
    assert_eq!(operator.version_of(HARDWARE_ID), "1.0.0");
}

/// The command of source 000, with only the port changed.
pub(crate) async fn presign_with_curl() {
    let folder = TempDir::new().expect("a temporary folder");
    let server = Server::start(Profile::Local, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let hello = folder.path().join("hello.bin");
    std::fs::write(&hello, "Hello").expect("written");
    operator.run(&["object", "put", "firmware/v1/hello.bin", &hello.display().to_string()]);

    let command = format!(
        "curl -sS -X POST {}/v1/presign \
         -H \"Authorization: Bearer dev-local-key\" \
         -H \"Content-Type: application/json\" \
         -d '{{\"object_key\":\"firmware/v1/hello.bin\"}}'",
        server.url
    );
    let output = Command::new("sh").args(["-c", &command]).output().expect("curl runs");
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let url = reply["url"].as_str().expect("an address");
    let bytes = Command::new("curl").args(["-sS", "--fail", url]).output().expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&bytes.stdout), "Hello");
}

/// Each refusal names what would be accepted.
pub(crate) fn refused_mixes() {
    let folder = TempDir::new().expect("a temporary folder");
    for (database, blobs) in [("postgres://localhost/x", "file:/tmp/x"), ("sqlite:x.db", "s3://bucket")] {
        let output = drover(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--database", database, "--blobs", blobs, "--data"])
            .arg(folder.path())
            .output()
            .expect("drover starts");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("sqlite: with file:"), "{text}");
    }
    let output = drover(folder.path())
        .args(["serve", "--listen", "0.0.0.0:0", "--tls", "off", "--data"])
        .arg(folder.path())
        .output();
    let text = String::from_utf8_lossy(&output.expect("drover starts").stderr).into_owned();
    assert!(text.contains("plain HTTP is for loopback only"), "{text}");
}

/// Whoever holds the data folder gets in again; the old password and its sessions do not.
pub(crate) async fn password_reset() {
    let folder = TempDir::new().expect("a temporary folder");
    let mut server = Server::start(Profile::Local, folder.path()).await;
    let operator = Operator::log_in(folder.path(), &server);
    let text = operator.run(&["reset-password", "--data", &folder.path().join("data").display().to_string()]);
    let password = text.lines().find_map(|line| line.strip_prefix("password  ")).expect("a password");
    let refused = drover(folder.path()).args(["device", "list"]).output().expect("drover starts");
    assert_eq!(refused.status.code(), Some(4), "the old session ended");
    password.clone_into(&mut server.password);
    Operator::enter(folder.path(), &server);
    operator.run(&["device", "list"]);
}
