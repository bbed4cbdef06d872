//! Updates that go well, that go back, that are called off, and what the server hears of each.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use drover_agent::{Agent, AgentError, Effect, EffectObserver};
use drover_protocol::{StatusReport, ValidationOutcome};
use drover_types::{Clock as _, FailureClass, SessionState, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Device, PATIENCE, Server, device_with_one, firmware, firmware_of, gzip, new_key, open, settle, sh, version,
};

fn states(reports: &[StatusReport]) -> Vec<SessionState> {
    reports.iter().map(|report| report.state).collect()
}

#[tokio::test]
async fn a_good_update_is_told_step_by_step_and_stays() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("two"));
    assert_eq!(device.activated(), ["1.0.0", "2.0.0"]);
    device.assert_clean(2);
    let facts = server.facts();
    let steps =
        [SessionState::Downloading, SessionState::Downloaded, SessionState::Installing, SessionState::Validating];
    assert_eq!(states(&facts.statuses), steps);
    let report = &facts.validations[0];
    assert_eq!((report.outcome, &report.version), (ValidationOutcome::Succeeded, &Some(version("2.0.0"))));
    let last = facts.heartbeats.last().expect("it lives");
    assert_eq!(last.components[0].version, Some(version("2.0.0")));
    assert_eq!(facts.credentials_at_blobs, 0, "a presigned address got a credential");
}

#[tokio::test]
async fn an_ed25519_key_binds_artifacts_through_the_manifest() {
    let server = Server::start().await;
    let key = drover_trust::PrivateKey::generate(drover_types::KeyAlgorithm::Ed25519).expect("a key");
    device_with_one(&server, &key).await.assert_clean(1);
}

#[tokio::test]
async fn a_failed_trial_goes_back_and_says_why() {
    let watch_fails = "test ! -e \"$DROVER_DEVICE_DIR/../crash\" || { echo it crashed; exit 1; }";
    for (what, class, code, words) in [
        ("self_test", FailureClass::SelfTest, "self_test_failed", "the app is bad"),
        ("slow_self_test", FailureClass::SelfTest, "self_test_timeout", "300 ms"),
        ("activate", FailureClass::Activation, "activation_failed", "no such engine"),
        ("watch", FailureClass::Crash, "watch_failed", "it crashed"),
    ] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        server.offer(&firmware(&key, "2.0.0", 2, if what == "self_test" { "bad" } else { "two" }), 2);
        std::fs::write(device.folder.path().join("crash"), "").expect("written");
        let mut agent = device.agent_with(&server.address, |main| match what {
            "slow_self_test" => {
                (main.self_test, main.self_test_timeout_ms) = (sh("sleep 100"), 300);
            }
            "activate" => main.activate = sh("test $DROVER_VERSION = 1.0.0 || { echo no such engine; exit 1; }"),
            "watch" => (main.watch, main.watch_ms) = (sh(watch_fails), 60_000),
            _ => {}
        });
        settle(&mut agent).await;
        assert_eq!(device.app().as_deref(), Some("one"), "{what}");
        device.assert_clean(1);
        let report = server.facts().validations.pop().expect("reported");
        assert_eq!((report.outcome, report.version), (ValidationOutcome::RolledBack, Some(version("1.0.0"))), "{what}");
        let failure = report.failure.expect("a reason");
        assert_eq!((failure.class, failure.code.as_str()), (class, code));
        assert!(failure.message.contains(words), "{what}: {}", failure.message);
    }
}

#[tokio::test]
async fn what_fails_twice_is_not_tried_a_third_time() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let mut agent = device.agent(&server.address);
    for session in [2, 3] {
        server.offer(&firmware(&key, "2.0.0", 2, "bad"), session);
        settle(&mut agent).await;
    }
    assert_eq!(server.facts().validations.len(), 2);
    // A new manifest around the same bytes does not help.
    let packed = &firmware(&key, "2.0.0", 2, "bad").blobs[0].1;
    server.offer(&firmware_of(&key, "2.0.1", 3, packed, |_| {}), 4);
    settle(&mut agent).await;
    let report = server.facts().statuses.pop().expect("reported");
    assert_eq!(report.state, SessionState::Rejected);
    assert_eq!(report.failure.expect("a reason").code, "blacklisted");
    assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0", "2.0.0", "1.0.0"]);
}

#[tokio::test]
async fn what_runs_already_succeeds_at_once() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let requests = server.facts().blob_requests;
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 2);
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(server.facts().validations[0].outcome, ValidationOutcome::Succeeded);
    assert_eq!(server.facts().blob_requests, requests);
    assert_eq!(device.activated(), ["1.0.0"]);
}

#[tokio::test]
async fn the_way_back_needs_no_download_unless_it_was_damaged() {
    for is_damaged in [false, true] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        let mut agent = device.agent(&server.address);
        server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
        settle(&mut agent).await;
        let requests = server.facts().blob_requests;
        if is_damaged {
            std::fs::write(device.main().join("OLD/root/app"), "evil").expect("written");
        }
        server.offer(&firmware(&key, "1.0.0", 1, "one"), 3);
        settle(&mut agent).await;
        assert_eq!(device.app().as_deref(), Some("one"));
        assert_eq!(server.facts().blob_requests > requests, is_damaged);
        assert_eq!(server.facts().validations.len(), 2);
        device.assert_clean(2);
    }
}

