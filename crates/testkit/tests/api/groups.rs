//! Static groups.

use drover_api::{Group, GroupWrite};
use drover_testkit::{Profile, answer, on_both_profiles};
use drover_types::DeviceId;
use reqwest::Method;
use serde_json::json;

use crate::scene::{Scene, assert_refused};

fn named(name: &str) -> GroupWrite {
    GroupWrite { name: name.to_owned(), description: "for tests".to_owned(), ..GroupWrite::default() }
}

on_both_profiles! {
    async fn a_group_is_made_changed_and_deleted(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let admin = &scene.admin;
        let lab = admin.create_group(&named("lab")).await.unwrap();
        assert_eq!((lab.name.as_str(), lab.description.as_str(), lab.device_count), ("lab", "for tests", Some(0)));
        assert_refused!(admin.create_group(&named("lab")).await, 409, "group_exists");
        let field = admin.create_group(&named("field")).await.unwrap();
        assert_refused!(admin.update_group(field.id, &named("lab")).await, 409, "group_exists");
        let renamed = admin.update_group(field.id, &named("yard")).await.unwrap();
        assert_eq!((renamed.id, renamed.name.as_str()), (field.id, "yard"));
        admin.delete_group(lab.id).await.unwrap();
        assert_refused!(admin.group(lab.id).await, 404, "not_found");
        assert_refused!(admin.delete_group(lab.id).await, 404, "not_found");
        assert_refused!(admin.update_group(lab.id, &named("x")).await, 404, "not_found");
        assert_eq!(admin.groups(10).await.unwrap().items, [renamed]);
        assert_refused!(admin.create_group(&named(&"x".repeat(101))).await, 422, "invalid");
    }

    async fn members_come_and_go(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let admin = &scene.admin;
        let lab = admin.create_group(&named("lab")).await.unwrap();
        let ids: Vec<DeviceId> = scene.devices.iter().map(|device| device.id).collect();
        admin.add_to_group(lab.id, ids[..2].to_vec()).await.unwrap();
        admin.add_to_group(lab.id, ids[1..].to_vec()).await.unwrap();
        assert_eq!(admin.group(lab.id).await.unwrap().device_count, Some(3), "who is in it stays in it once");
        admin.remove_from_group(lab.id, ids[0]).await.unwrap();
        assert_refused!(admin.remove_from_group(lab.id, ids[0]).await, 404, "not_found");
        assert_eq!(admin.group(lab.id).await.unwrap().device_count, Some(2));

        let nobody: DeviceId = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        assert_refused!(admin.add_to_group(lab.id, vec![ids[0], nobody]).await, 422, "invalid");
        assert_eq!(admin.group(lab.id).await.unwrap().device_count, Some(2), "all or none");
        assert_refused!(admin.add_to_group(lab.id, Vec::new()).await, 422, "invalid");
        assert_refused!(admin.add_to_group(lab.id, vec![ids[0]; 1_001]).await, 422, "invalid");

        admin.delete_device(ids[1]).await.unwrap();
        assert_eq!(admin.group(lab.id).await.unwrap().device_count, Some(1));
        admin.delete_group(lab.id).await.unwrap();
        assert_eq!(admin.device(ids[2]).await.unwrap().group_ids, [], "its devices stay");
    }

    async fn pages_have_every_group_once(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        for number in 0..5 {
            let name = format!("group {number}");
            let body = json!({ "name": name });
            assert_eq!(
                answer(scene.server.admin_request(Method::POST, "/api/v1/groups").json(&body)).await.status,
                201
            );
        }
        let first: drover_api::Page<Group> =
            answer(scene.server.admin_request(Method::GET, "/api/v1/groups?limit=4")).await.json();
        let next = format!("/api/v1/groups?limit=4&cursor={}", first.next_cursor.unwrap());
        let last: drover_api::Page<Group> = answer(scene.server.admin_request(Method::GET, &next)).await.json();
        let names: Vec<_> = first.items.into_iter().chain(last.items).map(|group| group.name).collect();
        assert_eq!(names, ["group 4", "group 3", "group 2", "group 1", "group 0"]);
        assert_eq!(last.next_cursor, None);
    }

    async fn a_rollout_takes_only_its_groups_and_holds_them(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let [one, two] = [
            scene.admin.create_group(&named("one")).await.unwrap(),
            scene.admin.create_group(&named("two")).await.unwrap(),
        ];
        scene.admin.add_to_group(one.id, vec![scene.devices[0].id, scene.devices[1].id]).await.unwrap();
        scene.admin.add_to_group(two.id, vec![scene.devices[1].id, scene.devices[2].id]).await.unwrap();
        let rollout = scene.roll_out(&[100], |plan| plan.target_groups = vec![one.id, two.id]).await;
        assert_eq!(rollout.target_groups.len(), 2);
        let offers = scene.offers().await;
        let told: Vec<_> = offers.iter().map(|(device, _)| device.hardware_id.as_str()).collect();
        assert_eq!(told, ["TRUCK-01", "TRUCK-02", "TRUCK-03"]);
        assert_refused!(scene.admin.delete_group(one.id).await, 409, "group_in_use");
    }
}
