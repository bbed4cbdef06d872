//! Gates: a bad release stops itself.

use drover_testkit::{Profile, on_both_profiles};
use drover_types::{BreachAction, FailureClass, RolloutState, SessionState, StageState};

use crate::scene::Scene;

on_both_profiles! {
    async fn a_tripped_gate_pauses_and_a_person_may_go_on(profile: Profile) {
        let scene = Scene::new(profile, 6).await;
        let rollout = scene
            .roll_out(&[100], |plan| {
                (plan.rollback_threshold, plan.min_sample) = (Some(0.5), Some(3));
            })
            .await;
        for device in &scene.devices[..2] {
            let offer = device.check().await.expect("two are too few to judge");
            device.fail(&offer, FailureClass::Install).await;
        }
        let third = scene.devices[2].check().await.expect("two are too few to judge");
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().status, RolloutState::Active);
        let fourth = scene.devices[3].check().await.expect("an offer");
        scene.devices[2].fail(&third, FailureClass::Install).await;
        let paused = scene.becomes(rollout.id, RolloutState::Paused).await;
        assert_eq!(paused.stages[0].status, StageState::Failed);
        let reason = paused.reason.expect("it says why");
        assert!(reason.contains("3 of 3 devices failed (100 %); the limit is 50 %"), "{reason}");
        assert!(scene.devices[4].check().await.is_none(), "nothing more is offered");
        scene.devices[3].install(&fourth).await;

        scene.admin.resume_rollout(rollout.id).await.unwrap();
        for device in &scene.devices[4..] {
            let offer = device.check().await.expect("a person went on regardless");
            device.install(&offer).await;
        }
        let done = scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_eq!((done.counts.succeeded, done.counts.failed), (3, 3));
    }

    async fn a_tripped_gate_cancels(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene.roll_out(&[50, 100], |plan| plan.on_breach = Some(BreachAction::Cancel)).await;
        let offers = scene.offers().await;
        assert_eq!(offers.len(), 2);
        for (device, offer) in &offers {
            device.fail(offer, FailureClass::Verification).await;
        }
        let cancelled = scene.becomes(rollout.id, RolloutState::Cancelled).await;
        let states: Vec<_> = cancelled.stages.iter().map(|stage| stage.status).collect();
        assert_eq!(states, [StageState::Failed, StageState::Waiting], "the next stage never opens");
        assert!(scene.offers().await.is_empty());
    }

    async fn a_tripped_gate_takes_the_updated_ones_back(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene
            .roll_out(&[100], |plan| {
                (plan.rollback_threshold, plan.min_sample, plan.on_breach) =
                    (Some(0.5), Some(4), Some(BreachAction::Rollback));
            })
            .await;
        let offers = scene.offers().await;
        for (device, offer) in &offers[..2] {
            device.install(offer).await;
        }
        for (device, offer) in &offers[2..] {
            device.roll_back(offer).await;
        }
        scene.becomes(rollout.id, RolloutState::RollingBack).await;
        let filter = drover_api::RolloutFilter { parent_id: Some(rollout.id), ..Default::default() };
        let child = drover_testkit::eventually("the way back", async || {
            scene.admin.rollouts(&filter, 2).await.unwrap().items.pop()
        })
        .await;
        assert_eq!(scene.running(child.id, 0).await.counts.pending, 2);
        for (device, offer) in scene.offers().await {
            assert_eq!((offer.rollout_id, &offer.version), (child.id, &scene.first.version));
            device.install(&offer).await;
        }
        scene.becomes(child.id, RolloutState::Completed).await;
        scene.becomes(rollout.id, RolloutState::RolledBack).await;
        for device in &scene.devices {
            let view = scene.admin.device(device.id).await.unwrap();
            assert_eq!(view.current_version.as_ref(), Some(&scene.first.version), "{}", device.hardware_id);
        }
    }

    async fn too_few_successes_stop_it_as_well(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        // One of two failed: below the failure gate, and not enough successes.
        let rollout = scene
            .roll_out(&[50, 100], |plan| {
                (plan.success_threshold, plan.rollback_threshold) = (Some(0.9), Some(0.9));
            })
            .await;
        let offers = scene.offers().await;
        offers[0].0.install(&offers[0].1).await;
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().status, RolloutState::Active, "one is still at work");
        offers[1].0.fail(&offers[1].1, FailureClass::Space).await;
        let paused = scene.becomes(rollout.id, RolloutState::Paused).await;
        let reason = paused.reason.expect("it says why");
        assert!(reason.contains("1 of 2 devices succeeded (50 %); needed 90 %"), "{reason}");
        assert!(scene.offers().await.is_empty());
        scene.admin.resume_rollout(rollout.id).await.unwrap();
        scene.running(rollout.id, 1).await;
        assert_eq!(scene.offers().await.len(), 2);
    }

    async fn who_refuses_counts_as_failed(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        for (device, offer) in scene.offers().await {
            let why = drover_testkit::failure(FailureClass::Precondition);
            let reply = device.report_failure(offer.session_id, SessionState::Rejected, Some(why)).await.unwrap();
            assert_eq!(reply.state, SessionState::Rejected);
        }
        let paused = scene.becomes(rollout.id, RolloutState::Paused).await;
        assert_eq!(paused.counts.failed, 2);
    }
}
