//! Conditions in lists, counts, groups and targets.

use drover_api::{
    AuditFilter, DeviceAttributesChange, DeviceCountFilter, DeviceFilter, DeviceUpdate, GroupWrite, Page,
    RolloutFilter, RolloutUpdate, StageCreate,
};
use drover_cli::{Client, ClientError};
use drover_store::condition_groups::{self, Part};
use drover_store::{groups, tenants};
use drover_testkit::{Profile, answer, eventually, on_both_profiles, refused};
use drover_types::{ActorKind, AttributeValue, DeviceId, GroupId, RolloutId, RolloutState, SessionState, StageState};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, assert_refused, plan};

async fn set(scene: &Scene, index: usize, name: &str, value: AttributeValue) {
    let change = DeviceAttributesChange { set: [(name.to_owned(), value)].into(), unset: Vec::new() };
    scene.admin.change_device_attributes(scene.devices[index].id, &change).await.unwrap();
}

/// Devices 1 and 2 are in the EU, 3 in the US, 4 nowhere; 2 and 3 are canaries; axles count the devices.
pub(crate) async fn scattered(profile: Profile) -> Scene {
    let scene = Scene::new(profile, 4).await;
    for (index, region) in ["eu", "eu", "us"].iter().enumerate() {
        set(&scene, index, "region", AttributeValue::Text((*region).to_owned())).await;
    }
    for index in [1, 2] {
        scene.admin.add_device_tag(scene.devices[index].id, "canary").await.unwrap();
    }
    for (index, axles) in [1.0, 2.0, 3.0, 4.0].into_iter().enumerate() {
        set(&scene, index, "axles", AttributeValue::Number(axles)).await;
    }
    scene
}

async fn listed(scene: &Scene, filter: &str) -> Vec<String> {
    let filter = DeviceFilter { filter: Some(filter.to_owned()), ..DeviceFilter::default() };
    names(scene.admin.devices(&filter, 100).await.unwrap())
}

fn names(page: Page<drover_api::Device>) -> Vec<String> {
    let mut names: Vec<String> = page.items.into_iter().map(|device| device.hardware_id).collect();
    names.sort();
    names
}

fn dynamic(name: &str, condition: &str) -> GroupWrite {
    GroupWrite { name: name.to_owned(), condition: Some(condition.to_owned()), ..GroupWrite::default() }
}

/// The client of a new user who has this role over one group only.
pub(crate) async fn over_group(scene: &Scene, role: &str, group: GroupId) -> Client {
    let post = async |path: &str, body: Value| -> Value {
        let made = answer(scene.server.admin_request(Method::POST, &format!("/api/v1/{path}")).json(&body)).await;
        assert_eq!(made.status, 201, "{path}: {}", made.text());
        made.json()
    };
    let password = "correct horse battery";
    let user = post("users", json!({ "username": "anna", "password": password })).await;
    let grants = format!("users/{}/grants", user["user"]["id"].as_str().unwrap());
    post(&grants, json!({ "role": role, "scope": { "group_id": group } })).await;
    let body = json!({ "tenant": "default", "username": "anna", "password": password });
    let reply = answer(scene.server.request(Method::POST, "/api/v1/auth/login").json(&body)).await;
    scene.server.stranger().with_token(reply.json::<Value>()["token"].as_str().unwrap())
}

/// What was done to a rollout and by whom, oldest first.
async fn steps(scene: &Scene, id: RolloutId) -> Vec<(String, ActorKind)> {
    let filter = AuditFilter { object_id: Some(id.to_string()), ..AuditFilter::default() };
    let entries = scene.admin.audit(&filter, 100).await.unwrap().items;
    entries.into_iter().rev().map(|entry| (entry.action, entry.actor.kind)).collect()
}

const SEEN: &str = "device.last_seen > now - duration(\"1h\")";
const EU: &str = "device.attr.region == \"eu\"";

