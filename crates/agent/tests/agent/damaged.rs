//! A device whose identity or keys are damaged cannot take part in its fleet; what is under way comes to its end first.

use std::time::Duration;

use drover_agent::Agent;
use drover_protocol::ValidationOutcome;

use crate::support::{Device, PATIENCE, Server, device_with_one, firmware, new_key, settle, sh};

/// A device that was cut off while it tested version 2.0.0.
async fn cut_off_in_a_test(server: &Server, content: &str) -> Device {
    let key = new_key();
    let device = device_with_one(server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, content), 2);
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
    device
}

async fn complaint(agent: &mut Agent) -> String {
    agent.tick().await.expect_err("it cannot take part").to_string()
}

#[tokio::test]
async fn an_update_that_is_under_way_ends_without_an_identity() {
    for (content, app, outcome) in
        [("two", "two", ValidationOutcome::Succeeded), ("bad", "one", ValidationOutcome::RolledBack)]
    {
        let server = Server::start().await;
        let device = cut_off_in_a_test(&server, content).await;
        let path = device.data_dir().join("identity.json");
        let identity = std::fs::read(&path).expect("enrolled");
        std::fs::write(&path, &identity[..identity.len() / 2]).expect("damaged");
        let checks = server.facts().checks;
        let mut agent = device.agent(&server.address);
        for _ in 0..3 {
            let text = complaint(&mut agent).await;
            assert!(text.contains("identity.json") && text.contains("damaged"), "{text}");
        }
        assert_eq!(device.app().as_deref(), Some(app));
        assert!(!device.main().join("journal.json").exists(), "the update is not at its end");
        assert_eq!(server.facts().checks, checks, "it asked for work");
        assert!(server.facts().validations.is_empty());
        assert_eq!(std::fs::read(&path).expect("kept"), &identity[..identity.len() / 2], "it was replaced");
        // Mended, the same agent goes on by itself.
        std::fs::write(&path, &identity).expect("mended");
        server.facts().offer = None;
        settle(&mut agent).await;
        let report = server.facts().validations.pop().expect("reported");
        assert_eq!(report.outcome, outcome);
    }
}

#[tokio::test]
async fn without_an_identity_nothing_new_begins() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let path = device.data_dir().join("identity.json");
    std::fs::write(&path, "{").expect("damaged");
    let mut agent = device.agent(&server.address);
    complaint(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("one"));
    assert!(agent.require_purpose().is_ok(), "it goes on, and says so in every round");
}

#[tokio::test]
async fn a_damaged_key_rejects_nothing_and_is_told() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    let keys = device.data_dir().join("keys");
    let file = std::fs::read_dir(&keys).expect("pinned").next().expect("one").expect("an entry").path();
    let pem = std::fs::read(&file).expect("a key");
    std::fs::write(&file, "no key").expect("damaged");
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let mut agent = device.agent(&server.address);
    let text = complaint(&mut agent).await;
    assert!(text.contains("release key"), "{text}");
    assert_eq!(server.facts().heartbeats.len(), 1, "the server knows that it lives");
    assert!(server.facts().statuses.is_empty(), "nothing was rejected");
    std::fs::write(&file, pem).expect("mended");
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("two"));
}
