//! What a rollout would do, and that it then does it.

use std::collections::BTreeMap;

use drover_api::{GroupWrite, RolloutCreate, RolloutUpdate, StageCreate};
use drover_protocol::{ComponentReport, RegisterRequest};
use drover_store::stages::{self, StateChange};
use drover_store::{rollouts, tenants};
use drover_testkit::{Profile, on_both_profiles, refused};
use drover_types::{Clock, DeviceId, Exclusion, RolloutId, StageState, SystemClock};
use reqwest::Method;

use crate::conditions::scattered;
use crate::scene::{Scene, assert_refused, plan};

fn by_condition(condition: &str) -> StageCreate {
    StageCreate { condition: Some(condition.to_owned()), ..StageCreate::default() }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Trucks and robots that run one thing or another; some are tagged.
async fn mixed_fleet(scene: &Scene, dice: &mut Dice) {
    for number in 0..24 {
        let device_type = if dice.below(4) == 0 { "robot" } else { "truck" };
        let version = ["0.9.0", "1.0.0", "1.0.5", "1.1.0", "2.0.0"][usize::try_from(dice.below(5)).unwrap()];
        let report = ComponentReport { version: version.parse().ok(), ..report() };
        let components = if dice.below(6) == 0 { Vec::new() } else { vec![report] };
        let request = RegisterRequest {
            hardware_id: format!("MIXED-{number:02}"),
            device_type: device_type.to_owned(),
            components,
        };
        let reply = scene.server.register(&scene.server.first_start().enrolment_token, &request).await.unwrap();
        for tag in ["one", "two", "three"] {
            if dice.below(3) == 0 {
                scene.admin.add_device_tag(reply.device_id, tag).await.unwrap();
            }
        }
    }
}

fn report() -> ComponentReport {
    ComponentReport { component: drover_types::ComponentName::main(), version: None, manifest_sha256: None }
}

/// Starts the plan and opens stage after stage, though no device answers; the devices of each stage.
async fn taken(scene: &Scene, body: &RolloutCreate) -> Vec<u64> {
    let rollout = scene.admin.create_rollout(body).await.unwrap();
    scene.admin.start_rollout(rollout.id).await.unwrap();
    let mut counts = Vec::new();
    for stage in 0..body.stages.len() {
        let opened = |stage: &drover_api::Stage| !matches!(stage.status, StageState::Waiting | StageState::Opening);
        let what = format!("stage {stage} to have chosen its devices");
        let rollout = scene.server.rollout_when(&what, rollout.id, |rollout| opened(&rollout.stages[stage])).await;
        counts.push(rollout.stages[stage].counts.pending);
        pass(scene, rollout.id, i64::try_from(stage).unwrap()).await;
    }
    scene.admin.cancel_rollout(rollout.id).await.unwrap();
    counts
}

/// As if enough of a running stage had succeeded: the fleet stays as it is.
async fn pass(scene: &Scene, id: RolloutId, stage: i64) {
    let db = scene.server.db().db();
    let tenant = tenants::by_name(db, "default").await.unwrap().unwrap().tenant_id;
    let change = StateChange { from: StageState::Running, to: StageState::Passed, soak_until: None };
    let now = SystemClock.now();
    let mut tx = db.begin().await.unwrap();
    rollouts::lock(&mut tx, tenant, id).await.unwrap();
    stages::set_state(&mut tx, tenant, id, stage, change, now).await.unwrap();
    rollouts::wake(&mut tx, tenant, id, now).await.unwrap();
    tx.commit().await.unwrap();
}

on_both_profiles! {
    async fn a_preview_counts_and_names_the_reasons(profile: Profile) {
        let scene = scattered(profile).await;
        scene.server.device("UP-TO-DATE", None).await.heartbeat(vec![ComponentReport {
            version: "3.0.0".parse().ok(), ..report() }]).await;
        let robot = RegisterRequest { hardware_id: "R2".into(), device_type: "robot".into(), components: Vec::new() };
        scene.server.register(&scene.server.first_start().enrolment_token, &robot).await.unwrap();
        let lab = scene.admin.create_group(&GroupWrite { name: "lab".into(), ..GroupWrite::default() }).await.unwrap();
        let members: Vec<DeviceId> = scene.devices[..3].iter().map(|device| device.id).collect();
        scene.admin.add_to_group(lab.id, members).await.unwrap();
        let firmware = scene.publish("1.1.0", 2).await;

        let body = plan(&firmware, &[50, 100]);
        let preview = scene.admin.preview_rollout(&body).await.unwrap();
        assert_eq!((preview.devices, preview.busy), (4, 0));
        assert_eq!(preview.stages.iter().map(|stage| stage.devices).collect::<Vec<_>>(), [2, 2]);
        let types: BTreeMap<_, _> =
            preview.by_type.items.iter().map(|one| (one.name.as_deref().unwrap(), (one.devices, one.taken))).collect();
        assert_eq!(types, [("robot", (1, 0)), ("truck", (5, 4))].into());
        let versions: BTreeMap<_, _> =
            preview.by_version.items.iter().map(|one| (one.name.as_deref(), (one.devices, one.taken))).collect();
        assert_eq!(versions, [(Some("1.0.0"), (4, 4)), (Some("3.0.0"), (1, 0))].into());
        assert_eq!((preview.by_version.other_devices, preview.by_type.other_taken), (0, 0));
        let reasons: Vec<_> = preview.excluded.iter().map(|one| (one.reason, one.devices)).collect();
        assert_eq!(reasons, [(Exclusion::WrongType, 1), (Exclusion::NewerVersion, 1)]);
        let newer = &preview.excluded[1].sample[0];
        assert_eq!((newer.hardware_id.as_str(), newer.detail.as_str()), ("UP-TO-DATE", "runs 3.0.0; the firmware is 1.1.0"));

        let narrow = RolloutCreate {
            target_groups: vec![lab.id],
            target_condition: Some("device.attr.region == \"eu\"".into()),
            ..body.clone()
        };
        let preview = scene.admin.preview_rollout(&narrow).await.unwrap();
        let reasons: Vec<_> = preview.excluded.iter().map(|one| (one.reason, one.devices)).collect();
        let expected = [(Exclusion::WrongType, 1), (Exclusion::NotInGroup, 2), (Exclusion::Condition, 1)];
        assert_eq!((preview.devices, reasons.as_slice()), (2, &expected[..]));
        let all = scene.admin.preview_excluded(&narrow, None, 100).await.unwrap();
        assert_eq!(all.items.len(), 4, "every exclusion with its reason");
        let paged = scene.admin.preview_excluded(&narrow, Some(Exclusion::NotInGroup), 1).await.unwrap();
        assert!((paged.items.len(), paged.next_cursor.is_some()) == (1, true));
        assert!(scene.admin.rollouts(&drover_api::RolloutFilter::default(), 9).await.unwrap().items.is_empty());
    }

    async fn devices_at_work_for_another_rollout_are_named_as_such(profile: Profile) {
        let scene = scattered(profile).await;
        scene.roll_out(&[100], |_| ()).await;
        scene.devices[0].check().await.expect("an offer");
        let firmware = scene.publish("1.2.0", 3).await;
        let preview = scene.admin.preview_rollout(&plan(&firmware, &[100])).await.unwrap();
        assert_eq!((preview.devices, preview.busy), (4, 1));
    }

    async fn a_preview_is_what_the_rollout_takes(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        mixed_fleet(&scene, &mut Dice(3)).await;
        for device in &scene.devices {
            scene.admin.add_device_tag(device.id, "one").await.unwrap();
        }
        let some = scene.admin.create_group(&GroupWrite {
            name: "some".into(), condition: Some("\"two\" in device.tags || \"one\" in device.tags".into()),
            ..GroupWrite::default() }).await.unwrap();
        let plans: [fn(&mut RolloutCreate); 4] = [
            |_| (),
            |body| body.target_condition = Some("!(\"three\" in device.tags)".into()),
            |body| body.stages.insert(1, by_condition("\"two\" in device.tags")),
            |body| {
                body.stages[0].percentage = Some(60);
                body.stages.insert(0, by_condition("\"one\" in device.tags"));
                body.stages.insert(2, by_condition("device.version < semver(\"1.0.5\")"));
            },
        ];
        for (index, change) in plans.into_iter().enumerate() {
            let counter = u64::try_from(index).unwrap() + 2;
            let firmware = scene.publish(&format!("1.1.{counter}"), counter).await;
            let mut body = plan(&firmware, &[30, 100]);
            change(&mut body);
            if index == 1 {
                body.target_groups = vec![some.id];
            }
            let preview = scene.admin.preview_rollout(&body).await.unwrap();
            let expected: Vec<u64> = preview.stages.iter().map(|stage| stage.devices).collect();
            assert_eq!(expected.iter().sum::<u64>(), preview.devices);
            assert!(expected.iter().all(|devices| *devices > 0), "plan {index} says something of every stage: {expected:?}");
            assert_eq!(taken(&scene, &body).await, expected, "plan {index}");
        }
    }

    async fn a_plan_asks_so_much_of_each_device_and_not_more(profile: Profile) {
        let scene = scattered(profile).await;
        let list = |first: u32| (first..first + 80).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
        let long = |kind: &str| {
            let lists: Vec<String> =
                [100, 200, 300].iter().map(|first| format!("device.{kind} in [{}]", list(*first))).collect();
            lists.join(" || ")
        };
        let mut body = plan(&scene.first, &[100]);
        body.target_condition = Some(format!("!({})", long("hardware_id")));
        body.stages.insert(0, by_condition(&long("attr.number")));
        scene.admin.preview_rollout(&body).await.expect("two long conditions are fine");
        let draft = scene.admin.create_rollout(&body).await.unwrap();
        body.stages.insert(1, by_condition(&long("attr.other")));
        assert_refused!(scene.admin.preview_rollout(&body).await, 422, "plan_too_large");
        assert_refused!(scene.admin.create_rollout(&body).await, 422, "plan_too_large");
        let change = RolloutUpdate { stages: Some(body.stages), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &change).await, 422, "plan_too_large");
        let group = GroupWrite { name: "long".into(), condition: Some(long("attr.third")), ..GroupWrite::default() };
        let group = scene.admin.create_group(&group).await.unwrap();
        let change = RolloutUpdate { target_groups: Some(vec![group.id]), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &change).await, 422, "plan_too_large");

        // While it is a draft, its groups may get longer conditions: then it does not start.
        let grows = |condition: String| GroupWrite { name: "grows".into(), condition: Some(condition), ..GroupWrite::default() };
        let group = scene.admin.create_group(&grows("true".to_owned())).await.unwrap();
        let change = RolloutUpdate { target_groups: Some(vec![group.id]), ..RolloutUpdate::default() };
        scene.admin.update_rollout(draft.id, &change).await.expect("a short one has room");
        scene.admin.update_group(group.id, &grows(long("attr.third"))).await.unwrap();
        assert_refused!(scene.admin.start_rollout(draft.id).await, 422, "plan_too_large");
        scene.admin.update_group(group.id, &grows("true".to_owned())).await.unwrap();
        scene.admin.start_rollout(draft.id).await.unwrap();
    }

    async fn a_plan_that_cannot_be_created_has_no_preview(profile: Profile) {
        let scene = scattered(profile).await;
        let body = plan(&scene.first, &[100]);
        let nothing = scene.admin.preview_rollout(&body).await.unwrap();
        assert_eq!((nothing.devices, nothing.excluded[0].reason), (0, Exclusion::SameVersion));
        let wrong = RolloutCreate { target_condition: Some("device.typ".into()), ..body.clone() };
        assert_refused!(scene.admin.preview_rollout(&wrong).await, 422, "invalid");
        assert_refused!(scene.admin.preview_excluded(&wrong, None, 9).await, 422, "invalid");
        let other = scene.server.add_tenant("other").await;
        assert_refused!(other.admin.preview_rollout(&body).await, 422, "invalid");
        let device = scene.server.request(Method::POST, "/api/v1/rollouts/preview");
        refused(device.bearer_auth(&scene.devices[0].token).json(&body), 403, "forbidden").await;
    }
}
