//! What happens when time passes.

use std::time::Duration;

use drover_protocol::Directive;
use drover_testkit::{Profile, on_both_profiles};
use drover_types::{Clock as _, FailureClass, RolloutState, SessionState, StageState};

use crate::scene::Scene;

const HOUR: Duration = Duration::from_hours(1);
const MINUTE: Duration = Duration::from_mins(1);

on_both_profiles! {
    async fn a_stage_soaks_before_the_next_opens(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 4).await;
        let rollout = scene.roll_out(&[50, 100], |plan| plan.stages[0].soak_ms = 3_600_000).await;
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        let soaks = |rollout: &drover_api::Rollout| rollout.stages[0].status == StageState::Soaking;
        scene.server.rollout_when("the soak", rollout.id, soaks).await;
        clock.advance(59 * MINUTE);
        assert!(scene.offers().await.is_empty(), "not yet");
        assert!(soaks(&scene.admin.rollout(rollout.id).await.unwrap()));
        clock.advance(MINUTE);
        scene.running(rollout.id, 1).await;
        assert_eq!(scene.offers().await.len(), 2);
    }

    async fn a_start_time_is_waited_for(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 4).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let start = clock.now();
        let draft = scene
            .draft(&firmware, &[50, 100], |plan| {
                plan.stages[0].start_time = Some(start.plus(HOUR));
                plan.stages[1].start_time = Some(start.plus(3 * HOUR));
            })
            .await;
        let started = scene.admin.start_rollout(draft.id).await.unwrap();
        assert_eq!(started.status, RolloutState::Scheduled);
        clock.advance(59 * MINUTE);
        assert!(scene.offers().await.is_empty(), "not yet");
        assert_eq!(scene.admin.rollout(draft.id).await.unwrap().status, RolloutState::Scheduled);
        clock.advance(MINUTE);
        scene.running(draft.id, 0).await;
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        scene
            .server
            .rollout_when("the first stage", draft.id, |rollout| rollout.stages[0].status == StageState::Passed)
            .await;
        assert!(scene.offers().await.is_empty(), "the second stage has a time of its own");
        clock.advance(2 * HOUR);
        scene.running(draft.id, 1).await;
        assert_eq!(scene.offers().await.len(), 2);
    }

    async fn silence_is_a_failure_and_a_late_word_still_counts(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 3).await;
        let rollout = scene
            .roll_out(&[100], |plan| {
                (plan.session_timeout_ms, plan.min_sample) = (Some(600_000), Some(3));
            })
            .await;
        let [silent, alive, gone] = &scene.devices[..] else { panic!("three devices") };
        let offers = [silent.check().await.unwrap(), alive.check().await.unwrap(), gone.check().await.unwrap()];
        silent.proceed(&offers[0], SessionState::Installing).await;
        clock.advance(9 * MINUTE);
        alive.proceed(&offers[1], SessionState::Downloading).await;
        clock.advance(2 * MINUTE);
        let timed_out =
            scene.server.rollout_when("the time-outs", rollout.id, |rollout| rollout.counts.failed == 2).await;
        assert_eq!((timed_out.counts.in_flight, timed_out.status), (1, RolloutState::Active), "one reported in time");
        let failures = scene.admin.rollout_failures(rollout.id, 10).await.unwrap().items;
        assert!(failures.iter().all(|one| one.state == SessionState::TimedOut), "{failures:?}");
        assert!(failures.iter().all(|one| one.failure_class == Some(FailureClass::Timeout)), "{failures:?}");
        // It was given up: on the way it is stopped, at the end it is believed.
        let reply = gone.report(offers[2].session_id, SessionState::Downloading).await.unwrap();
        assert_eq!((reply.directive, reply.state), (Directive::Stop, SessionState::TimedOut));
        assert_eq!(silent.commit(&offers[0]).await.state, SessionState::Succeeded);
        let metrics = scene.admin.rollout_metrics(rollout.id).await.unwrap();
        assert_eq!((metrics.counts.failed, metrics.counts.succeeded), (1, 1));
        assert_eq!(metrics.failures_by_class.into_iter().collect::<Vec<_>>(), [("timeout".to_owned(), 1)]);
        let view = scene.admin.device(silent.id).await.unwrap();
        assert_eq!(view.status, drover_types::DeviceStatus::Success);
    }

    async fn silence_ends_what_was_paused_or_cancelled(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 2).await;
        let rollout = scene.roll_out(&[100], |plan| plan.session_timeout_ms = Some(600_000)).await;
        for (device, offer) in scene.offers().await {
            device.proceed(&offer, SessionState::Installing).await;
        }
        scene.admin.cancel_rollout(rollout.id).await.unwrap();
        clock.advance(11 * MINUTE);
        scene.server.rollout_when("the time-outs", rollout.id, |rollout| rollout.counts.failed == 2).await;
    }
}