on_both_profiles! {
    async fn lists_and_counts_are_filtered_by_conditions(profile: Profile) {
        let scene = scattered(profile).await;
        for (condition, expected) in [
            (EU, &["TRUCK-01", "TRUCK-02"][..]),
            ("device.attr.region != \"eu\"", &["TRUCK-03", "TRUCK-04"]),
            ("\"canary\" in device.tags && device.attr.axles > 2", &["TRUCK-03"]),
            ("device.hardware_id in [\"TRUCK-01\", \"TRUCK-04\"]", &["TRUCK-01", "TRUCK-04"]),
            ("device.version < semver(\"1.0.0\")", &[]),
            ("has(device.attr.region) && !(\"canary\" in device.tags)", &["TRUCK-01"]),
        ] {
            assert_eq!(listed(&scene, condition).await, expected, "{condition}");
            let filter = DeviceCountFilter { filter: Some(condition.to_owned()), ..DeviceCountFilter::default() };
            let count = scene.admin.device_count(&filter).await.unwrap().count;
            assert_eq!(count, expected.len() as u64, "{condition}");
        }
        let rsql = DeviceFilter { rsql: Some("attribute.region==eu;tag==canary".into()), ..DeviceFilter::default() };
        assert_eq!(names(scene.admin.devices(&rsql, 100).await.unwrap()), ["TRUCK-02"]);
        let all = scene.admin.device_count(&DeviceCountFilter::default()).await.unwrap().count;
        assert_eq!(all, 4);
        let other = scene.server.add_tenant("other").await;
        assert_eq!(other.admin.device_count(&DeviceCountFilter::default()).await.unwrap().count, 0);
    }

    async fn filtered_pages_have_every_device_once(profile: Profile) {
        let scene = scattered(profile).await;
        let filter = "filter=device.attr.axles+%3E+1&limit=2";
        let first: Page<drover_api::Device> =
            answer(scene.server.admin_request(Method::GET, &format!("/api/v1/devices?{filter}"))).await.json();
        let next = format!("/api/v1/devices?{filter}&cursor={}", first.next_cursor.clone().unwrap());
        let last: Page<drover_api::Device> = answer(scene.server.admin_request(Method::GET, &next)).await.json();
        assert_eq!((first.items.len(), last.items.len(), last.next_cursor.clone()), (2, 1, None));
        let all: Vec<_> = first.items.into_iter().chain(last.items).map(|device| device.hardware_id).collect();
        assert_eq!(all, ["TRUCK-04", "TRUCK-03", "TRUCK-02"]);
    }

    async fn a_wrong_condition_says_where(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        for (condition, message) in [
            ("device.typ == \"x\"", "did you mean device.type?"),
            ("device.attr.region ==", "line 1, column"),
            ("telemetry.battery > 40", "conditions on telemetry cannot select devices yet"),
            ("\"nowhere\" in device.groups", "there is no group \"nowhere\""),
        ] {
            let filter = DeviceFilter { filter: Some(condition.to_owned()), ..DeviceFilter::default() };
            let refusal = scene.admin.devices(&filter, 9).await.unwrap_err();
            let ClientError::Problem(problem) = refusal else { panic!("{refusal}") };
            assert_eq!((problem.status, problem.errors[0].field.as_str()), (422, "filter"));
            assert!(problem.errors[0].message.contains(message), "{}", problem.errors[0].message);
        }
        let both = scene.server.admin_request(Method::GET, "/api/v1/devices?filter=true&rsql=type==x");
        refused(both, 422, "invalid").await;
        assert_refused!(scene.admin.create_group(&dynamic("x", "device.typ == 1")).await, 422, "invalid");
    }

    async fn a_dynamic_group_has_whoever_its_condition_says(profile: Profile) {
        let scene = scattered(profile).await;
        let admin = &scene.admin;
        let eu = admin.create_group(&dynamic("eu", EU)).await.unwrap();
        assert_eq!((eu.condition.as_deref(), eu.device_count), (Some(EU), Some(2)));
        assert_eq!(names(admin.group_devices(eu.id, 100).await.unwrap()), ["TRUCK-01", "TRUCK-02"]);
        let by_group = DeviceFilter { group_id: Some(eu.id), ..DeviceFilter::default() };
        assert_eq!(names(admin.devices(&by_group, 100).await.unwrap()), ["TRUCK-01", "TRUCK-02"]);
        set(&scene, 3, "region", AttributeValue::Text("eu".into())).await;
        assert_eq!(admin.group(eu.id).await.unwrap().device_count, Some(3), "asked anew each time");
        let in_list = admin.groups(10).await.unwrap().items;
        assert_eq!((in_list[0].device_count, in_list[0].condition.is_some()), (None, true));

        let ids: Vec<DeviceId> = scene.devices.iter().map(|device| device.id).collect();
        assert_refused!(admin.add_to_group(eu.id, vec![ids[2]]).await, 409, "group_is_dynamic");
        assert_refused!(admin.remove_from_group(eu.id, ids[0]).await, 409, "group_is_dynamic");
        let into = DeviceUpdate { group_ids: Some(vec![eu.id]), metadata: None };
        assert_refused!(admin.update_device(ids[2], &into).await, 422, "invalid");

        let renamed = GroupWrite { name: "europe".into(), ..GroupWrite::default() };
        let kept = admin.update_group(eu.id, &renamed).await.unwrap();
        assert_eq!((kept.name.as_str(), kept.condition.as_deref()), ("europe", Some(EU)), "left out, it stays");
        let us = admin.update_group(eu.id, &dynamic("us", "device.attr.region == \"us\"")).await.unwrap();
        assert_eq!(us.device_count, Some(1));
        admin.delete_group(eu.id).await.unwrap();
    }

    async fn a_group_stays_static_or_dynamic_and_depends_on_no_dynamic_one(profile: Profile) {
        let scene = scattered(profile).await;
        let admin = &scene.admin;
        let lab = admin.create_group(&GroupWrite { name: "lab".into(), ..GroupWrite::default() }).await.unwrap();
        admin.add_to_group(lab.id, vec![scene.devices[0].id, scene.devices[2].id]).await.unwrap();
        assert_refused!(admin.update_group(lab.id, &dynamic("lab", EU)).await, 409, "group_is_static");
        assert_eq!(names(admin.group_devices(lab.id, 9).await.unwrap()), ["TRUCK-01", "TRUCK-03"]);
        let both = format!("\"lab\" in device.groups && {EU}");
        let nested = admin.create_group(&dynamic("eu-lab", &both)).await.unwrap();
        assert_eq!(names(admin.group_devices(nested.id, 9).await.unwrap()), ["TRUCK-01"]);
        let deeper = dynamic("deeper", "\"eu-lab\" in device.groups");
        assert_refused!(admin.create_group(&deeper).await, 422, "invalid");
        let nobody: GroupId = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        assert_refused!(admin.group_devices(nobody, 9).await, 404, "not_found");
    }

    async fn a_group_that_conditions_ask_for_keeps_its_name_and_stays(profile: Profile) {
        let scene = scattered(profile).await;
        let admin = &scene.admin;
        let named = |name: &str| GroupWrite { name: name.to_owned(), ..GroupWrite::default() };
        let hold = admin.create_group(&named("hold")).await.unwrap();
        let first = admin.create_group(&named("first")).await.unwrap();
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene
            .draft(&firmware, &[100], |plan| {
                plan.target_condition = Some("!(\"hold\" in device.groups)".into());
                let condition = Some("\"first\" in device.groups && !(\"hold\" in device.groups)".into());
                plan.stages.insert(0, StageCreate { condition, ..StageCreate::default() });
            })
            .await;
        let ready = admin.create_group(&dynamic("ready", "!(\"hold\" in device.groups)")).await.unwrap();

        let refused = admin.update_group(hold.id, &named("on-hold")).await.unwrap_err().to_string();
        let who = format!("the rollout {:?} and the dynamic group \"ready\"", draft.name);
        assert!(refused.contains(&who), "{refused}");
        assert_refused!(admin.update_group(hold.id, &named("on-hold")).await, 409, "group_in_use");
        assert_refused!(admin.delete_group(hold.id).await, 409, "group_in_use");
        assert_refused!(admin.delete_group(first.id).await, 409, "group_in_use");
        let described = GroupWrite { description: "do not touch".into(), ..named("hold") };
        assert_eq!(admin.update_group(hold.id, &described).await.unwrap().description, "do not touch");

        // A draft and a dynamic group can be changed; what they ask no more is free.
        let other = RolloutUpdate { target_condition: Some(EU.into()), ..RolloutUpdate::default() };
        admin.update_rollout(draft.id, &other).await.unwrap();
        admin.update_group(ready.id, &dynamic("ready", "true")).await.unwrap();
        assert_refused!(admin.update_group(hold.id, &named("on-hold")).await, 409, "group_in_use");
        let everybody = StageCreate { percentage: Some(100), ..StageCreate::default() };
        let other = RolloutUpdate { stages: Some(vec![everybody]), ..RolloutUpdate::default() };
        admin.update_rollout(draft.id, &other).await.unwrap();
        admin.update_group(hold.id, &named("on-hold")).await.unwrap();
        admin.delete_group(first.id).await.unwrap();

        // So is what a rollout that ended asked for.
        let condition = Some("!(\"on-hold\" in device.groups)".to_owned());
        let last = scene.draft(&firmware, &[100], |plan| plan.target_condition = condition).await;
        assert_refused!(admin.delete_group(hold.id).await, 409, "group_in_use");
        admin.cancel_rollout(last.id).await.unwrap();
        admin.update_group(hold.id, &named("hold")).await.unwrap();
        admin.delete_group(hold.id).await.unwrap();
    }

    async fn who_may_not_see_a_group_is_not_told_of_it_and_may_still_rename(profile: Profile) {
        let scene = scattered(profile).await;
        let named = |name: &str| GroupWrite { name: name.to_owned(), ..GroupWrite::default() };
        let lab = scene.admin.create_group(&named("lab")).await.unwrap();
        let secret = scene.admin.create_group(&named("secret")).await.unwrap();
        let anna = over_group(&scene, "fleet-admin", lab.id).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let condition = "!(\"secret\" in device.groups)";
        let draft = scene
            .draft(&firmware, &[100], |plan| {
                plan.target_groups = vec![lab.id];
                plan.target_condition = Some(condition.into());
                plan.stages.insert(0, StageCreate { condition: Some("\"lab\" in device.groups".into()), ..StageCreate::default() });
            })
            .await;
        let listed = anna.rollouts(&RolloutFilter::default(), 9).await.unwrap().items.remove(0);
        let name = RolloutUpdate { name: Some("mine".into()), ..RolloutUpdate::default() };
        for seen in [anna.rollout(draft.id).await.unwrap(), listed, anna.update_rollout(draft.id, &name).await.unwrap()] {
            let told = seen.target_condition.unwrap();
            assert!(told.starts_with("(not shown:"), "{told}");
            assert_eq!(seen.stages[0].condition.as_deref(), Some("\"lab\" in device.groups"), "that one is hers");
            let back = RolloutUpdate { target_condition: Some(told), ..RolloutUpdate::default() };
            assert_refused!(anna.update_rollout(draft.id, &back).await, 422, "invalid");
        }
        let kept = scene.admin.rollout(draft.id).await.unwrap();
        assert_eq!((kept.name.as_str(), kept.target_condition.as_deref()), ("mine", Some(condition)));

        // Nor when the group is gone and the rollout, which ended, has forgotten which one it was.
        scene.admin.cancel_rollout(draft.id).await.unwrap();
        scene.admin.delete_group(secret.id).await.unwrap();
        let ended = anna.rollout(draft.id).await.unwrap();
        assert!(ended.target_condition.unwrap().starts_with("(not shown:"));
        assert_eq!(ended.stages[0].condition.as_deref(), Some("\"lab\" in device.groups"));
        assert_eq!(scene.admin.rollout(draft.id).await.unwrap().target_condition.as_deref(), Some(condition));
    }

    async fn two_who_ask_for_the_group_that_they_target_both_come_through(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let lab = scene.admin.create_group(&GroupWrite { name: "lab".into(), ..GroupWrite::default() }).await.unwrap();
        let mut body = plan(&scene.publish("1.1.0", 2).await, &[100]);
        body.target_groups = vec![lab.id, lab.id];
        body.target_condition = Some("\"lab\" in device.groups".into());
        for _ in 0..8 {
            let (first, second) = tokio::join!(scene.admin.create_rollout(&body), scene.admin.create_rollout(&body));
            assert_eq!(first.unwrap().target_groups, [lab.id]);
            assert_eq!(second.unwrap().target_groups, [lab.id]);
        }
    }

    async fn two_who_change_a_draft_at_once_lose_nothing(profile: Profile) {
        let scene = scattered(profile).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[100], |_| ()).await;
        for round in 1..=12 {
            let condition = format!("device.attr.axles > {round}");
            let target = RolloutUpdate { target_condition: Some(condition.clone()), ..RolloutUpdate::default() };
            let cap = RolloutUpdate { max_in_flight: Some(round), ..RolloutUpdate::default() };
            let (first, second) =
                tokio::join!(scene.admin.update_rollout(draft.id, &target), scene.admin.update_rollout(draft.id, &cap));
            first.unwrap();
            second.unwrap();
            let both = scene.admin.rollout(draft.id).await.unwrap();
            assert_eq!((both.target_condition, both.max_in_flight), (Some(condition), Some(round)));
        }
    }

    async fn a_group_has_whoever_is_in_the_groups_below_it(profile: Profile) {
        let scene = scattered(profile).await;
        let admin = &scene.admin;
        let europe = admin.create_group(&GroupWrite { name: "europe".into(), ..GroupWrite::default() }).await.unwrap();
        let germany = GroupWrite { name: "germany".into(), parent_id: Some(europe.id), ..GroupWrite::default() };
        let germany = admin.create_group(&germany).await.unwrap();
        admin.add_to_group(europe.id, vec![scene.devices[0].id, scene.devices[1].id]).await.unwrap();
        admin.add_to_group(germany.id, vec![scene.devices[1].id, scene.devices[2].id]).await.unwrap();

        let all = ["TRUCK-01", "TRUCK-02", "TRUCK-03"];
        assert_eq!(admin.group(europe.id).await.unwrap().device_count, Some(3), "each device once");
        assert_eq!(names(admin.group_devices(europe.id, 9).await.unwrap()), all);
        assert_eq!(listed(&scene, "\"europe\" in device.groups").await, all);
        assert_eq!(listed(&scene, "!(\"europe\" in device.groups)").await, ["TRUCK-04"]);
        assert_eq!(listed(&scene, "\"germany\" in device.groups").await, ["TRUCK-02", "TRUCK-03"]);
        let by_group = DeviceCountFilter { group_id: Some(europe.id), ..DeviceCountFilter::default() };
        assert_eq!(admin.device_count(&by_group).await.unwrap().count, 3);
        let over_it = over_group(&scene, "viewer", europe.id).await;
        assert_eq!(over_it.device_count(&DeviceCountFilter::default()).await.unwrap().count, 3, "rights go as far");

        let firmware = scene.publish("1.1.0", 2).await;
        let mut body = plan(&firmware, &[100]);
        body.target_groups = vec![europe.id];
        assert_eq!(admin.preview_rollout(&body).await.unwrap().devices, 3);
        let rollout = scene.start(&firmware, &[100], |plan| plan.target_groups = vec![europe.id]).await;
        assert_eq!(rollout.counts.pending, 3);
        assert_eq!(scene.offers().await.len(), 3, "it holds when they come, too");
    }

    async fn the_condition_of_a_group_that_is_rolled_out_to_stays(profile: Profile) {
        let scene = scattered(profile).await;
        let canaries = scene.admin.create_group(&dynamic("canaries", "\"canary\" in device.tags")).await.unwrap();
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[50, 100], |plan| plan.target_groups = vec![canaries.id]).await;
        scene.admin.update_group(canaries.id, &dynamic("canaries", "\"canary\" in device.tags && true")).await.unwrap();
        scene.admin.start_rollout(draft.id).await.unwrap();
        scene.running(draft.id, 0).await;
        let refused = scene.admin.update_group(canaries.id, &dynamic("canaries", "true")).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the rollout {:?}", draft.name)), "{refused}");
        assert_refused!(scene.admin.update_group(canaries.id, &dynamic("canaries", "true")).await, 409, "group_in_use");
        let renamed = GroupWrite { name: "birds".into(), ..GroupWrite::default() };
        scene.admin.update_group(canaries.id, &renamed).await.unwrap();
        scene.admin.cancel_rollout(draft.id).await.unwrap();
        scene.admin.update_group(canaries.id, &dynamic("birds", "true")).await.unwrap();
    }

    async fn a_group_that_cannot_be_found_stops_the_rollout_and_lets_nobody_in(profile: Profile) {
        let scene = scattered(profile).await;
        let hold = GroupWrite { name: "hold".into(), ..GroupWrite::default() };
        let hold = scene.admin.create_group(&hold).await.unwrap();
        scene.admin.add_to_group(hold.id, vec![scene.devices[0].id]).await.unwrap();
        let firmware = scene.publish("1.1.0", 2).await;
        let condition = || Some("!(\"hold\" in device.groups)".to_owned());
        let chosen = scene.start(&firmware, &[100], |plan| plan.target_condition = condition()).await;
        let unopened = scene.draft(&firmware, &[100], |plan| plan.target_condition = condition()).await;
        assert_eq!(chosen.counts.pending, 3);

        // Not by any request: something is wrong with the database.
        let db = scene.server.db().db();
        let tenant = tenants::by_name(db, "default").await.unwrap().unwrap().tenant_id;
        let mut tx = db.begin().await.unwrap();
        for rollout in [chosen.id, unopened.id] {
            let nothing = std::collections::BTreeMap::default();
            condition_groups::set_of_rollout(&mut tx, tenant, rollout, Part::Target, &nothing).await.unwrap();
        }
        tx.commit().await.unwrap();

        scene.admin.start_rollout(unopened.id).await.unwrap();
        let reason = "a condition asks for the group \"hold\", which is not there; write the condition anew";
        let stopped = scene.becomes(unopened.id, RolloutState::Paused).await;
        assert_eq!((stopped.reason.as_deref(), stopped.stages[0].status), (Some(reason), StageState::Waiting));
        assert!(scene.offers().await.is_empty());
        let stopped = scene.becomes(chosen.id, RolloutState::Paused).await;
        assert_eq!((stopped.reason.as_deref(), stopped.counts.pending), (Some(reason), 3));
        let paused = ("rollout.pause".to_owned(), ActorKind::System);
        eventually("the pause to be told", async || {
            steps(&scene, chosen.id).await.contains(&paused).then_some(())
        })
        .await;
    }

    async fn a_condition_that_is_not_allowed_any_more_stops_the_rollout(profile: Profile) {
        let scene = scattered(profile).await;
        let eu = scene.admin.create_group(&dynamic("eu", EU)).await.unwrap();
        let firmware = scene.publish("1.1.0", 2).await;
        let rollout = scene.start(&firmware, &[100], |plan| plan.target_groups = vec![eu.id]).await;
        assert_eq!(rollout.counts.pending, 2);

        // Not by any request: an older program took it.
        let db = scene.server.db().db();
        let tenant = tenants::by_name(db, "default").await.unwrap().unwrap().tenant_id;
        let mut tx = db.begin().await.unwrap();
        groups::set_condition(&mut tx, tenant, eu.id, "!(\"Hold\" in device.tags)").await.unwrap();
        tx.commit().await.unwrap();

        assert!(scene.offers().await.is_empty());
        let stopped = scene.becomes(rollout.id, RolloutState::Paused).await;
        let reason = stopped.reason.unwrap();
        assert!(reason.starts_with("a stored condition is not allowed any more"), "{reason}");
        assert!(!reason.contains("Hold"), "not everybody may read the condition: {reason}");
        assert_refused!(scene.admin.resume_rollout(rollout.id).await, 409, "condition_refused");
        let shown = scene.admin.group(eu.id).await.expect("it is shown, to be written anew");
        assert_eq!((shown.condition.is_some(), shown.device_count), (true, None));
    }

    async fn rights_over_a_group_show_and_count_no_more(profile: Profile) {
        let scene = scattered(profile).await;
        let admin = &scene.admin;
        let lab = admin.create_group(&GroupWrite { name: "lab".into(), ..GroupWrite::default() }).await.unwrap();
        let secret = admin.create_group(&GroupWrite { name: "secret".into(), ..GroupWrite::default() }).await.unwrap();
        for group in [lab.id, secret.id] {
            admin.add_to_group(group, vec![scene.devices[0].id]).await.unwrap();
        }
        let eu = admin.create_group(&dynamic("eu", EU)).await.unwrap();
        let anna = over_group(&scene, "fleet-admin", lab.id).await;
        let mine = DeviceCountFilter { filter: Some(EU.into()), ..DeviceCountFilter::default() };
        assert_eq!((anna.device_count(&mine).await.unwrap().count, admin.device_count(&mine).await.unwrap().count), (1, 2));
        let found = DeviceFilter { filter: Some("true".into()), ..DeviceFilter::default() };
        assert_eq!(names(anna.devices(&found, 9).await.unwrap()), ["TRUCK-01"]);
        let hidden = DeviceFilter { filter: Some("\"secret\" in device.groups".into()), ..DeviceFilter::default() };
        assert_refused!(anna.devices(&hidden, 9).await, 422, "invalid");
        // Whoever says what a condition is says how far it goes: that takes the whole tenant.
        assert_refused!(anna.group(eu.id).await, 404, "not_found");
        assert_refused!(anna.group_devices(eu.id, 9).await, 404, "not_found");
        assert_refused!(anna.create_group(&dynamic("mine", "true")).await, 422, "invalid");
        let below = GroupWrite { parent_id: Some(lab.id), ..dynamic("below", "true") };
        assert_refused!(anna.create_group(&below).await, 422, "invalid");
        assert_refused!(admin.create_group(&below).await, 422, "invalid");
        let firmware = scene.publish("1.1.0", 2).await;
        for groups in [Vec::new(), vec![eu.id], vec![secret.id]] {
            let mut body = plan(&firmware, &[100]);
            body.target_groups = groups;
            assert_refused!(anna.preview_rollout(&body).await, 422, "invalid");
        }
        let mut body = plan(&firmware, &[100]);
        body.target_groups = vec![lab.id];
        let preview = anna.preview_rollout(&body).await.unwrap();
        assert_eq!((preview.devices, preview.excluded.len()), (1, 0), "who is out of reach is not even left out");
        let grant = json!({ "role": "viewer", "scope": { "group_id": eu.id } });
        let users: Value = answer(scene.server.admin_request(Method::GET, "/api/v1/users")).await.json();
        let anna = users["items"].as_array().unwrap().iter().find(|user| user["username"] == "anna").unwrap();
        let path = format!("/api/v1/users/{}/grants", anna["id"].as_str().unwrap());
        refused(scene.server.admin_request(Method::POST, &path).json(&grant), 422, "invalid").await;
    }

    async fn a_rollout_takes_who_is_in_its_groups_and_matches_its_condition(profile: Profile) {
        let scene = scattered(profile).await;
        let canaries = scene.admin.create_group(&dynamic("canaries", "\"canary\" in device.tags")).await.unwrap();
        let rollout = scene
            .roll_out(&[100], |plan| {
                plan.target_groups = vec![canaries.id];
                plan.target_condition = Some(EU.to_owned());
            })
            .await;
        assert_eq!(rollout.target_condition.as_deref(), Some(EU));
        let told: Vec<_> = scene.offers().await.iter().map(|(device, _)| device.hardware_id.clone()).collect();
        assert_eq!(told, ["TRUCK-02"]);
        assert_refused!(scene.admin.delete_group(canaries.id).await, 409, "group_in_use");
    }

    async fn a_stage_takes_all_that_match_its_condition(profile: Profile) {
        let scene = scattered(profile).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let canaries = StageCreate { condition: Some("\"canary\" in device.tags".into()), ..StageCreate::default() };
        let rollout = scene.start(&firmware, &[75, 100], |plan| plan.stages.insert(0, canaries)).await;
        assert_eq!((rollout.stages[0].percentage, rollout.stages[0].counts.pending), (None, 2));
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        // 75 % of four are three; two of them the canaries were.
        assert_eq!(scene.running(rollout.id, 1).await.stages[1].counts.pending, 1);
        for (device, offer) in scene.offers().await {
            device.install(&offer).await;
        }
        assert_eq!(scene.running(rollout.id, 2).await.stages[2].counts.pending, 1);
    }

    async fn a_stage_that_nobody_ran_pauses_until_a_person_goes_on_without_it(profile: Profile) {
        let scene = scattered(profile).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let only = |tag: &str| StageCreate { condition: Some(format!("\"{tag}\" in device.tags")), ..StageCreate::default() };
        let draft = scene
            .draft(&firmware, &[100], |plan| {
                plan.stages.splice(0..0, [only("canary-1"), only("canary")]);
                plan.target_condition = Some("!(\"hold\" in device.tags)".into());
            })
            .await;
        scene.admin.start_rollout(draft.id).await.unwrap();
        let paused = scene.becomes(draft.id, RolloutState::Paused).await;
        let [first, second, third] = &paused.stages[..] else { panic!("three stages") };
        assert_eq!((first.status, second.status, third.status), (StageState::Failed, StageState::Waiting, StageState::Waiting));
        assert_eq!(paused.reason.as_deref(), Some("stage \"stage 1\" took no device; resume to go on without it"));
        assert!(scene.offers().await.is_empty());

        scene.admin.resume_rollout(draft.id).await.unwrap();
        assert_eq!(scene.running(draft.id, 1).await.stages[1].counts.pending, 2);
        for device in &scene.devices[1..3] {
            scene.admin.add_device_tag(device.id, "hold").await.unwrap();
        }
        assert!(scene.offers().await.is_empty(), "the canaries are held, the others wait for them");
        let paused = scene.becomes(draft.id, RolloutState::Paused).await;
        let reason = "stage \"stage 2\": none of 2 devices ran the update, all were left out; resume to go on without it";
        assert_eq!(paused.reason.as_deref(), Some(reason));
        assert!(scene.offers().await.is_empty());
        let expected = [
            ("create", ActorKind::User), ("start", ActorKind::User), ("pause", ActorKind::System),
            ("resume", ActorKind::User), ("pause", ActorKind::System)];
        let expected = expected.map(|(verb, actor)| (format!("rollout.{verb}"), actor));
        eventually("who did what to be told", async || (steps(&scene, draft.id).await == expected).then_some(())).await;

        scene.admin.resume_rollout(draft.id).await.unwrap();
        assert_eq!(scene.running(draft.id, 2).await.stages[2].counts.pending, 2);
        assert_eq!(scene.offers().await.len(), 2);
    }

    async fn what_does_not_hold_any_more_is_skipped_with_the_reason(profile: Profile) {
        let scene = scattered(profile).await;
        let seen = format!("{EU} && {SEEN}");
        for device in &scene.devices {
            device.heartbeat(Vec::new()).await;
        }
        // Signs of life reach the database in batches.
        let all = DeviceCountFilter { filter: Some(SEEN.into()), ..DeviceCountFilter::default() };
        eventually("signs of life to be written", async || {
            (scene.admin.device_count(&all).await.unwrap().count == 4).then_some(())
        })
        .await;
        let rollout = scene.roll_out(&[100], |plan| plan.target_condition = Some(seen)).await;
        assert_eq!(rollout.counts.pending, 2);
        set(&scene, 0, "region", AttributeValue::Text("us".into())).await;
        assert_eq!(scene.offers().await.len(), 1, "one has left the target");
        let sessions = scene.sessions(rollout.id).await;
        let skipped = sessions.iter().find(|session| session.hardware_id == "TRUCK-01").unwrap();
        assert_eq!((skipped.state, skipped.failure_code.as_deref()), (SessionState::Skipped, Some("condition")));
    }

    async fn a_drafts_condition_is_checked_changed_and_removed(profile: Profile) {
        let scene = scattered(profile).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[100], |plan| plan.target_condition = Some(EU.to_owned())).await;
        let change = |text: &str| RolloutUpdate { target_condition: Some(text.to_owned()), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &change("device.typ")).await, 422, "invalid");
        let us = scene.admin.update_rollout(draft.id, &change("device.attr.region == \"us\"")).await.unwrap();
        assert_eq!(us.target_condition.as_deref(), Some("device.attr.region == \"us\""));
        let renamed = RolloutUpdate { name: Some("x".into()), ..RolloutUpdate::default() };
        assert!(scene.admin.update_rollout(draft.id, &renamed).await.unwrap().target_condition.is_some());
        // An empty text, of a variable that was not set, is no wish for the whole fleet.
        assert_refused!(scene.admin.update_rollout(draft.id, &change("")).await, 422, "invalid");
        assert!(scene.admin.rollout(draft.id).await.unwrap().target_condition.is_some());
        // Nor is null, which clients write for what is not set.
        let path = format!("/api/v1/rollouts/{}", draft.id);
        let null = scene.server.admin_request(Method::PUT, &path).json(&json!({ "target_condition": null }));
        assert!(answer(null).await.json::<Value>()["target_condition"].is_string());
        let removed = RolloutUpdate { remove_target_condition: true, ..RolloutUpdate::default() };
        let both = RolloutUpdate { target_condition: Some(EU.into()), ..removed.clone() };
        assert_refused!(scene.admin.update_rollout(draft.id, &both).await, 422, "invalid");
        assert_eq!(scene.admin.update_rollout(draft.id, &removed).await.unwrap().target_condition, None);
        scene.admin.start_rollout(draft.id).await.unwrap();
        assert_refused!(scene.admin.update_rollout(draft.id, &change(EU)).await, 409, "rollout_started");

        for (field, value) in [
            ("target_condition", json!("device.typ")),
            ("stages", json!([{ "condition": "device.typ" }, { "percentage": 100 }])),
            ("stages", json!([{ "condition": "true", "percentage": 10 }, { "percentage": 100 }])),
            ("stages", json!([{ "percentage": 10 }, { "condition": "true" }])),
            ("stages", json!([{}])),
        ] {
            let mut body = serde_json::to_value(plan(&firmware, &[100])).unwrap();
            body[field] = value;
            refused(scene.server.admin_request(Method::POST, "/api/v1/rollouts").json(&body), 422, "invalid").await;
        }
    }
}
