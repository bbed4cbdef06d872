//! What nodes keep in memory stays right: on one, between two, and when a node hears nothing.

use std::sync::Arc;
use std::time::Duration;

use drover_testkit::{
    Node, Profile, ServerOptions, SimClock, TestServer, answer, eventually, on_both_profiles, on_the_local_profile,
};
use drover_uplink::Client;
use reqwest::Method;

use crate::scene::Scene;

/// The status of a check, and the code of its problem.
async fn check(server: &TestServer, url: &str, token: &str) -> (u16, String) {
    let answered = answer(server.raw().get(format!("{url}/api/v1/updates/check")).bearer_auth(token)).await;
    let code = match answered.status {
        200 => String::new(),
        _ => answered.json::<drover_api::Problem>().type_uri.trim_start_matches("urn:drover:problem:").to_owned(),
    };
    (answered.status, code)
}

fn client(server: &TestServer, node: &Node, token: &str) -> Client {
    Client::new(server.raw().clone(), &node.url(), token).expect("a loopback address")
}

const NOTHING: (u16, String) = (200, String::new());

on_both_profiles! {
    async fn a_check_without_work_asks_the_database_nothing(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let device = server.device("A", None).await;
        // The first call is written down at once, the second is the first that is remembered.
        for _ in 0..2 {
            assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
        }
        for table in ["device_tokens", "update_sessions", "devices"] {
            match table {
                "device_tokens" => server.sql("ALTER TABLE device_tokens RENAME TO hidden_tokens").await,
                "devices" => server.sql("ALTER TABLE devices RENAME TO hidden_devices").await,
                _ => server.sql("ALTER TABLE update_sessions RENAME TO hidden_sessions").await,
            }
        }
        for _ in 0..10 {
            assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
        }
        let wrong = if device.token.ends_with('A') { "E" } else { "A" };
        let wrong = format!("{}{wrong}", &device.token[..device.token.len() - 1]);
        let refused = check(&server, &server.url(), &wrong).await;
        assert_eq!(refused, (401, "unauthenticated".to_owned()), "the secret is looked at all the same");
    }

    async fn a_node_that_hears_nothing_offers_nothing(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let [device, revoked] = [server.device("A", None).await, server.device("B", None).await];
        for token in [&device.token, &revoked.token, &device.token, &revoked.token] {
            assert_eq!(check(&server, &server.url(), token).await, NOTHING);
        }
        server.sql("ALTER TABLE changes RENAME TO hidden_changes").await;
        // Revoked elsewhere, and this node cannot hear of it.
        server.sql("UPDATE device_tokens SET revoked_at = 1 WHERE device_id IN \
            (SELECT id FROM devices WHERE hardware_id = 'B')").await;
        clock.advance(Duration::from_secs(6));
        let deaf = (503, "changes_unknown".to_owned());
        eventually("the node to notice", async || {
            (check(&server, &server.url(), &device.token).await == deaf).then_some(())
        })
        .await;
        assert_eq!(check(&server, &server.url(), &revoked.token).await, (401, "unauthenticated".to_owned()));
        assert_eq!(answer(server.request(Method::GET, "/readyz")).await.status, 503, "others shall take over");
        device.heartbeat(Vec::new()).await;
        server.sql("ALTER TABLE hidden_changes RENAME TO changes").await;
        eventually("the node to hear again", async || {
            (check(&server, &server.url(), &device.token).await == NOTHING).then_some(())
        })
        .await;
        assert_eq!(answer(server.request(Method::GET, "/readyz")).await.status, 200);
    }

    async fn who_was_deleted_is_refused_at_once_on_this_node(profile: Profile) {
        let server = TestServer::start(profile).await;
        for number in 0..5 {
            let device = server.device(&format!("TRUCK-{number}"), None).await;
            for _ in 0..3 {
                assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
            }
            server.admin().delete_device(device.id).await.unwrap();
            let refused = (401, "unauthenticated".to_owned());
            assert_eq!(check(&server, &server.url(), &device.token).await, refused);
        }
    }

    async fn after_a_restart_no_token_is_looked_up(profile: Profile) {
        let mut server = TestServer::start(profile).await;
        let devices = [server.device("A", None).await, server.device("B", None).await];
        for device in &devices {
            assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
        }
        server.kill_and_restart().await;
        eventually("the tokens to be read", async || {
            let figures = answer(server.raw().get(format!("{}/metrics", server.url()))).await;
            figures.text().lines().any(|line| line == "drover_known_tokens 2").then_some(())
        })
        .await;
        server.sql("ALTER TABLE device_tokens RENAME TO hidden_tokens").await;
        for device in &devices {
            assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
        }
    }

    async fn a_restart_finds_the_work_again(profile: Profile) {
        let mut scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |plan| plan.max_in_flight = Some(1)).await;
        let offer = scene.devices[0].check().await.expect("an offer");
        scene.server.kill_and_restart().await;
        let again = scene.devices[0].check().await.expect("the same offer");
        assert_eq!(again.session_id, offer.session_id);
        assert!(scene.devices[1].check().await.is_none(), "it waits for a place");
        scene.devices[0].install(&again).await;
        assert!(scene.devices[1].check().await.is_some_and(|offer| offer.rollout_id == rollout.id));
    }
}

on_the_local_profile! {
    async fn a_node_whose_database_lost_its_last_changes_begins_anew(profile: Profile) {
        let server = TestServer::start(profile).await;
        let [device, other] = [server.device("A", None).await, server.device("B", None).await];
        server.admin().delete_device(other.id).await.unwrap();
        for _ in 0..3 {
            assert_eq!(check(&server, &server.url(), &device.token).await, NOTHING);
        }
        // The change that told of it is among the lost ones.
        server.sql("UPDATE device_tokens SET revoked_at = 1").await;
        server.sql("DELETE FROM changes").await;
        let refused = (401, "unauthenticated".to_owned());
        eventually("the node to begin anew", async || {
            (check(&server, &server.url(), &device.token).await == refused).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_one_node_revokes_opens_nothing_on_another() {
    let server = TestServer::start(Profile::Cluster).await;
    let node = server.another_node().await;
    let device = server.device("A", None).await;
    for _ in 0..3 {
        for url in [server.url(), node.url()] {
            assert_eq!(check(&server, &url, &device.token).await, NOTHING);
        }
    }
    server.admin().delete_device(device.id).await.unwrap();
    let refused = (401, "unauthenticated".to_owned());
    assert_eq!(check(&server, &server.url(), &device.token).await, refused);
    eventually("the other node to hear of it", async || {
        (check(&server, &node.url(), &device.token).await == refused).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_one_node_gives_is_offered_by_another() {
    let scene = Scene::new(Profile::Cluster, 2).await;
    let node = scene.server.another_node().await;
    let elsewhere = client(&scene.server, &node, &scene.devices[1].token);
    for _ in 0..3 {
        assert!(elsewhere.check().await.unwrap().offer.is_none());
    }
    let rollout = scene.roll_out(&[100], |_| ()).await;
    assert!(scene.devices[0].check().await.is_some(), "where the stage was opened, at once");
    let offer = eventually("the other node to offer", async || elsewhere.check().await.unwrap().offer).await;
    assert_eq!(offer.rollout_id, rollout.id);
    scene.admin.pause_rollout(rollout.id).await.unwrap();
    assert!(elsewhere.check().await.unwrap().offer.is_some(), "what was told goes on");
}
