//! Attributes and tags of devices.

use drover_api::{DeviceAttributes, DeviceAttributesChange};
use drover_testkit::{Profile, answer, on_both_profiles, refused};
use drover_types::{AttributeValue, DeviceId};
use reqwest::Method;
use serde_json::json;

use crate::scene::{Scene, assert_refused};

fn text(value: &str) -> AttributeValue {
    AttributeValue::Text(value.to_owned())
}

fn set(name: &str, value: &str) -> DeviceAttributesChange {
    DeviceAttributesChange { set: [(name.to_owned(), text(value))].into(), unset: Vec::new() }
}

fn unset(name: &str) -> DeviceAttributesChange {
    DeviceAttributesChange { unset: vec![name.to_owned()], ..DeviceAttributesChange::default() }
}

on_both_profiles! {
    async fn attributes_are_set_changed_and_removed(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let (admin, id) = (&scene.admin, scene.devices[0].id);
        assert_eq!(admin.device_attributes(id).await.unwrap(), DeviceAttributes::default());
        let all: DeviceAttributes = serde_json::from_value(json!({ "attributes": {
            "region": "eu", "axles": 3, "load": 0.5, "leased": true, "empty": "" } })).unwrap();
        assert_eq!(admin.replace_device_attributes(id, &all).await.unwrap(), all);
        assert_eq!(admin.device(id).await.unwrap().attributes, all.attributes, "the device's view has them");
        assert!(admin.device(scene.devices[1].id).await.unwrap().attributes.is_empty(), "the others' do not");

        let left = admin.change_device_attributes(id, &unset("axles")).await.unwrap();
        assert_eq!(left.attributes.len(), 4);
        let typed = admin.change_device_attributes(id, &set("leased", "yes")).await.unwrap();
        assert_eq!((typed.attributes["leased"].clone(), typed.attributes.len()), (text("yes"), 4), "another type");
        let one: DeviceAttributes = serde_json::from_value(json!({ "attributes": { "region": "us" } })).unwrap();
        assert_eq!(admin.replace_device_attributes(id, &one).await.unwrap(), one, "exactly these");
        admin.change_device_attributes(id, &unset("never_there")).await.unwrap();
    }

    async fn what_an_attribute_cannot_be_is_refused_whole(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let (admin, id) = (&scene.admin, scene.devices[0].id);
        let path = format!("/api/v1/devices/{id}/attributes");
        admin.change_device_attributes(id, &set("region", "eu")).await.unwrap();
        let many: serde_json::Map<_, _> = (0..101).map(|n| (format!("a{n}"), json!(n))).collect();
        for wrong in [
            json!({ "Region": "eu" }), json!({ "a.b": 1 }), json!({ "1st": 1 }), json!({ "in": 1 }), json!({ "": 1 }),
            json!({ "x": "y".repeat(257) }), json!({ "x": "\u{7}" }), json!({ "x": [1] }), json!({ "x": {} }),
            json!(many), json!({ "fine": 1, "x".repeat(64): 1 }),
        ] {
            let patch = scene.server.admin_request(Method::PATCH, &path).json(&json!({ "set": wrong }));
            refused(patch, 422, "invalid").await;
            let put = scene.server.admin_request(Method::PUT, &path).json(&json!({ "attributes": wrong }));
            refused(put, 422, "invalid").await;
        }
        let fit: serde_json::Map<_, _> = (0..99).map(|n| (format!("a{n}"), json!(n))).collect();
        let fit = scene.server.admin_request(Method::PATCH, &path).json(&json!({ "set": fit }));
        assert_eq!(answer(fit).await.status, 200);
        assert_refused!(admin.change_device_attributes(id, &set("more", "x")).await, 422, "invalid");
        assert_eq!(admin.device_attributes(id).await.unwrap().attributes.len(), 100, "nothing was changed");
    }

    async fn tags_are_put_on_and_taken_off(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let (admin, id) = (&scene.admin, scene.devices[0].id);
        for tag in ["canary", "yard:7", "canary"] {
            admin.add_device_tag(id, tag).await.unwrap();
        }
        assert_eq!(admin.device(id).await.unwrap().tags, ["canary", "yard:7"]);
        admin.remove_device_tag(id, "canary").await.unwrap();
        assert_refused!(admin.remove_device_tag(id, "canary").await, 404, "not_found");
        assert_eq!(admin.device(id).await.unwrap().tags, ["yard:7"]);
        for wrong in ["Canary", "a b", "-x", &"x".repeat(64)] {
            assert_refused!(admin.add_device_tag(id, wrong).await, 422, "invalid");
        }
        for n in 0..99 {
            admin.add_device_tag(id, &format!("t{n}")).await.unwrap();
        }
        assert_refused!(admin.add_device_tag(id, "one-too-many").await, 422, "invalid");
    }

    async fn only_people_of_the_tenant_change_them(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let (device, nobody) = (&scene.devices[0], "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse::<DeviceId>().unwrap());
        assert_refused!(scene.admin.device_attributes(nobody).await, 404, "not_found");
        assert_refused!(scene.admin.change_device_attributes(nobody, &unset("a")).await, 404, "not_found");
        assert_refused!(scene.admin.add_device_tag(nobody, "x").await, 404, "not_found");
        // A device that could set what targets ask for could choose its own updates.
        let itself = scene.server.stranger().with_token(&device.token);
        assert_refused!(itself.change_device_attributes(device.id, &unset("region")).await, 403, "forbidden");
        assert_refused!(itself.add_device_tag(device.id, "canary").await, 403, "forbidden");
        let other = scene.server.add_tenant("other").await;
        assert_refused!(other.admin.device_attributes(device.id).await, 404, "not_found");
        assert_refused!(other.admin.add_device_tag(device.id, "x").await, 404, "not_found");
    }
}
