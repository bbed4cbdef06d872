//! The way back.

use drover_api::{RolloutFilter, RolloutRollback};
use drover_protocol::Directive;
use drover_testkit::{Profile, eventually, on_both_profiles, on_the_local_profile};
use drover_types::{RolloutKind, RolloutState, SessionState};

use crate::scene::{Scene, assert_refused};

impl Scene {
    /// Takes a rollout back and waits for the rollout that does it.
    async fn take_back(&self, rollout: &drover_api::Rollout, reason: Option<&str>) -> drover_api::Rollout {
        let body = RolloutRollback { reason: reason.map(str::to_owned) };
        self.admin.roll_back_rollout(rollout.id, &body).await.expect("it can be taken back");
        let filter = RolloutFilter { parent_id: Some(rollout.id), ..RolloutFilter::default() };
        let child =
            eventually("the way back", async || self.admin.rollouts(&filter, 2).await.unwrap().items.pop()).await;
        self.running(child.id, 0).await
    }
}

on_both_profiles! {
    async fn a_completed_rollout_is_taken_back(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        scene.becomes(rollout.id, RolloutState::Completed).await;
        let child = scene.take_back(&rollout, Some("brakes too late")).await;
        assert_eq!((child.kind, child.parent_id), (RolloutKind::Rollback, Some(rollout.id)));
        let parent = scene.admin.rollout(rollout.id).await.unwrap();
        assert_eq!((parent.status, parent.reason.as_deref()), (RolloutState::RollingBack, Some("brakes too late")));
        let body = RolloutRollback::default();
        assert_refused!(scene.admin.roll_back_rollout(child.id, &body).await, 422, "is_a_rollback");

        let offers = scene.offers().await;
        assert_eq!(offers.len(), 3);
        for (device, offer) in offers {
            assert_eq!((offer.firmware_id, &offer.version), (scene.first.id, &scene.first.version));
            device.install(&offer).await;
        }
        scene.becomes(child.id, RolloutState::Completed).await;
        let parent = scene.becomes(rollout.id, RolloutState::RolledBack).await;
        assert!(parent.completed_at.is_some());
        assert_refused!(scene.admin.roll_back_rollout(rollout.id, &body).await, 409, "wrong_state");
        let view = scene.admin.device(scene.devices[0].id).await.unwrap();
        assert_eq!(view.current_version.as_ref(), Some(&scene.first.version));
        let history = scene.admin.device_updates(scene.devices[0].id, 10).await.unwrap().items;
        let versions: Vec<_> = history
            .iter()
            .map(|one| (one.version.to_string(), one.from_version.as_ref().unwrap().to_string()))
            .collect();
        assert_eq!(versions, [("1.0.0".to_owned(), "1.1.0".to_owned()), ("1.1.0".to_owned(), "1.0.0".to_owned())]);
    }

    async fn an_active_rollout_is_stopped_first(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let [updated, installing, fetching, waiting] = &scene.devices[..] else { panic!("four devices") };
        let offers =
            [updated.check().await.unwrap(), installing.check().await.unwrap(), fetching.check().await.unwrap()];
        updated.install(&offers[0]).await;
        installing.proceed(&offers[1], SessionState::Installing).await;
        fetching.proceed(&offers[2], SessionState::Downloading).await;
        scene.admin.roll_back_rollout(rollout.id, &RolloutRollback::default()).await.unwrap();
        assert!(waiting.check().await.is_none());
        let reply = fetching.report(offers[2].session_id, SessionState::Downloaded).await.unwrap();
        assert_eq!((reply.directive, reply.state), (Directive::Stop, SessionState::Cancelled));
        // The way back waits for the one that can no longer be stopped, and takes it along.
        assert!(updated.check().await.is_none());
        installing.commit(&offers[1]).await;
        let filter = RolloutFilter { parent_id: Some(rollout.id), ..RolloutFilter::default() };
        let child =
            eventually("the way back", async || scene.admin.rollouts(&filter, 2).await.unwrap().items.pop()).await;
        scene.running(child.id, 0).await;
        let back = scene.offers().await;
        let told: Vec<_> = back.iter().map(|(device, _)| device.id).collect();
        assert_eq!(told, [updated.id, installing.id]);
        for (device, offer) in back {
            device.install(&offer).await;
        }
        let done = scene.becomes(rollout.id, RolloutState::RolledBack).await;
        assert_eq!((done.counts.succeeded, done.counts.cancelled), (2, 2));
    }

    async fn only_what_is_still_there_is_taken_back(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        scene.becomes(rollout.id, RolloutState::Completed).await;
        // One of them goes on to something newer.
        let newer = scene.publish("1.2.0", 3).await;
        let second = scene.start(&newer, &[50, 100], |_| ()).await;
        let (moved, offer) = scene.offers().await.pop().expect("the first of two");
        moved.install(&offer).await;
        scene.admin.cancel_rollout(second.id).await.unwrap();
        let child = scene.take_back(&rollout, None).await;
        let back = scene.offers().await;
        assert_eq!(back.len(), 1);
        assert_ne!(back[0].0.id, moved.id, "what it runs now is another rollout's");
        back[0].0.install(&back[0].1).await;
        scene.becomes(child.id, RolloutState::Completed).await;
        scene.becomes(rollout.id, RolloutState::RolledBack).await;
        let view = scene.admin.device(moved.id).await.unwrap();
        assert_eq!(view.current_version, Some(newer.version));
    }

    async fn a_rollout_that_updated_nobody_is_rolled_back_at_once(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        scene.admin.roll_back_rollout(rollout.id, &RolloutRollback::default()).await.unwrap();
        let done = scene.becomes(rollout.id, RolloutState::RolledBack).await;
        assert_eq!(done.counts.cancelled, 1);
        let filter = RolloutFilter { parent_id: Some(rollout.id), ..RolloutFilter::default() };
        assert!(scene.admin.rollouts(&filter, 2).await.unwrap().items.is_empty(), "there is nobody to take back");
    }
}

on_the_local_profile! {
    async fn a_draft_has_no_way_back(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let draft = scene.draft(&scene.first, &[100], |_| ()).await;
        assert_refused!(scene.admin.roll_back_rollout(draft.id, &RolloutRollback::default()).await, 409, "wrong_state");
        let long = RolloutRollback { reason: Some("x".repeat(501)) };
        assert_refused!(scene.admin.roll_back_rollout(draft.id, &long).await, 422, "invalid");
    }
}
