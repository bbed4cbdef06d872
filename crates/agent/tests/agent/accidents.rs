//! Full disks, things that cannot be removed, servers out of breath: none of it keeps a device from its way back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use drover_agent::{AgentError, Effect, EffectObserver, NoObserver};
use drover_protocol::ValidationOutcome;
use drover_trust::testing::TestAuthority;
use drover_types::{Clock as _, FailureClass, SessionState, SystemClock};
use tar::EntryType;
use tokio_util::sync::CancellationToken;

use crate::attacks::{archive, assert_is, last_report};
use crate::support::{
    Device, PATIENCE, Server, SmallDisk, device_with_one, firmware, firmware_of, install_one, new_key, open, settle,
    sh, version,
};

/// Fills the disk once, before an effect that comes after `CURRENT` moved or at once.
struct Filler {
    path: PathBuf,
    at: Effect,
    only_after_the_switch: bool,
    is_armed: AtomicBool,
}

impl Filler {
    fn new(disk: &SmallDisk, at: Effect, only_after_the_switch: bool) -> Arc<Self> {
        let is_armed = AtomicBool::new(!only_after_the_switch);
        Arc::new(Self { path: disk.path().join("filler"), at, only_after_the_switch, is_armed })
    }
}

fn fill(path: &Path) {
    let error = std::fs::write(path, vec![1; 64 << 20]).expect_err("the disk is small");
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}

