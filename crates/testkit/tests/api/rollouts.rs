//! Rollouts: planned, steered, and never further than they may be.

use std::cmp::Ordering;

use drover_api::{RolloutFilter, RolloutUpdate, StageCreate};
use drover_protocol::{ComponentReport, Directive};
use drover_testkit::{Profile, on_both_profiles, on_the_local_profile, refused};
use drover_types::{DeviceStatus, FailureClass, RolloutState, SessionState, StageState};
use reqwest::Method;
use serde_json::json;

use crate::scene::{Scene, assert_refused, plan};

on_both_profiles! {
    async fn stages_open_one_after_the_other(profile: Profile) {
        let scene = Scene::new(profile, 10).await;
        let rollout = scene.roll_out(&[20, 50, 100], |_| ()).await;
        let mut taken = Vec::new();
        for (stage, so_far) in [2, 5, 10].into_iter().enumerate() {
            scene.running(rollout.id, stage).await;
            let offers = scene.offers().await;
            assert_eq!(taken.len() + offers.len(), so_far, "stage {stage}");
            assert_eq!(scene.offers().await.len(), offers.len(), "asking again brings no more");
            for (device, offer) in offers {
                assert!(!taken.contains(&device.id), "{} is told once", device.hardware_id);
                taken.push(device.id);
                let view = scene.admin.device(device.id).await.unwrap();
                assert_eq!((view.status, view.target_version), (DeviceStatus::Updating, Some(offer.version.clone())));
                device.install(&offer).await;
                let view = scene.admin.device(device.id).await.unwrap();
                assert_eq!((view.status, view.current_version), (DeviceStatus::Success, Some(offer.version)));
            }
        }
        let done = scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_eq!((done.counts.succeeded, done.counts.pending, done.counts.in_flight), (10, 0, 0));
        let shares: Vec<_> = done.stages.iter().map(|stage| (stage.status, stage.counts.succeeded)).collect();
        assert_eq!(shares, [(StageState::Passed, 2), (StageState::Passed, 3), (StageState::Passed, 5)]);
        assert!(done.started_at.is_some() && done.completed_at.is_some());
        assert!(scene.offers().await.is_empty(), "who has it is told nothing");
    }

    async fn a_pause_offers_nothing_and_lets_finish(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let first = &scene.devices[0];
        let offer = first.check().await.expect("an offer");
        first.proceed(&offer, SessionState::Downloading).await;
        let paused = scene.admin.pause_rollout(rollout.id).await.unwrap();
        assert_eq!((paused.status, paused.reason.as_deref()), (RolloutState::Paused, Some("paused by a user")));
        assert!(scene.devices[1].check().await.is_none() && scene.devices[2].check().await.is_none());
        assert_eq!(first.check().await.expect("it goes on").session_id, offer.session_id);
        first.proceed(&offer, SessionState::Installing).await;
        first.commit(&offer).await;
        assert_refused!(scene.admin.pause_rollout(rollout.id).await, 409, "wrong_state");
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().counts.succeeded, 1);

        scene.admin.resume_rollout(rollout.id).await.unwrap();
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_refused!(scene.admin.resume_rollout(rollout.id).await, 409, "wrong_state");
    }

    async fn cancelling_calls_off_what_has_not_begun_to_install(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let [waiting, told, fetching, installing] = &scene.devices[..] else { panic!("four devices") };
        let offers = [told.check().await.unwrap(), fetching.check().await.unwrap(), installing.check().await.unwrap()];
        fetching.proceed(&offers[1], SessionState::Downloading).await;
        installing.proceed(&offers[2], SessionState::Installing).await;
        let cancelled = scene.admin.cancel_rollout(rollout.id).await.unwrap();
        assert_eq!(cancelled.status, RolloutState::Cancelled);
        // The driver calls off who was only told; who fetches asks before it installs.
        scene.server.rollout_when("the calling off", rollout.id, |rollout| rollout.counts.cancelled == 2).await;
        let reply = told.report(offers[0].session_id, SessionState::Downloading).await.unwrap();
        assert_eq!((reply.directive, reply.state), (Directive::Stop, SessionState::Cancelled));
        let reply = fetching.report(offers[1].session_id, SessionState::Installing).await.unwrap();
        assert_eq!((reply.directive, reply.state), (Directive::Stop, SessionState::Cancelled));
        let reply = fetching.report(offers[1].session_id, SessionState::Cancelled).await.unwrap();
        assert_eq!(reply.state, SessionState::Cancelled);
        // After the switch has begun it is too late.
        let reply = installing.report(offers[2].session_id, SessionState::Rebooting).await.unwrap();
        assert_eq!(reply.directive, Directive::Continue);
        installing.commit(&offers[2]).await;
        let counts = scene.admin.rollout(rollout.id).await.unwrap().counts;
        assert_eq!((counts.cancelled, counts.succeeded, counts.in_flight, counts.pending), (3, 1, 0, 0));
        assert!(waiting.check().await.is_none() && told.check().await.is_none());
        assert_eq!(scene.admin.device(told.id).await.unwrap().status, DeviceStatus::Idle);
        assert_refused!(scene.admin.start_rollout(rollout.id).await, 409, "wrong_state");
    }

    async fn no_more_at_work_than_the_cap(profile: Profile) {
        let scene = Scene::new(profile, 5).await;
        let rollout = scene.roll_out(&[100], |plan| plan.max_in_flight = Some(2)).await;
        let mut done = 0;
        while done < 5 {
            let offers = scene.offers().await;
            assert_eq!(offers.len(), 2.min(5 - done));
            let (device, offer) = &offers[0];
            device.install(offer).await;
            done += 1;
        }
        scene.becomes(rollout.id, RolloutState::Completed).await;
    }

    async fn the_cap_holds_when_all_ask_at_once(profile: Profile) {
        let scene = Scene::new(profile, 8).await;
        scene.roll_out(&[100], |plan| plan.max_in_flight = Some(3)).await;
        let offers = futures::future::join_all(scene.devices.iter().map(drover_testkit::Device::check)).await;
        assert_eq!(offers.into_iter().flatten().count(), 3);
    }

    async fn two_rollouts_for_one_device_wait_for_each_other(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let older = scene.publish("1.1.0", 2).await;
        let newer = scene.publish("1.2.0", 3).await;
        let first = scene.start(&older, &[100], |_| ()).await;
        let second = scene.start(&newer, &[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        assert_eq!((offer.rollout_id, &offer.version), (first.id, &older.version), "the older rollout comes first");
        device.proceed(&offer, SessionState::Installing).await;
        assert_eq!(device.check().await.expect("the same").session_id, offer.session_id);
        assert_eq!(scene.admin.rollout(second.id).await.unwrap().counts.pending, 1);
        device.commit(&offer).await;
        let offer = device.check().await.expect("the next");
        assert_eq!((offer.rollout_id, &offer.version), (second.id, &newer.version));
        device.install(&offer).await;
        scene.becomes(first.id, RolloutState::Completed).await;
        scene.becomes(second.id, RolloutState::Completed).await;
    }

    async fn devices_that_are_newer_already_are_left_alone(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let newer = scene.publish("3.0.0", 30).await;
        let older = scene.publish("2.0.0", 20).await;
        let ahead = scene.server.device("AHEAD", Some(&newer)).await;
        let unknown = ComponentReport {
            component: drover_types::ComponentName::main(),
            version: "2.5.0".parse().ok(),
            manifest_sha256: None,
        };
        scene.devices[0].heartbeat(vec![unknown]).await;
        let rollout = scene.start(&older, &[100], |_| ()).await;
        let told: Vec<_> = scene.sessions(rollout.id).await.into_iter().map(|session| session.hardware_id).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(ahead.check().await.is_none() && scene.devices[0].check().await.is_none());
        // One that got it in another way meanwhile is skipped.
        let by_hand = ComponentReport {
            component: older.component.clone(),
            version: Some(older.version.clone()),
            manifest_sha256: Some(older.checksum),
        };
        scene.devices[1].heartbeat(vec![by_hand]).await;
        assert!(scene.devices[1].check().await.is_none());
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().counts.skipped, 1);
        let offer = scene.devices[2].check().await.expect("an offer");
        scene.devices[2].install(&offer).await;
        scene.becomes(rollout.id, RolloutState::Completed).await;
    }

    async fn a_rollout_for_nobody_is_over_at_once(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let draft = scene.draft(&scene.first, &[10, 100], |_| ()).await;
        scene.admin.start_rollout(draft.id).await.unwrap();
        let done = scene.becomes(draft.id, RolloutState::Completed).await;
        assert_eq!(done.counts, drover_api::RolloutCounts::default());
        assert_eq!(scene.admin.rollout_metrics(draft.id).await.unwrap().success_rate, None);
    }

    async fn a_draft_changes_and_a_started_rollout_does_not(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[100], |_| ()).await;
        assert!(scene.devices[0].check().await.is_none(), "a draft does nothing");
        let stage = |percentage| StageCreate {
            name: Some(format!("{percentage} %")),
            percentage: Some(percentage),
            ..StageCreate::default()
        };
        let change = RolloutUpdate {
            stages: Some(vec![stage(50), stage(100)]),
            min_sample: Some(7),
            ..RolloutUpdate::default()
        };
        let changed = scene.admin.update_rollout(draft.id, &change).await.unwrap();
        let names: Vec<_> = changed.stages.iter().map(|stage| stage.name.as_str()).collect();
        assert_eq!((names.as_slice(), changed.min_sample), (&["50 %", "100 %"][..], 7));
        assert_eq!(changed.rollback_threshold.total_cmp(&draft.rollback_threshold), Ordering::Equal, "it stays");

        scene.admin.start_rollout(draft.id).await.unwrap();
        scene.running(draft.id, 0).await;
        assert_refused!(scene.admin.start_rollout(draft.id).await, 409, "wrong_state");
        let later = RolloutUpdate { min_sample: Some(8), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &later).await, 409, "rollout_started");
        let groups = RolloutUpdate { target_groups: Some(Vec::new()), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &groups).await, 409, "rollout_started");
        let name = RolloutUpdate { name: Some("renamed".into()), ..RolloutUpdate::default() };
        assert_eq!(scene.admin.update_rollout(draft.id, &name).await.unwrap().name, "renamed");
    }

    async fn figures_failures_and_lists(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene
            .roll_out(&[50, 100], |plan| {
                (plan.success_threshold, plan.rollback_threshold) = (Some(0.5), Some(1.0));
            })
            .await;
        let offers = scene.offers().await;
        offers[0].0.fail(&offers[0].1, FailureClass::Download).await;
        offers[1].0.install(&offers[1].1).await;
        scene.running(rollout.id, 1).await;
        let late = scene.offers().await;
        late[0].0.roll_back(&late[0].1).await;

        let metrics = scene.admin.rollout_metrics(rollout.id).await.unwrap();
        assert_eq!(metrics.success_rate, Some(1.0 / 3.0));
        let classes: Vec<_> = metrics.failures_by_class.iter().map(|(class, count)| (class.as_str(), *count)).collect();
        assert_eq!(classes, [("download", 1), ("self_test", 1)]);
        let stages: Vec<_> = metrics.stages.iter().map(|stage| (stage.status, stage.counts.failed)).collect();
        assert_eq!(stages, [(StageState::Passed, 1), (StageState::Running, 1)]);
        assert_eq!((metrics.counts.succeeded, metrics.counts.failed, metrics.counts.in_flight), (1, 2, 1));

        let failures = scene.admin.rollout_failures(rollout.id, 10).await.unwrap().items;
        let seen: Vec<_> = failures.iter().map(|one| (one.device_id, one.failure_class, one.state)).collect();
        assert_eq!(
            seen,
            [
                (offers[0].0.id, Some(FailureClass::Download), SessionState::Failed),
                (late[0].0.id, Some(FailureClass::SelfTest), SessionState::RolledBack),
            ]
        );
        assert_eq!(failures[0].failure_code.as_deref(), Some("test_download"));
        assert_eq!(failures[0].error_message.as_deref(), Some("as the test wants it"));
        let filter = drover_api::UpdateSessionFilter { state: Some(SessionState::Succeeded), ..Default::default() };
        let succeeded = scene.admin.rollout_sessions(rollout.id, &filter, 10).await.unwrap().items;
        assert_eq!(succeeded.iter().map(|one| one.device_id).collect::<Vec<_>>(), [offers[1].0.id]);
        let active = RolloutFilter { status: Some(RolloutState::Active), ..RolloutFilter::default() };
        assert_eq!(scene.admin.rollouts(&active, 10).await.unwrap().items.len(), 1);
        let draft = RolloutFilter { status: Some(RolloutState::Draft), ..RolloutFilter::default() };
        assert!(scene.admin.rollouts(&draft, 10).await.unwrap().items.is_empty());
    }
}

