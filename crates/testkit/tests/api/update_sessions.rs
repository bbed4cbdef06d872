//! Reports of devices.

use drover_protocol::{Directive, StatusReport};
use drover_testkit::{Profile, answer, failure, on_both_profiles, on_the_local_profile, refused};
use drover_types::{FailureClass, RolloutState, SessionState, UpdateStatus};
use drover_uplink::CallError;
use reqwest::Method;
use serde_json::json;

use crate::scene::Scene;

on_both_profiles! {
    async fn reports_go_forward_and_may_be_repeated(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        let steps = [
            (SessionState::Downloading, UpdateStatus::Downloading),
            (SessionState::Downloaded, UpdateStatus::Downloading),
            (SessionState::Installing, UpdateStatus::Installing),
            (SessionState::Rebooting, UpdateStatus::Installing),
            (SessionState::Validating, UpdateStatus::Validating),
        ];
        for (state, status) in steps {
            for _ in 0..2 {
                device.proceed(&offer, state).await;
            }
            // What arrives late changes nothing.
            let late = device.report(offer.session_id, SessionState::Downloading).await.unwrap();
            assert_eq!((late.directive, late.state), (Directive::Continue, state));
            let session = scene.sessions(rollout.id).await.remove(0);
            assert_eq!((session.state, session.status), (state, Some(status)));
        }
        for _ in 0..2 {
            let reply = device.commit(&offer).await;
            assert_eq!((reply.directive, reply.state), (Directive::Continue, SessionState::Succeeded));
        }
        let reply = device.fail(&offer, FailureClass::Other).await;
        assert_eq!((reply.directive, reply.state), (Directive::Stop, SessionState::Succeeded), "what is over stays");
        let done = scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_eq!((done.counts.succeeded, done.counts.failed), (1, 0));
        let session = scene.sessions(rollout.id).await.remove(0);
        assert_eq!((session.progress, session.status), (100, Some(UpdateStatus::Success)));
        assert_eq!((session.from_version, session.version), (Some(scene.first.version.clone()), done.version));
        assert!(
            session.started_at.is_some() && session.completed_at >= session.started_at && session.duration.is_some()
        );
    }

    async fn a_word_that_comes_again_later_takes_nothing_back(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let device = &scene.devices[0];
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let older = device.check().await.expect("an offer");
        device.install(&older).await;
        scene.becomes(rollout.id, RolloutState::Completed).await;
        let newer = scene.publish("1.2.0", 3).await;
        scene.start(&newer, &[100], |_| ()).await;
        device.install(&device.check().await.expect("the newer one")).await;
        assert_eq!(device.commit(&older).await.state, SessionState::Succeeded);
        assert_eq!(scene.admin.device(device.id).await.unwrap().current_version, Some(newer.version));
    }

    async fn progress_never_falls(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        for (progress, seen) in [(10, 10), (60, 60), (30, 60)] {
            let report = StatusReport {
                session_id: offer.session_id,
                state: SessionState::Downloading,
                progress,
                failure: None,
                device_time: None,
            };
            device.client.status(&report).await.unwrap();
            assert_eq!(scene.sessions(rollout.id).await[0].progress, seen);
        }
    }

    async fn a_device_may_skip_states(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let offer = scene.devices[0].check().await.expect("an offer");
        assert_eq!(scene.devices[0].commit(&offer).await.state, SessionState::Succeeded);
        scene.becomes(rollout.id, RolloutState::Completed).await;
    }

    async fn nobody_reports_for_another(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let [one, other] = &scene.devices[..] else { panic!("two devices") };
        let offer = one.check().await.expect("an offer");
        let refused = other.report(offer.session_id, SessionState::Installing).await.unwrap_err();
        assert!(matches!(refused, CallError::Refused { status: 404, .. }), "{refused}");
        let unknown = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        let refused = one.report(unknown, SessionState::Installing).await.unwrap_err();
        assert!(matches!(refused, CallError::Refused { status: 404, .. }), "{refused}");
        let body = json!({ "session_id": offer.session_id, "outcome": "succeeded", "version": "1.1.0" });
        let validation = scene.server.request(Method::POST, "/api/v1/validation").bearer_auth(&other.token).json(&body);
        assert_eq!(answer(validation).await.status, 404);
        let view = scene.admin.device(other.id).await.unwrap();
        assert_eq!(view.current_version.as_ref(), Some(&scene.first.version), "and nothing of it was noted");
        let states: Vec<_> = scene.sessions(rollout.id).await.iter().map(|one| one.state).collect();
        assert!(states.contains(&SessionState::Offered) && states.contains(&SessionState::Pending), "{states:?}");
    }

    async fn a_failure_without_a_reason_is_noted_as_such(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        device.report(offer.session_id, SessionState::Failed).await.unwrap();
        let session = scene.sessions(rollout.id).await.remove(0);
        assert_eq!((session.failure_class, session.status), (Some(FailureClass::Other), Some(UpdateStatus::Failed)));
        assert_eq!(session.failure_code.as_deref(), Some("not_said"));
        assert!(device.check().await.is_none(), "the same rollout does not try again");
    }

    async fn many_reports_at_once_count_once_each(profile: Profile) {
        let scene = Scene::new(profile, 8).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let offers = scene.offers().await;
        assert_eq!(offers.len(), 8);
        let twice = offers.iter().chain(&offers);
        futures::future::join_all(twice.map(|(device, offer)| device.commit(offer))).await;
        let done = scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_eq!((done.counts.succeeded, done.counts.in_flight, done.counts.pending), (8, 0, 0));
    }
}

on_the_local_profile! {
    async fn what_a_device_cannot_say_is_refused(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        for state in ["pending", "offered", "succeeded", "rolled_back", "timed_out", "skipped", "happy"] {
            let body = json!({ "session_id": offer.session_id, "state": state });
            let request = scene.server.request(Method::POST, "/api/v1/status").bearer_auth(&device.token).json(&body);
            assert_eq!(refused(request, 422, "invalid").await.errors[0].field, "state", "{state}");
        }
        let body = json!({ "session_id": offer.session_id, "state": "downloading", "progress": 101 });
        let request = scene.server.request(Method::POST, "/api/v1/status").bearer_auth(&device.token).json(&body);
        assert_eq!(refused(request, 422, "invalid").await.errors[0].field, "progress");
        let long = drover_protocol::Failure { code: "x".repeat(65), ..failure(FailureClass::Other) };
        let error = device.report_failure(offer.session_id, SessionState::Failed, Some(long)).await.unwrap_err();
        assert!(matches!(error, CallError::Refused { status: 422, .. }), "{error}");
        assert_eq!(device.check().await.expect("nothing changed").session_id, offer.session_id);
    }
}
