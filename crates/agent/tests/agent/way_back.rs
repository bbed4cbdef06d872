//! What comes back has to start: a device must not stand without its application because a command failed once.

use std::time::Duration;

use drover_agent::Agent;
use drover_protocol::ValidationOutcome;

use crate::support::{Device, PATIENCE, Server, device_with_one, firmware, new_key, settle, sh};

/// Activates as usual; of version 1.0.0 only when the file `works` is there, and counts the tries in `tries`.
const STUBBORN: &str = "cd \"$DROVER_DEVICE_DIR/..\"; \
    if [ \"$DROVER_VERSION\" = 1.0.0 ]; then echo x >> tries; [ -e works ] || { echo no bus; exit 1; }; fi; \
    echo \"$DROVER_VERSION\" >> activated";

fn agent(device: &Device, server: &Server) -> Agent {
    device.agent_with(&server.address, |main| main.activate = sh(STUBBORN))
}

fn tries(device: &Device) -> usize {
    std::fs::read_to_string(device.folder.path().join("tries")).unwrap_or_default().lines().count()
}

fn repair(device: &Device) {
    std::fs::write(device.folder.path().join("works"), "").expect("written");
}

/// Rounds until `done`.
async fn rounds_until(agent: &mut Agent, mut done: impl FnMut() -> bool) {
    let rounds = async {
        while !done() {
            let wait = agent.tick().await.expect("a round");
            tokio::time::sleep(wait.min(Duration::from_millis(10))).await;
        }
    };
    tokio::time::timeout(PATIENCE, rounds).await.expect("it comes to that");
}

#[tokio::test]
async fn what_does_not_start_at_once_is_tried_again() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "bad"), 2);
    let mut first = agent(&device, &server);
    rounds_until(&mut first, || tries(&device) == 2).await;
    assert!(server.facts().validations.is_empty(), "the end is not known yet");
    // The count survives the agent.
    drop(first);
    let journal = std::fs::read_to_string(device.main().join("journal.json")).expect("an update is under way");
    assert!(journal.contains("\"reactivations\": 2"), "{journal}");
    repair(&device);
    settle(&mut agent(&device, &server)).await;
    assert_eq!((tries(&device), device.app().as_deref()), (3, Some("one")));
    assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0"]);
    let report = server.facts().validations.pop().expect("reported");
    assert_eq!(
        (report.outcome, report.failure.expect("a reason").code.as_str()),
        (ValidationOutcome::RolledBack, "self_test_failed")
    );
    device.assert_clean(1);
}

#[tokio::test]
async fn what_never_starts_is_reported_and_tried_on() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "bad"), 2);
    let mut stubborn = agent(&device, &server);
    settle(&mut stubborn).await;
    assert!(tries(&device) >= 5);
    let report = server.facts().validations.pop().expect("reported");
    let message = report.failure.expect("a reason").message;
    assert!(message.contains("tried 5 times") && message.contains("no bus"), "{message}");
    server.facts().offer = None;
    let so_far = tries(&device);
    rounds_until(&mut stubborn, || tries(&device) > so_far).await;
    // Also after the device was off.
    drop(stubborn);
    let mut stubborn = agent(&device, &server);
    let so_far = tries(&device);
    rounds_until(&mut stubborn, || tries(&device) > so_far).await;
    repair(&device);
    rounds_until(&mut stubborn, || device.activated().len() == 3).await;
    assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0"]);
    let so_far = tries(&device);
    for _ in 0..3 {
        stubborn.tick().await.expect("a round");
    }
    assert_eq!(tries(&device), so_far, "what runs is left alone");
    device.assert_clean(1);
}

#[tokio::test]
async fn a_new_version_helps_a_device_whose_old_one_never_starts() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "bad"), 2);
    let mut stubborn = agent(&device, &server);
    settle(&mut stubborn).await;
    server.offer(&firmware(&key, "3.0.0", 3, "three"), 3);
    rounds_until(&mut stubborn, || device.app().as_deref() == Some("three")).await;
    settle(&mut stubborn).await;
    let so_far = tries(&device);
    for _ in 0..3 {
        stubborn.tick().await.expect("a round");
    }
    assert_eq!((tries(&device), device.activated().last().map(String::as_str)), (so_far, Some("3.0.0")));
    device.assert_clean(2);
}