#[tokio::test]
async fn the_server_may_call_it_off_until_the_switch() {
    for state in [SessionState::Downloading, SessionState::Downloaded, SessionState::Installing] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        server.facts().stop_at = Some(state);
        server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
        settle(&mut device.agent(&server.address)).await;
        assert_eq!(device.app().as_deref(), Some("one"), "{state}");
        device.assert_clean(1);
        assert_eq!(server.facts().statuses.last().expect("reported").state, SessionState::Cancelled);
        assert!(server.facts().validations.is_empty());
    }
}

/// Ends the server at an effect.
struct ServerEnder(Mutex<Option<Server>>);

impl EffectObserver for ServerEnder {
    fn after(&self, effect: Effect) {
        if effect == Effect::PointNew {
            drop(self.0.lock().expect("whole").take());
        }
    }
}

/// A device that is cut off from its server right before it asks whether to go on.
async fn cut_off_before_the_switch(expires_in: Duration) -> (Device, Agent) {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let expires_at = SystemClock.now().plus(expires_in);
    server.facts().offer.as_mut().expect("offered").expires_at = expires_at;
    let address = server.address.clone();
    let agent = open(device.config(&address), Arc::new(ServerEnder(Mutex::new(Some(server)))));
    (device, agent)
}

#[tokio::test]
async fn offline_an_offer_that_holds_is_installed_and_reported_later() {
    let (device, mut agent) = cut_off_before_the_switch(Duration::from_mins(10)).await;
    let error = agent.tick().await.expect_err("the server is gone");
    assert!(matches!(error, AgentError::Call(_)), "{error}");
    assert_eq!(device.app().as_deref(), Some("two"));
    drop(agent);
    let server = Server::start().await;
    settle(&mut device.agent(&server.address)).await;
    let facts = server.facts();
    assert_eq!(states(&facts.statuses), [SessionState::Installing, SessionState::Validating]);
    assert_eq!(facts.validations[0].outcome, ValidationOutcome::Succeeded);
}

#[tokio::test]
async fn offline_an_expired_offer_waits_for_the_server() {
    let (device, mut agent) = cut_off_before_the_switch(Duration::ZERO).await;
    agent.tick().await.expect("it waits");
    agent.tick().await.expect("it still waits");
    assert_eq!(device.app().as_deref(), Some("one"));
    drop(agent);
    let server = Server::start().await;
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("two"));
    assert_eq!(server.facts().validations[0].outcome, ValidationOutcome::Succeeded);
}

#[tokio::test]
async fn an_expired_address_is_replaced() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    {
        let mut facts = server.facts();
        facts.blob_status = Some(axum::http::StatusCode::FORBIDDEN);
        facts.blobs_heal_at_check = Some(facts.checks + 3);
    }
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("two"));
}

#[tokio::test]
async fn told_to_stop_while_it_tests_it_stops_and_the_try_does_not_count() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    for _ in 0..5 {
        let mut agent = device.agent_with(&server.address, |main| main.self_test = sh("sleep 100"));
        let mut state = agent.subscribe();
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        // `run` may move to another task, as many agents in one process do.
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
    assert_eq!(device.app().as_deref(), Some("two"));
}

#[tokio::test]
async fn a_broken_journal_is_set_aside() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    for broken in ["", "{", "{\"format\":1,\"sha256\":\"00\",\"update\":{}}", "{\"format\":2}"] {
        std::fs::write(device.main().join("journal.json"), broken).expect("written");
        settle(&mut device.agent(&server.address)).await;
        assert_eq!(device.app().as_deref(), Some("one"));
        std::fs::remove_file(device.main().join("journal.json.broken")).expect("it was kept");
    }
    device.assert_clean(1);
}

#[tokio::test]
async fn what_does_not_fit_the_device_is_rejected_before_anything_is_fetched() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let mut agent = device.agent(&server.address);
    let requests = server.facts().blob_requests;
    let packed = gzip(b"");
    let offers = [
        ("wrong_device_type", firmware_of(&key, "2.0.0", 2, &packed, |m| m.device_type = "tractor".to_owned())),
        ("unknown_component", firmware_of(&key, "2.0.0", 2, &packed, |m| m.component = "arm".parse().expect("a name"))),
        ("precondition", firmware_of(&key, "2.0.0", 2, &packed, |m| m.min_version = Some(version("1.5.0")))),
    ];
    for (session, (code, offered)) in (2..).zip(offers) {
        server.offer(&offered, session);
        settle(&mut agent).await;
        let report = server.facts().statuses.pop().expect("reported");
        assert_eq!(report.state, SessionState::Rejected);
        let failure = report.failure.expect("a reason");
        assert_eq!((failure.class, failure.code.as_str()), (FailureClass::Precondition, code));
    }
    assert_eq!(server.facts().blob_requests, requests);
    device.assert_clean(1);
}