impl EffectObserver for Filler {
    fn before(&self, effect: Effect) {
        if effect == self.at && self.is_armed.swap(false, Ordering::SeqCst) {
            fill(&self.path);
        }
    }
    fn after(&self, effect: Effect) {
        if effect == Effect::PointCurrent && self.only_after_the_switch {
            self.is_armed.store(true, Ordering::SeqCst);
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_is_not_fetched() {
    let key = new_key();
    let noise: Vec<u8> = (0..2_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let big_download = firmware_of(&key, "2.0.0", 2, &noise, |_| {});
    let zeros = vec![0; 3_000_000];
    let big_content = archive(&[(EntryType::Regular, "app", &zeros)]);
    let big_content =
        firmware_of(&key, "2.0.0", 2, &big_content, |manifest| manifest.artifacts[0].unpacked_bytes = 4_000_000);
    for offered in [big_download, big_content] {
        let disk = SmallDisk::mount("2m");
        let server = Server::start().await;
        let device = install_one(&server, &key, Device::inside(disk.path())).await;
        let requests = server.facts().blob_requests;
        server.offer(&offered, 2);
        settle(&mut device.agent(&server.address)).await;
        let report = last_report(&server);
        let refusal = (report.state, report.failure.expect("a reason"));
        assert_is(&refusal, SessionState::Failed, FailureClass::Space, "no_space", "are free");
        assert_eq!(device.app().as_deref(), Some("one"));
        assert_eq!(server.facts().blob_requests, requests);
        device.assert_clean(1);
        drop(device);
    }
}

#[tokio::test]
async fn a_disk_that_fills_while_it_downloads_or_unpacks() {
    let key = new_key();
    let noise: Vec<u8> = (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let offered = firmware_of(&key, "2.0.0", 2, &archive(&[(EntryType::Regular, "app", &noise)]), |_| {});
    for at in [Effect::Download, Effect::Unpack] {
        let disk = SmallDisk::mount("3m");
        let server = Server::start().await;
        let device = install_one(&server, &key, Device::inside(disk.path())).await;
        server.offer(&offered, 2);
        settle(&mut open(device.config(&server.address), Filler::new(&disk, at, false))).await;
        let report = last_report(&server);
        let refusal = (report.state, report.failure.expect("a reason"));
        assert_is(&refusal, SessionState::Failed, FailureClass::Space, "no_space", "no space left");
        assert_eq!(device.app().as_deref(), Some("one"));
        device.assert_clean(1);
        drop(device);
    }
}

#[tokio::test]
async fn a_disk_that_the_new_version_fills_does_not_stop_the_way_back() {
    let key = new_key();
    let disk = SmallDisk::mount("2m");
    let server = Server::start().await;
    let device = install_one(&server, &key, Device::inside(disk.path())).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let ballast = device.data_dir().join(".ballast");
    assert_eq!(ballast.metadata().expect("it is kept").len(), 256 * 1024);
    let filler = disk.path().join("filler");
    let script = format!("cat /dev/zero > {}; echo full; exit 1", filler.display());
    let mut agent = device.agent_with(&server.address, |main| main.self_test = sh(&script));
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0"]);
    assert!(!ballast.exists());
    let report = server.facts().validations.pop().expect("reported");
    assert_eq!(report.outcome, ValidationOutcome::RolledBack);
    assert_eq!(report.failure.expect("a reason").code, "self_test_failed");
    std::fs::remove_file(filler).expect("removed");
    agent.tick().await.expect("a round");
    assert_eq!(ballast.metadata().expect("it is back").len(), 256 * 1024);
    device.assert_clean(1);
    drop((agent, device));
}

#[tokio::test]
async fn a_trial_needs_no_space_for_its_progress() {
    let key = new_key();
    let disk = SmallDisk::mount("2m");
    let server = Server::start().await;
    let device = install_one(&server, &key, Device::inside(disk.path())).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    settle(&mut open(device.config(&server.address), Filler::new(&disk, Effect::QueueReport, true))).await;
    assert_eq!(device.app().as_deref(), Some("two"));
    assert_eq!(device.activated(), ["1.0.0", "2.0.0"]);
    assert_eq!(server.facts().validations[0].outcome, ValidationOutcome::Succeeded);
    assert!(server.facts().statuses.iter().all(|report| report.state != SessionState::Validating));
    drop(device);
}

#[tokio::test]
async fn what_cannot_be_removed_does_not_silence_the_device() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let stuck = device.data_dir().join("downloads/main/stuck");
    let mount = SmallDisk::mount_over(&stuck);
    let mut agent = device.agent(&server.address);
    let checks = server.facts().checks;
    agent.tick().await.expect("litter is no trouble");
    assert!(server.facts().checks > checks && server.facts().heartbeats.len() == 1);
    for (session, text) in [(2, "2.0.0"), (3, "3.0.0")] {
        server.offer(&firmware(&key, text, 2, text), session);
        settle(&mut agent).await;
        assert_eq!(device.app().as_deref(), Some(text));
    }
    assert_eq!(server.facts().validations.len(), 2);
    assert!(stuck.is_dir());
    drop(mount);
    drop(agent);
    // With the next start it is tried again.
    settle(&mut device.agent(&server.address)).await;
    device.assert_clean(2);
}

#[tokio::test]
async fn trouble_with_one_component_leaves_the_others_at_work() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let mut config = device.config(&server.address);
    let main = config.components.values().next().expect("main").clone();
    config.components.insert("arm".parse().expect("a name"), main);
    let mut agent = open(config, Arc::new(NoObserver));
    let slots = device.data_dir().join("components/arm/slots");
    std::fs::remove_dir(&slots).expect("empty");
    std::fs::write(&slots, "no folder").expect("written");
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let rounds = async {
        while server.facts().validations.is_empty() {
            assert!(matches!(agent.tick().await, Err(AgentError::Io { .. })), "the arm is in trouble");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("main is updated");
    assert_eq!(device.app().as_deref(), Some("two"));
    assert!(!server.facts().heartbeats.is_empty());
}

#[tokio::test]
async fn a_server_that_is_out_of_breath_is_waited_for() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let mut config = device.config(&server.address);
    config.download_give_up_ms = 600_000;
    let mut agent = open(config, Arc::new(NoObserver));
    server.facts().blob_status = Some(StatusCode::SERVICE_UNAVAILABLE);
    // More tries than were once enough to give up.
    for _ in 0..12 {
        agent.tick().await.expect("it waits");
    }
    server.facts().blob_status = None;
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_download_that_brings_nothing_ends() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    server.facts().blob_status = Some(StatusCode::SERVICE_UNAVAILABLE);
    let started = SystemClock.now();
    settle(&mut device.agent(&server.address)).await;
    assert!(SystemClock.now().since(started) >= Duration::from_secs(1));
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    assert_is(&refusal, SessionState::Failed, FailureClass::Download, "unavailable", "503");
}

#[tokio::test]
async fn an_address_whose_certificate_is_refused_is_not_taken_for_being_offline() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let elsewhere = TestAuthority::default().serve(|_, _| Vec::new());
    server.facts().offer.as_mut().expect("an offer").artifacts[0].url = format!("{elsewhere}/blob?signature=secret");
    settle(&mut device.agent(&server.address)).await;
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    assert_is(&refusal, SessionState::Failed, FailureClass::Download, "untrusted_address", &elsewhere);
    assert!(!refusal.1.message.contains("secret"), "{}", refusal.1.message);
    assert_eq!(device.app().as_deref(), Some("one"));
}

/// A network with a login page: it shows its own certificate for every address, that of the server too.
#[tokio::test]
async fn a_certificate_that_is_refused_while_the_server_is_away_is_waited_out() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let page = TestAuthority::default().serve(|_, _| Vec::new());
    server.facts().offer.as_mut().expect("an offer").artifacts[0].url = format!("{page}/blob");
    server.facts().report_status = Some(StatusCode::SERVICE_UNAVAILABLE);
    let config = device.config(&server.address);
    let give_up = Duration::from_millis(config.download_give_up_ms);
    let mut agent = open(config, Arc::new(NoObserver));
    let (state, started) = (agent.subscribe(), tokio::time::Instant::now());
    while started.elapsed() < give_up * 3 / 2 {
        let wait = agent.tick().await.expect("it waits");
        tokio::time::sleep(wait).await;
    }
    assert!(state.borrow().components.values().any(|component| component.update.is_some()), "it did not give up");
    server.facts().report_status = None;
    settle(&mut agent).await;
    let report = last_report(&server);
    let refusal = (report.state, report.failure.expect("a reason"));
    assert_is(&refusal, SessionState::Failed, FailureClass::Download, "untrusted_address", &page);
}

#[tokio::test]
async fn a_server_that_answers_has_the_last_word_before_the_switch() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
        server.facts().report_status = Some(status);
        let mut agent = device.agent(&server.address);
        for _ in 0..5 {
            agent.tick().await.expect("it waits");
        }
        assert_eq!(device.app().as_deref(), Some("one"));
        server.facts().report_status = None;
        settle(&mut agent).await;
        assert_eq!(device.app().as_deref(), Some("two"));
    }
}

