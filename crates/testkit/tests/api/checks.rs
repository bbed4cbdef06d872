//! Update checks: what they note.

use std::sync::Arc;
use std::time::Duration;

use drover_protocol::CheckReply;
use drover_testkit::{Answer, Profile, ServerOptions, SimClock, TestServer, answer, eventually, on_both_profiles};
use drover_types::{DeviceId, Timestamp};
use reqwest::Method;

use crate::scene::Scene;

/// When the database says that a device was last heard of.
async fn written(server: &TestServer, id: DeviceId) -> Option<Timestamp> {
    let tenant = drover_store::tenants::by_name(server.db().db(), "default").await.unwrap().expect("the tenant");
    let device = drover_store::devices::get(server.db().db(), tenant.tenant_id, id).await.unwrap();
    device.expect("the device").last_seen_at
}

/// How long a device is told to wait, in milliseconds.
fn told(answer: &Answer) -> u64 {
    answer.header("drover-poll-interval-ms").parse().expect("milliseconds")
}

on_both_profiles! {
    async fn an_unchanged_answer_is_short(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let device = &scene.devices[0];
        let check = |tag: &str| {
            let request = scene.server.request(Method::GET, "/api/v1/updates/check").bearer_auth(&device.token);
            answer(request.header("if-none-match", tag))
        };
        let first = check("\"something else\"").await;
        assert_eq!(first.status, 200);
        let reply: CheckReply = first.json();
        assert!(reply.offer.is_none());
        assert_eq!(told(&first), reply.poll_interval_ms);
        let tag = first.header("etag").to_owned();
        assert!(!tag.is_empty());
        for tags in [tag.clone(), format!("\"a\", {tag}")] {
            let again = check(&tags).await;
            assert_eq!((again.status, again.header("etag"), again.body.len()), (304, tag.as_str(), 0));
            assert!((27_000..=33_000).contains(&told(&again)), "{}", told(&again));
        }
        scene.roll_out(&[100], |_| ()).await;
        for _ in 0..2 {
            let offered = check(&tag).await;
            assert_eq!((offered.status, offered.header("etag")), (200, ""), "its addresses are new each time");
            assert!(offered.json::<CheckReply>().offer.is_some());
        }
    }

    async fn who_waits_for_a_place_comes_back_sooner(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |plan| plan.max_in_flight = Some(1)).await;
        let mut intervals = Vec::new();
        for device in &scene.devices {
            intervals.push(device.client.check().await.unwrap().poll_interval_ms);
        }
        assert!((27_000..=33_000).contains(&intervals[0]), "it was told: {intervals:?}");
        assert!((7_200..=8_800).contains(&intervals[1]), "it waits: {intervals:?}");
        scene.admin.pause_rollout(rollout.id).await.unwrap();
        let interval = scene.devices[1].client.check().await.unwrap().poll_interval_ms;
        assert!((27_000..=33_000).contains(&interval), "nothing is offered for now: {interval}");
    }

    async fn signs_of_life_are_shown_at_once_and_written_later(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let device = server.device("A", None).await;
        assert_eq!(written(&server, device.id).await, None, "it has only registered");
        assert!(device.check().await.is_none());
        let first = written(&server, device.id).await.expect("the first contact is written at once");
        clock.advance(Duration::from_secs(20));
        assert!(device.check().await.is_none());
        assert_eq!(written(&server, device.id).await, Some(first), "later ones wait for company");
        let shown = server.admin().device(device.id).await.unwrap().last_seen.expect("it was heard of");
        assert!(shown.since(first) >= Duration::from_secs(20));
        clock.advance(Duration::from_mins(1));
        let last = eventually("it to be written", async || {
            written(&server, device.id).await.filter(|written| *written > first)
        })
        .await;
        assert_eq!(last, shown);
        assert_eq!(server.admin().device(device.id).await.unwrap().last_seen, Some(shown));
    }
}