#[tokio::test]
async fn a_folder_belongs_to_one_agent() {
    let server = Server::start().await;
    let device = Device::new();
    let first = device.agent(&server.address);
    let http = drover_uplink::http_client().expect("a client");
    let parts = drover_agent::Parts {
        http,
        clock: Arc::new(SystemClock),
        random: Arc::new(|| 0.5),
        observer: Arc::new(drover_agent::NoObserver),
    };
    let second = Agent::open(device.config(&server.address), parts);
    assert!(matches!(second.err(), Some(AgentError::Locked { .. })));
    drop(first);
    device.agent(&server.address);
}

#[tokio::test]
async fn a_token_that_is_no_longer_valid_is_named() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let path = device.data_dir().join("identity.json");
    let identity = std::fs::read_to_string(&path).expect("there");
    std::fs::write(&path, identity.replace("device-token", "other-token")).expect("written");
    let error = device.agent(&server.address).tick().await.expect_err("refused");
    assert!(error.to_string().contains("enrol the device again"), "{error}");
}

#[tokio::test]
async fn cut_off_again_and_again_while_it_tests_it_goes_back() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    for attempt in 1..=drover_agent::next::MAX_ATTEMPTS {
        let begun = format!("\"attempt\": {attempt},");
        let mut agent = device.agent_with(&server.address, |main| main.self_test = sh("exec sleep 100"));
        let running = tokio::spawn(async move { agent.tick().await.map(drop) });
        let journal = device.main().join("journal.json");
        let is_trying = || std::fs::read_to_string(&journal).is_ok_and(|text| text.contains(&begun));
        let waiting = async {
            while !is_trying() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it tries");
        // As good as a kill: whatever it does ends here, and nothing more is written.
        running.abort();
        running.await.expect_err("it was cut off");
    }
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    let report = server.facts().validations.pop().expect("reported");
    assert_eq!(report.outcome, ValidationOutcome::RolledBack);
    assert_eq!(report.failure.expect("a reason").code, "interrupted");
    device.assert_clean(1);
}

#[tokio::test]
async fn a_download_that_is_cut_off_goes_on_after_a_restart() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let noise: String =
        (0..300_000_u32).map(|n| char::from(b'a' + n.wrapping_mul(2_654_435_761).to_be_bytes()[1] % 26)).collect();
    server.offer(&firmware(&key, "2.0.0", 2, &noise), 2);
    let size_bytes = server.facts().blobs["2.0.0.tar.gz"].len();
    server.facts().cut_blobs_at = Some(size_bytes / 2);
    let half = u8::try_from(size_bytes / 2 * 100 / size_bytes).expect("a share");
    let mut agent = device.agent(&server.address);
    agent.tick().await.expect("it waits for the rest");
    let mut state = agent.subscribe();
    let update = state.borrow_and_update().components.values().next().and_then(|main| main.update.clone());
    assert_eq!(update.map(|update| (update.state, update.progress)), Some((SessionState::Downloading, half)));
    drop(agent);
    server.facts().cut_blobs_at = None;
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(server.facts().last_start, Some(size_bytes / 2));
    assert_eq!(device.app(), Some(noise));
    device.assert_clean(2);
}

#[tokio::test]
async fn components_are_updated_one_by_one_and_depend_on_each_other() {
    let (server, key) = (Server::start().await, new_key());
    let device = Device::new();
    server.facts().release_keys = vec![key.public_key().to_pem()];
    let mut config = device.config(&server.address);
    let main = config.components.values().next().expect("main").clone();
    let arm: drover_types::ComponentName = "arm".parse().expect("a name");
    config.components.insert(arm.clone(), main);
    let mut agent = open(config, Arc::new(drover_agent::NoObserver));
    let packed = &firmware(&key, "1.0.0", 1, "arm").blobs[0].1;
    let needs_main = drover_trust::Dependency {
        component: drover_types::ComponentName::main(),
        min_version: version("1.0.0"),
        below_version: None,
    };
    let offered = firmware_of(&key, "1.0.0", 1, packed, |manifest| {
        manifest.component = arm.clone();
        manifest.dependencies = vec![needs_main];
    });
    server.offer(&offered, 1);
    settle(&mut agent).await;
    assert_eq!(server.facts().statuses.pop().and_then(|report| report.failure).expect("a reason").code, "precondition");
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 2);
    settle(&mut agent).await;
    server.offer(&offered, 3);
    settle(&mut agent).await;
    let arm_app = device.data_dir().join("components/arm/CURRENT/root/app");
    assert_eq!(std::fs::read_to_string(arm_app).expect("there"), "arm");
    assert_eq!(device.app().as_deref(), Some("one"));
    let last = server.facts().heartbeats.pop().expect("it lives");
    assert!(last.components.iter().all(|component| component.version == Some(version("1.0.0"))), "{last:?}");
}
