//! Devices, as operators see them.

use std::time::Duration;

use drover_api::{DeviceFilter, DeviceUpdate, Firmware, GroupWrite};
use drover_protocol::{ComponentReport, RegisterRequest};
use drover_store::device_components;
use drover_testkit::{DEVICE_TYPE, Profile, TestServer, answer, on_both_profiles, refused};
use drover_types::{ComponentName, DeviceStatus, GroupId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, assert_refused};

async fn group(server: &TestServer, name: &str) -> GroupId {
    let body = GroupWrite { name: name.to_owned(), ..GroupWrite::default() };
    server.admin().create_group(&body).await.unwrap().id
}

fn in_groups(group_ids: &[GroupId]) -> DeviceUpdate {
    DeviceUpdate { group_ids: Some(group_ids.to_vec()), metadata: None }
}

on_both_profiles! {
    async fn a_device_is_seen_as_it_reports(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let device = &scene.devices[0];
        let view = scene.admin.device(device.id).await.unwrap();
        assert_eq!((view.hardware_id.as_str(), view.device_type.as_str()), ("TRUCK-01", DEVICE_TYPE));
        assert_eq!((view.status, view.target_version), (DeviceStatus::Idle, None));
        assert!(view.last_seen <= Some(view.created_at), "it has only registered");
        assert_eq!(view.current_version, Some(scene.first.version.clone()));
        assert_eq!(view.components[0].manifest_sha256, Some(scene.first.checksum));

        let radio: ComponentName = "radio".parse().unwrap();
        let report = ComponentReport { component: radio.clone(), version: "0.9.0".parse().ok(), manifest_sha256: None };
        device.heartbeat(vec![report]).await;
        let view = scene.admin.device(device.id).await.unwrap();
        assert!(view.last_seen > Some(view.created_at));
        let components: Vec<_> =
            view.components.iter().map(|one| (one.component.clone(), one.version.clone())).collect();
        let expected = [(ComponentName::main(), Some(scene.first.version.clone())), (radio, "0.9.0".parse().ok())];
        assert_eq!(components, expected);
        // Source 002's other name for the heartbeat, for this device only.
        let own = scene.server.request(Method::POST, &format!("/api/v1/devices/{}/status", device.id));
        let own = own.bearer_auth(&device.token).json(&json!({ "components": [{ "version": "1.0.1" }] }));
        assert_eq!(answer(own).await.status, 200);
        assert_eq!(scene.admin.device(device.id).await.unwrap().current_version, "1.0.1".parse().ok());
    }

    async fn a_heartbeat_that_says_nothing_new_writes_nothing(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 1).await;
        let device = &scene.devices[0];
        let tenant = scene.server.admin().whoami().await.unwrap().tenant_id;
        let reported_at = async || {
            let rows = device_components::of_device(scene.server.db().db(), tenant, device.id).await.unwrap();
            rows[0].reported_at
        };
        let says = |version: &str, firmware: &Firmware| {
            let (version, manifest_sha256) = (version.parse().ok(), Some(firmware.checksum));
            vec![ComponentReport { component: ComponentName::main(), version, manifest_sha256 }]
        };
        device.heartbeat(says("1.0.0", &scene.first)).await;
        let first = reported_at().await;
        clock.advance(Duration::from_mins(1));
        device.heartbeat(says("1.0.0", &scene.first)).await;
        assert_eq!(reported_at().await, first);
        let newer = scene.publish("1.1.0", 2).await;
        device.heartbeat(says("1.1.0", &newer)).await;
        assert!(reported_at().await > first);
        assert_eq!(scene.admin.device(device.id).await.unwrap().current_version, Some(newer.version));
    }

    async fn one_device_does_not_report_for_another(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let [one, other] = &scene.devices[..] else { panic!("two devices") };
        let request = scene.server.request(Method::POST, &format!("/api/v1/devices/{}/status", other.id));
        let answered =
            answer(request.bearer_auth(&one.token).json(&json!({ "components": [{ "version": "9.0.0" }] }))).await;
        assert!(matches!(answered.status, 403 | 404), "{}", answered.text());
        assert_eq!(scene.admin.device(other.id).await.unwrap().current_version, Some(scene.first.version.clone()));
    }

    async fn metadata_and_groups_are_the_operators(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let id = scene.devices[0].id;
        let [one, two] = [group(&scene.server, "one").await, group(&scene.server, "two").await];
        let metadata = [("site".to_owned(), json!("yard 7")), ("axles".to_owned(), json!(3))].into();
        let update = DeviceUpdate { metadata: Some(metadata), group_ids: Some(vec![one]) };
        let view = scene.admin.update_device(id, &update).await.unwrap();
        assert_eq!((view.metadata["site"].clone(), view.metadata["axles"].clone()), (json!("yard 7"), json!(3)));
        assert_eq!((view.group_id, view.group_ids), (Some(one), vec![one]));

        let view = scene.admin.update_device(id, &in_groups(&[one, two])).await.unwrap();
        assert_eq!(view.group_id, None, "in two groups, so in none alone");
        assert_eq!((view.group_ids.len(), view.metadata.len()), (2, 2), "what is left out stays");
        let view = scene.admin.update_device(id, &in_groups(&[])).await.unwrap();
        assert_eq!((view.group_id, view.group_ids), (None, Vec::new()));
    }

    async fn an_update_is_done_whole_or_not_at_all(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let id = scene.devices[0].id;
        let one = group(&scene.server, "one").await;
        scene.admin.update_device(id, &in_groups(&[one])).await.unwrap();
        let nowhere: GroupId = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        assert_refused!(scene.admin.update_device(id, &in_groups(&[nowhere])).await, 422, "invalid");
        assert_eq!(scene.admin.device(id).await.unwrap().group_ids, [one], "still where it was");

        let many = (0..65).map(|number| (number.to_string(), Value::Null)).collect();
        let large = [("x".to_owned(), json!("x".repeat(17_000)))].into();
        for metadata in [many, large] {
            let update = DeviceUpdate { metadata: Some(metadata), group_ids: None };
            assert_refused!(scene.admin.update_device(id, &update).await, 422, "invalid");
        }
        let unknown = scene.server.admin_request(Method::PUT, &format!("/api/v1/devices/{id}"));
        refused(unknown.json(&json!({ "status": "idle" })), 422, "invalid").await;
    }

    async fn lists_are_filtered(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let robot = RegisterRequest { hardware_id: "R2".into(), device_type: "robot".into(), components: Vec::new() };
        scene.server.register(&scene.server.first_start().enrolment_token, &robot).await.unwrap();
        let lab = group(&scene.server, "lab").await;
        scene.admin.update_device(scene.devices[1].id, &in_groups(&[lab])).await.unwrap();
        let names = async |filter: DeviceFilter| {
            let page = scene.admin.devices(&filter, 100).await.unwrap();
            page.items.into_iter().map(|device| device.hardware_id).collect::<Vec<_>>()
        };
        let filter = DeviceFilter::default;
        assert_eq!(names(filter()).await, ["R2", "TRUCK-03", "TRUCK-02", "TRUCK-01"], "newest first");
        assert_eq!(names(DeviceFilter { device_type: Some("robot".into()), ..filter() }).await, ["R2"]);
        assert_eq!(names(DeviceFilter { hardware_id: Some("TRUCK-03".into()), ..filter() }).await, ["TRUCK-03"]);
        assert_eq!(names(DeviceFilter { hardware_id: Some("TRUCK".into()), ..filter() }).await, [""; 0]);
        assert_eq!(names(DeviceFilter { group_id: Some(lab), ..filter() }).await, ["TRUCK-02"]);
        assert_eq!(names(DeviceFilter { status: Some(DeviceStatus::Updating), ..filter() }).await, [""; 0]);
        scene.roll_out(&[100], |_| ()).await;
        scene.devices[0].check().await.expect("an offer");
        assert_eq!(names(DeviceFilter { status: Some(DeviceStatus::Updating), ..filter() }).await, ["TRUCK-01"]);
    }

    async fn pages_have_every_device_once(profile: Profile) {
        let scene = Scene::new(profile, 7).await;
        let (mut cursor, mut pages, mut seen) = (String::new(), 0, Vec::new());
        loop {
            let path = format!("/api/v1/devices?limit=3{cursor}");
            let page: drover_api::Page<drover_api::Device> =
                answer(scene.server.admin_request(Method::GET, &path)).await.json();
            assert!(page.items.len() <= 3);
            seen.extend(page.items.into_iter().map(|device| device.hardware_id));
            pages += 1;
            if pages == 1 {
                // What is added meanwhile does not shift the pages behind.
                scene.server.device("LATE", None).await;
            }
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let expected: Vec<String> = (1..=7).rev().map(|number| format!("TRUCK-{number:02}")).collect();
        assert_eq!((pages, seen), (3, expected));
    }

    async fn a_deleted_device_is_gone_and_may_come_anew(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        device.check().await.expect("an offer");
        scene.admin.delete_device(device.id).await.unwrap();
        assert_refused!(scene.admin.delete_device(device.id).await, 404, "not_found");
        assert_eq!(scene.sessions(rollout.id).await.len(), 1, "its session went with it");
        let counts = scene.admin.rollout(rollout.id).await.unwrap().counts;
        assert_eq!((counts.in_flight, counts.pending), (0, 1));
        let anew = scene.server.device("TRUCK-01", None).await;
        assert_ne!(anew.id, device.id);
        // What is left ends the rollout.
        let offer = scene.devices[1].check().await.expect("an offer");
        scene.devices[1].install(&offer).await;
        scene.becomes(rollout.id, drover_types::RolloutState::Completed).await;
    }
}