on_the_local_profile! {
    async fn a_plan_that_cannot_be_followed_is_refused(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let good = serde_json::to_value(plan(&scene.first, &[20, 100])).unwrap();
        let bad = [
            ("name", json!("")),
            ("stages", json!([])),
            ("stages", json!([{ "percentage": 50 }])),
            ("stages", json!([{ "percentage": 50 }, { "percentage": 50 }, { "percentage": 100 }])),
            ("stages", json!([{ "percentage": 0 }, { "percentage": 100 }])),
            ("stages", json!([{ "percentage": 101 }])),
            ("stages", json!([{ "percentage": 100, "soak_ms": 31_u64 * 86_400_000 }])),
            ("stages", json!([{ "percentage": 100, "start_time": "soon" }])),
            ("stages", json!([{ "percentage": 100, "region": "eu" }])),
            ("success_threshold", json!(1.1)),
            ("rollback_threshold", json!(0.0)),
            ("min_sample", json!(0)),
            ("on_breach", json!("panic")),
            ("max_in_flight", json!(0)),
            ("session_timeout_ms", json!(999)),
            ("firmware_id", json!("0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")),
            ("target_groups", json!(["0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"])),
            ("device_filter", json!("all")),
        ];
        for (field, value) in bad {
            let mut body = good.clone();
            body[field] = value.clone();
            let request = scene.server.admin_request(Method::POST, "/api/v1/rollouts").json(&body);
            let problem = refused(request, 422, "invalid").await;
            let named = problem.errors.iter().any(|error| error.field.starts_with(field));
            assert!(named, "{field} = {value}: {problem:?}");
        }
        assert!(scene.admin.rollouts(&RolloutFilter::default(), 10).await.unwrap().items.is_empty());
    }
}
