//! What ended long ago is moved out of the way, and can still be read.

use std::time::Duration;

use drover_api::RolloutRollback;
use drover_testkit::{Profile, on_both_profiles};
use drover_types::{FailureClass, RolloutState};

use crate::scene::{Scene, assert_refused};

const DAY: Duration = Duration::from_hours(24);

on_both_profiles! {
    async fn sessions_of_a_rollout_that_ended_90_days_ago_are_archived(profile: Profile) {
        let (mut scene, clock) = Scene::with_clock(profile, 3).await;
        let rollout = scene.roll_out(&[100], |plan| plan.success_threshold = Some(0.5)).await;
        let offers = scene.offers().await;
        let (_, failing) = &offers[0];
        scene.devices[0].fail(failing, FailureClass::Install).await;
        for (device, offer) in &offers[1..] {
            device.install(offer).await;
        }
        scene.becomes(rollout.id, RolloutState::Completed).await;
        let device = scene.devices[1].id;
        let before = (
            scene.sessions(rollout.id).await,
            scene.admin.rollout_failures(rollout.id, 10).await.unwrap().items,
            scene.admin.device_updates(device, 10).await.unwrap().items,
        );

        clock.advance(89 * DAY);
        scene.server.clean_up().await;
        scene.admin = scene.server.sign_in().await;
        let view = scene.admin.rollout(rollout.id).await.unwrap();
        assert_eq!(view.archived_at, None, "not yet");

        clock.advance(2 * DAY);
        scene.server.clean_up().await;
        scene.admin = scene.server.sign_in().await;
        let archived = scene.admin.rollout(rollout.id).await.unwrap();
        assert!(archived.archived_at.is_some());
        assert_eq!(archived.counts, view.counts, "its numbers stay");
        assert_eq!(scene.server.count("update_sessions").await, 0);
        assert_eq!(scene.server.count("update_sessions_archive").await, 3);
        let after = (
            scene.sessions(rollout.id).await,
            scene.admin.rollout_failures(rollout.id, 10).await.unwrap().items,
            scene.admin.device_updates(device, 10).await.unwrap().items,
        );
        assert_eq!(before, after, "it reads as before");
        let first = scene.admin.rollout_sessions(rollout.id, &drover_api::UpdateSessionFilter::default(), 2).await.unwrap();
        assert_eq!(first.items[..], before.0[..2]);
        assert!(first.next_cursor.is_some());

        let body = RolloutRollback::default();
        assert_refused!(scene.admin.roll_back_rollout(rollout.id, &body).await, 409, "rollout_archived");
        scene.server.clean_up().await;
        assert_eq!(scene.server.count("update_sessions_archive").await, 3, "once");
        scene.admin.delete_device(device).await.unwrap();
        assert_eq!(scene.sessions(rollout.id).await.len(), 2);
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().counts.succeeded, 1);
    }

    async fn what_cannot_be_cleaned_up_does_not_stop_the_rest(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        scene.devices[0].install(&scene.devices[0].check().await.unwrap()).await;
        scene.becomes(rollout.id, RolloutState::Completed).await;
        clock.advance(91 * DAY);
        scene.server.sql("ALTER TABLE unused_content RENAME TO hidden_content").await;
        scene.server.clean_up().await;
        assert_eq!(scene.server.count("update_sessions_archive").await, 1);
    }

    async fn a_rollout_that_goes_on_keeps_its_sessions(profile: Profile) {
        let (mut scene, clock) = Scene::with_clock(profile, 2).await;
        // The second device never comes: its stage waits for it.
        let rollout = scene.roll_out(&[100], |plan| plan.session_timeout_ms = Some(600_000)).await;
        let offer = scene.devices[0].check().await.unwrap();
        scene.devices[0].install(&offer).await;
        clock.advance(400 * DAY);
        scene.server.clean_up().await;
        scene.admin = scene.server.sign_in().await;
        assert_eq!(scene.server.count("update_sessions_archive").await, 0);
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().archived_at, None);
        scene.admin.cancel_rollout(rollout.id).await.unwrap();
        scene.server.clean_up().await;
        assert_eq!(scene.server.count("update_sessions_archive").await, 0, "it ended just now");
    }
}