#[tokio::test]
async fn told_to_stop_in_every_trial_it_goes_back() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    for _ in 0..drover_agent::next::MAX_STOPS {
        let mut agent = device.agent_with(&server.address, |main| main.self_test = sh("exec sleep 100"));
        let mut state = agent.subscribe();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let running = tokio::spawn(async move { agent.run(cancel).await });
        let is_testing = |state: &drover_agent::AgentState| {
            let mut updates = state.components.values().filter_map(|component| component.update.as_ref());
            updates.any(|update| update.state == SessionState::Validating)
        };
        tokio::time::timeout(PATIENCE, state.wait_for(is_testing)).await.expect("in time").expect("it runs");
        stop.cancel();
        tokio::time::timeout(PATIENCE, running).await.expect("it stops").expect("it did not panic");
    }
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    let report = server.facts().validations.pop().expect("reported");
    assert_eq!(report.failure.expect("a reason").code, "interrupted");
    assert_eq!(report.version, Some(version("1.0.0")));
}

#[tokio::test]
async fn what_comes_back_without_a_journal_is_activated() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let mut agent = device.agent_with(&server.address, |main| main.self_test = sh("exec sleep 100"));
    let running = tokio::spawn(async move { agent.tick().await.map(drop) });
    let waiting = async {
        while device.activated().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it tries");
    running.abort();
    running.await.expect_err("it was cut off");
    server.facts().offer = None;
    std::fs::remove_file(device.main().join("journal.json")).expect("it was there");
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0"]);
    device.assert_clean(1);
}

#[tokio::test]
async fn a_damaged_slot_that_is_offered_again_does_not_become_its_own_way_back() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    std::fs::remove_file(device.main().join("CURRENT/release.json")).expect("it was there");
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 2);
    settle(&mut device.agent_with(&server.address, |main| main.self_test = sh("exit 1"))).await;
    assert_eq!(device.app(), None);
    let report = server.facts().validations.pop().expect("reported");
    assert_eq!((report.outcome, report.version), (ValidationOutcome::RolledBack, None));
}

#[tokio::test]
async fn what_is_damaged_is_no_way_back() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let mut agent = device.agent_with(&server.address, |main| main.self_test = sh("! grep -q bad app"));
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    settle(&mut agent).await;
    // OLD is whole, CURRENT is not.
    std::fs::remove_file(device.main().join("CURRENT/release.json")).expect("it was there");
    server.offer(&firmware(&key, "3.0.0", 3, "bad"), 3);
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    device.assert_clean(1);
}

#[tokio::test]
async fn what_is_not_the_agents_is_not_replaced() {
    for is_folder in [true, false] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        let current = device.main().join("CURRENT");
        let elsewhere = device.folder.path().join("elsewhere");
        std::fs::create_dir_all(&elsewhere).expect("made");
        std::fs::remove_file(&current).expect("it was there");
        if is_folder {
            std::fs::create_dir(&current).expect("made");
        } else {
            std::os::unix::fs::symlink(&elsewhere, &current).expect("made");
        }
        server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
        settle(&mut device.agent(&server.address)).await;
        let report = last_report(&server);
        let refusal = (report.state, report.failure.expect("a reason"));
        let (state, class) = (SessionState::Rejected, FailureClass::Precondition);
        assert_is(&refusal, state, class, "foreign_current", "move it away");
        assert!(if is_folder { current.is_dir() } else { current.read_link().is_ok_and(|to| to == elsewhere) });
        assert_eq!(device.activated(), ["1.0.0"]);
    }
}
