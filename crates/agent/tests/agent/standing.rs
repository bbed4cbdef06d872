//! A device stays in touch: enrolment, reports that the server has trouble with, signs of life.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use drover_agent::NoObserver;
use drover_protocol::ValidationOutcome;
use drover_types::{Clock, SystemClock, Timestamp};

use crate::support::{Device, Facts, Server, device_with_one, firmware, new_key, open_at, problem, settle};

/// A clock that a test sets.
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn without_a_release_key_enrolment_does_not_finish_and_is_tried_again() {
    let (server, key) = (Server::start().await, new_key());
    let device = Device::new();
    let mut agent = device.agent(&server.address);
    for useless in [vec![], vec!["no key".to_owned()]] {
        server.facts().release_keys = useless;
        let error = agent.tick().await.expect_err("no key").to_string();
        assert!(error.contains("drover key add") && error.contains("release_keys"), "{error}");
        assert!(!agent.is_enrolled() && !device.data_dir().join("identity.json").exists());
        assert!(!device.data_dir().join("keys").exists());
    }
    server.facts().release_keys = vec![key.public_key().to_pem()];
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 1);
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("one"));
}

#[tokio::test]
async fn a_configured_release_key_is_enough_to_enrol() {
    let (server, key) = (Server::start().await, new_key());
    let device = Device::new();
    let path = device.folder.path().join("release.pem");
    std::fs::write(&path, key.public_key().to_pem()).expect("written");
    let mut config = device.config(&server.address);
    config.release_keys = vec![path];
    server.offer(&firmware(&key, "1.0.0", 1, "one"), 1);
    settle(&mut open_at(config, Arc::new(NoObserver), Arc::new(SystemClock))).await;
    assert_eq!(device.app().as_deref(), Some("one"));
}

#[tokio::test]
async fn a_report_that_the_server_has_trouble_with_holds_up_nothing_else() {
    // The second is what something on the way says, not the server.
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, problem("internal")),
        (StatusCode::NOT_FOUND, "<h1>Not Found</h1>".to_owned()),
    ] {
        let (server, key) = (Server::start().await, new_key());
        let device = device_with_one(&server, &key).await;
        server.offer(&firmware(&key, "2.0.0", 2, "bad"), 2);
        server.facts().answer_to_end = Some((2, status, body));
        let mut agent = device.agent(&server.address);
        settle(&mut agent).await;
        let counts = |facts: &Facts| (facts.ends_not_taken, facts.checks);
        let (not_taken, checks) = counts(&server.facts());
        // Signs of life and checks go on, and the update that the server still offers is not begun again.
        agent.tick().await.expect("a round");
        let (not_taken_now, checks_now) = counts(&server.facts());
        assert!(not_taken_now > not_taken && checks_now > checks);
        assert!(!server.facts().heartbeats.is_empty());
        assert!(server.facts().offer.is_some());
        assert_eq!(device.activated(), ["1.0.0", "2.0.0", "1.0.0"]);
        // Nor does it keep the next one from landing.
        server.offer(&firmware(&key, "3.0.0", 3, "three"), 3);
        settle(&mut agent).await;
        assert_eq!(device.app().as_deref(), Some("three"));
        assert_eq!(outcomes(&server), [ValidationOutcome::Succeeded]);
        server.facts().answer_to_end = None;
        agent.tick().await.expect("a round");
        assert_eq!(outcomes(&server), [ValidationOutcome::RolledBack]);
        device.assert_clean(2);
    }
}

/// What came since this was last asked.
fn outcomes(server: &Server) -> Vec<ValidationOutcome> {
    server.facts().validations.drain(..).map(|report| report.outcome).collect()
}

#[tokio::test]
async fn a_report_that_the_server_refuses_makes_room() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    server.facts().answer_to_end = Some((2, StatusCode::CONFLICT, problem("illegal_transition")));
    settle(&mut device.agent(&server.address)).await;
    assert_eq!(outcomes(&server), []);
    assert_eq!(server.facts().ends_not_taken, 1);
    device.assert_clean(2);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_silence_the_device() {
    let (server, key) = (Server::start().await, new_key());
    server.facts().release_keys = vec![key.public_key().to_pem()];
    let (device, interval) = (Device::new(), Duration::from_mins(1));
    let clock = Arc::new(SetClock(AtomicI64::new(SystemClock.now().as_micros())));
    let set = |time: Timestamp| clock.0.store(time.as_micros(), Ordering::Relaxed);
    let start = clock.now();
    let mut agent = open_at(device.config(&server.address), Arc::new(NoObserver), Arc::clone(&clock) as Arc<dyn Clock>);
    let mut expected = 0;
    for (time, is_due) in [
        (start, true),
        (start.plus(interval / 2), false),
        (start.plus(interval), true),
        // A little back is within the interval: the next is not far.
        (start.plus(interval), false),
        // A year back.
        (start.minus(interval * 60 * 24 * 365), true),
        (start.minus(interval * 60 * 24 * 365), false),
        (start, true),
    ] {
        set(time);
        agent.tick().await.expect("a round");
        expected += usize::from(is_due);
        assert_eq!(server.facts().heartbeats.len(), expected, "at {time}");
    }
}

#[tokio::test]
async fn a_clock_that_is_set_right_gives_up_no_download() {
    let (server, key) = (Server::start().await, new_key());
    let device = device_with_one(&server, &key).await;
    server.offer(&firmware(&key, "2.0.0", 2, "two"), 2);
    let clock = Arc::new(SetClock(AtomicI64::new(0)));
    let mut config = device.config(&server.address);
    config.download_give_up_ms = 600_000;
    let mut agent = open_at(config, Arc::new(NoObserver), Arc::clone(&clock) as Arc<dyn Clock>);
    server.facts().blob_status = Some(StatusCode::SERVICE_UNAVAILABLE);
    for _ in 0..3 {
        agent.tick().await.expect("it waits");
    }
    clock.0.store(SystemClock.now().as_micros(), Ordering::Relaxed);
    agent.tick().await.expect("it waits");
    server.facts().blob_status = None;
    settle(&mut agent).await;
    assert_eq!(device.app().as_deref(), Some("two"));
}
