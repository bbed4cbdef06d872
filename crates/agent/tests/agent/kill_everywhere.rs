//! The agent is killed before and after every effect of an update, and started again.
//!
//! The test starts itself again as a child process that runs the agent and sends itself SIGKILL at the n-th look of
//! the observer, for n from 1 until a child gets through.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drover_agent::{Effect, EffectObserver};
use drover_protocol::ValidationOutcome;
use drover_trust::PrivateKey;
use rustix::process::{Signal, getpid, kill_process};

use crate::support::{Device, Firmware, Server, config, device_with_one, firmware, new_key, open, settle, version};

const KILL_AT: &str = "DROVER_TEST_KILL_AT";
const DATA_DIR: &str = "DROVER_TEST_DATA_DIR";
const SERVER: &str = "DROVER_TEST_SERVER";
/// No update has more effects to look at.
const MAX_LOOKS: u64 = 500;

struct Killer {
    at: u64,
    seen: AtomicU64,
}

impl Killer {
    fn look(&self) {
        if self.seen.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
        }
    }
}

impl EffectObserver for Killer {
    fn before(&self, _: Effect) {
        self.look();
    }
    fn after(&self, _: Effect) {
        self.look();
    }
}

/// The child. Without its environment it is nothing to run.
#[tokio::test]
async fn child() {
    let Ok(at) = std::env::var(KILL_AT) else { return };
    let data_dir = std::env::var(DATA_DIR).expect("given by the parent");
    let server = std::env::var(SERVER).expect("given by the parent");
    let killer = Killer { at: at.parse().expect("a number"), seen: AtomicU64::new(0) };
    settle(&mut open(config(Path::new(&data_dir), &server), Arc::new(killer))).await;
}

/// Runs the child; true when it got through.
async fn gets_through(device: &Device, server: &Server, kill_at: u64) -> bool {
    let this_test = std::env::current_exe().expect("a test is a program");
    let status = tokio::process::Command::new(this_test)
        .args(["--exact", "kill_everywhere::child"])
        .env(KILL_AT, kill_at.to_string())
        .env(DATA_DIR, device.data_dir())
        .env(SERVER, &server.address)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await
        .expect("started");
    assert!(status.success() || status.signal() == Some(9), "the child failed by itself: {status}");
    status.success()
}

fn copy_of(device: &Device) -> Device {
    let copy = Device::new();
    let copied = std::process::Command::new("cp").arg("-a").arg(device.data_dir()).arg(copy.data_dir()).status();
    assert!(copied.expect("cp runs").success());
    copy
}

/// What has to hold at the end.
struct Expected {
    app: Option<&'static str>,
    slots: usize,
    outcome: ValidationOutcome,
    version: Option<&'static str>,
    /// What was activated, each as often as it takes: what was refuted never comes back.
    activated: &'static [&'static str],
}

/// Kills the agent at every look while it installs `offered` on a copy of `base`.
async fn kill_at_every_look(base: Option<&Device>, key: &PrivateKey, offered: &Firmware, expected: &Expected) {
    for kill_at in 1..MAX_LOOKS {
        let server = Server::start().await;
        server.facts().release_keys = vec![key.public_key().to_pem()];
        server.offer(offered, 2);
        let device = base.map_or_else(Device::new, copy_of);
        let before = device.app();
        let is_through = gets_through(&device, &server, kill_at).await;
        let after_kill = device.app();
        assert!(
            after_kill == before || after_kill.as_deref() == Some("two") || after_kill.as_deref() == Some("bad"),
            "killed at look {kill_at}: {after_kill:?}"
        );
        assert!(before.is_none() || after_kill.is_some(), "killed at look {kill_at}: CURRENT is missing");
        settle(&mut device.agent(&server.address)).await;
        assert_eq!(device.app().as_deref(), expected.app, "killed at look {kill_at}");
        device.assert_clean(expected.slots);
        let mut activated = device.activated();
        assert!(activated.len() <= expected.activated.len() + 1, "killed at look {kill_at}: {activated:?}");
        activated.dedup();
        assert_eq!(activated, expected.activated, "killed at look {kill_at}");
        let validations = std::mem::take(&mut server.facts().validations);
        assert!(!validations.is_empty(), "killed at look {kill_at}: the outcome is not reported");
        for report in validations {
            assert_eq!(report.outcome, expected.outcome, "killed at look {kill_at}");
            assert_eq!(report.version, expected.version.map(version), "killed at look {kill_at}");
        }
        if is_through {
            assert!(kill_at > 30, "an update has more than {kill_at} looks");
            return;
        }
    }
    panic!("an update has more than {MAX_LOOKS} looks");
}

#[tokio::test]
async fn a_first_installation_survives_a_kill_anywhere() {
    let key = new_key();
    let offered = firmware(&key, "2.0.0", 2, "two");
    let expected = Expected {
        app: Some("two"),
        slots: 1,
        outcome: ValidationOutcome::Succeeded,
        version: Some("2.0.0"),
        activated: &["2.0.0"],
    };
    kill_at_every_look(None, &key, &offered, &expected).await;
}

#[tokio::test]
async fn an_update_survives_a_kill_anywhere() {
    let key = new_key();
    let base = device_with_one(&Server::start().await, &key).await;
    let offered = firmware(&key, "2.0.0", 2, "two");
    let expected = Expected {
        app: Some("two"),
        slots: 2,
        outcome: ValidationOutcome::Succeeded,
        version: Some("2.0.0"),
        activated: &["2.0.0"],
    };
    kill_at_every_look(Some(&base), &key, &offered, &expected).await;
}

#[tokio::test]
async fn a_bad_update_goes_back_whenever_it_is_killed() {
    let key = new_key();
    let base = device_with_one(&Server::start().await, &key).await;
    let offered = firmware(&key, "2.0.0", 2, "bad");
    let expected = Expected {
        app: Some("one"),
        slots: 1,
        outcome: ValidationOutcome::RolledBack,
        version: Some("1.0.0"),
        activated: &["2.0.0", "1.0.0"],
    };
    kill_at_every_look(Some(&base), &key, &offered, &expected).await;
}

#[tokio::test]
async fn a_bad_first_installation_leaves_nothing_whenever_it_is_killed() {
    let key = new_key();
    let offered = firmware(&key, "2.0.0", 2, "bad");
    let expected =
        Expected { app: None, slots: 0, outcome: ValidationOutcome::RolledBack, version: None, activated: &["2.0.0"] };
    kill_at_every_look(None, &key, &offered, &expected).await;
}
