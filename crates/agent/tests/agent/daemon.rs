//! The program itself: its commands, its messages and its end.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Device, PATIENCE, Server, device_with_one, firmware, new_key};

fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drover-agent"));
    command.env_remove("DROVER_ENROLMENT_TOKEN").env_remove("RUST_LOG");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes a configuration file and gives its path.
fn configure(device: &Device, server: &str, more: &str) -> String {
    let path = device.folder.path().join("agent.toml");
    let data_dir = device.data_dir().display().to_string();
    let text =
        format!("server = {server:?}\ndata_dir = {data_dir:?}\nhardware_id = 'SN-1'\ndevice_type = 'robot'\n{more}");
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

#[test]
fn the_example_configuration_is_fine() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/agent.example.toml");
    let output = agent().args(["check-config", "--config", example]).output().expect("runs");
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn mistakes_are_told_with_what_to_do() {
    let device = Device::new();
    for (server, more, expected) in [
        ("http://fleet.example.com", "", "plain HTTP is for loopback only"),
        ("https://fleet.example.com", "sevrer = 1", "unknown field `sevrer`"),
        ("https://fleet.example.com", "enrolment_token_file = '/nowhere'", "/nowhere"),
        ("https://fleet.example.com", "", "give --token"),
    ] {
        let config = configure(&device, server, more);
        let output = agent().args(["enrol", "--config", &config]).output().expect("runs");
        assert!(!output.status.success() && text(&output).contains(expected), "{}", text(&output));
    }
    let output = agent().args(["run", "--config", "/nowhere.toml"]).output().expect("runs");
    assert!(text(&output).contains("failed to read /nowhere.toml"), "{}", text(&output));
}

#[tokio::test]
async fn it_enrols_updates_shows_it_and_ends_when_told() {
    let (server, key) = (Server::start().await, new_key());
    server.facts().release_keys = vec![key.public_key().to_pem()];
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 1);
    let device = Device::new();
    let config = configure(&device, &server.address, "");
    let run = |arguments: &'static [&'static str]| {
        let mut command = agent();
        command.args(arguments).args(["--config", &config]);
        tokio::task::spawn_blocking(move || command.output().expect("runs"))
    };
    let output = run(&["enrol", "--token", "canary-enrolment"]).await.expect("ran");
    assert!(output.status.success(), "{}", text(&output));
    let mut daemon = agent();
    daemon.args(["run", "--config", &config]).env("RUST_LOG", "debug").stderr(Stdio::piped());
    let daemon = daemon.spawn().expect("started");
    let started = Instant::now();
    while device.app().is_none() || server.facts().validations.is_empty() {
        assert!(started.elapsed() < PATIENCE, "nothing was installed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = text(&run(&["status"]).await.expect("ran"));
    assert!(status.contains("main: runs 1.0.0") && status.contains("key        ecdsa_p256"), "{status}");
    let pid = Pid::from_raw(i32::try_from(daemon.id()).expect("a pid")).expect("not 0");
    kill_process(pid, Signal::TERM).expect("it runs");
    let output = tokio::task::spawn_blocking(move || daemon.wait_with_output()).await.expect("ran").expect("ended");
    assert!(output.status.success(), "{}", text(&output));
    let log = text(&output);
    assert!(log.contains("the agent stops"), "{log}");
    assert!(!log.contains("canary-enrolment") && !log.contains("device-token"), "a token is in the log: {log}");
    let mode =
        std::os::unix::fs::MetadataExt::mode(&device.data_dir().join("identity.json").metadata().expect("there"));
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn killed_in_mid_download_it_goes_on_where_it_was() {
    let (server, key) = (Server::start().await, new_key());
    server.facts().release_keys = vec![key.public_key().to_pem()];
    let letter = |n: u32| char::from(b'a' + n.wrapping_mul(2_654_435_761).to_be_bytes()[1] % 26);
    let noise: String = (0..900_000_u32).map(letter).collect();
    let offered = firmware(&key, "1.0.0", 1, &noise);
    let artifact = offered.manifest.artifacts[0].sha256;
    server.offer(&offered, 1);
    let device = Device::new();
    let start = |more: &str| {
        let config = configure(&device, &server.address, &format!("enrolment_token = 'x'\n{more}"));
        agent().args(["run", "--config", &config]).stderr(Stdio::null()).spawn().expect("started")
    };
    let mut slow = start("throttle_bytes_per_s = 1000");
    let part = device.data_dir().join(format!("downloads/main/{artifact}.part"));
    let size_of = |path: &std::path::Path| path.metadata().map_or(0, |metadata| metadata.len());
    let started = Instant::now();
    while size_of(&part) == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing was downloaded");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    slow.kill().expect("it runs");
    slow.wait().expect("it ended");
    let kept = usize::try_from(size_of(&part)).expect("small");
    assert!(device.app().is_none() && kept > 0);
    let mut fast = start("");
    while device.app().is_none() || server.facts().validations.is_empty() {
        assert!(started.elapsed() < PATIENCE, "nothing was installed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fast.kill().expect("it runs");
    fast.wait().expect("it ended");
    assert_eq!(server.facts().last_start, Some(kept));
    assert_eq!(device.app(), Some(noise));
}

#[tokio::test]
async fn an_enrolled_device_needs_its_token_no_more() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let config = configure(&device, &server.address, "enrolment_token_file = '/nowhere'");
    let checks = server.facts().checks;
    let mut daemon = agent().args(["run", "--config", &config]).stderr(Stdio::null()).spawn().expect("started");
    let started = Instant::now();
    while server.facts().checks == checks {
        assert!(started.elapsed() < PATIENCE && daemon.try_wait().expect("asked").is_none(), "it does not run");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    daemon.kill().expect("it runs");
    daemon.wait().expect("it ended");
}
