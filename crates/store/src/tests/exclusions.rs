//! Who is taken and why the others are not: two statements, one answer.

use std::collections::{BTreeMap, BTreeSet};

use drover_db::on_both;
use drover_db::testing::TestDb;
use drover_rules::{Condition, GroupIds};
use drover_types::{AttributeValue, DeviceId, Exclusion, RolloutState, Version};
use uuid::Uuid;

use super::fixture::{Scope, acme, at, commit, component, plan_of, version};
use super::targets::target;
use crate::conditions::{Added, Selection};
use crate::firmware::FirmwareRow;
use crate::targets::{self, Place, Range, StageFilter, Target};
use crate::{Reach, dependencies, device_attributes, device_tags, devices, group_tree};

const DEVICES: u16 = 120;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

pub(super) fn selection(text: &str) -> Selection {
    let groups = GroupIds::from([("lab".to_owned(), super::fixture::uuid(20))]);
    Selection::new(Condition::parse(text).unwrap(), &groups, at(1_000)).unwrap()
}

/// Devices of two types with components, attributes and tags; the members of one group.
async fn fleet(acme: Scope<'_>, dice: &mut Dice, releases: &[FirmwareRow]) -> Vec<DeviceId> {
    let mut members = Vec::new();
    for n in 0..DEVICES {
        let device_type = *dice.of(&["robot", "robot", "robot", "car"]);
        let bucket = i64::try_from(dice.below(40)).unwrap() * 1_600;
        let device = acme.device_of_type(1_000 + n, device_type, bucket).await;
        match dice.below(4) {
            0 => {}
            1 => {
                let version = *dice.of(&["0.9.0", "1.0.0", "2.0.0", "3.0.0"]);
                acme.runs(device, "main", version, None).await;
            }
            _ => {
                let release = dice.of(releases);
                acme.runs(device, "main", &release.version.to_string(), Some(release.manifest_sha256)).await;
            }
        }
        if dice.below(3) > 0 {
            let version = *dice.of(&["1.0.0", "1.5.0", "2.0.0"]);
            acme.runs(device, "ecu", version, None).await;
        }
        let region = AttributeValue::Text((*dice.of(&["eu", "us", "asia"])).to_owned());
        let is_seen = dice.below(2) == 0;
        let is_tagged = dice.below(3) == 0;
        commit!(acme.db, |tx| async {
            device_attributes::set(tx, acme.tenant, device, "region", &region, at(5)).await?;
            if is_tagged {
                device_tags::add(tx, acme.tenant, device, "canary").await?;
            }
            if is_seen {
                devices::seen(tx, acme.tenant, device, None, at(900)).await?;
            }
            Ok::<_, sqlx::Error>(())
        });
        if dice.below(2) == 0 {
            members.push(device);
        }
    }
    members
}

/// The devices that stages take, in their order.
async fn taken(acme: Scope<'_>, target: &Target, stage: &StageFilter) -> Vec<DeviceId> {
    let range = Range { from: 0, to: 65_536, after_bucket: -1, after: DeviceId(Uuid::nil()), last: None };
    let rows = targets::pick(acme.db, target, stage, range, 1_000).await.unwrap();
    rows.into_iter().map(|row| row.device_id).collect()
}

/// Everybody who is left out, read in pages of seven.
async fn excluded(acme: Scope<'_>, target: &Target, reason: Option<Exclusion>) -> BTreeMap<DeviceId, Exclusion> {
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let page = targets::excluded(acme.db, target, &Reach::Tenant, reason, after, 7).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = Some(last.id);
        for row in page {
            assert!(all.insert(row.id, row.reason).is_none(), "each device once");
        }
    }
}

on_both! {
    async fn whoever_is_not_taken_is_left_out_for_one_reason(test: TestDb) {
        let acme = acme(&test).await;
        let mut dice = Dice(7);
        let old = [acme.firmware(3, "1.0.0").await, acme.firmware(4, "1.5.0").await];
        let new = acme.firmware(5, "2.0.0").await;
        let newer = acme.firmware(6, "1.9.0").await;
        let releases = [old[0].clone(), old[1].clone(), new.clone(), newer];
        let members = fleet(acme, &mut dice, &releases).await;
        let group = acme.group(20, &members).await;
        let above = acme.group(21, &[]).await;
        commit!(acme.db, |tx| group_tree::attach(tx, acme.tenant, group, above));
        let ecu = component("ecu");
        let (low, high): (Version, Version) = (version("1.2.0"), version("2.0.0"));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, new.id, 0, &component("main"), &version("0.9.5"), None));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, new.id, 1, &ecu, &low, Some(&high)));
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;

        let whole = Target { rollout: None, ..target(acme, rollout, &new, &[]) };
        let eu = || Some(selection("device.attr.region == \"eu\""));
        let seen = selection("device.last_seen > now - duration(\"3m\")");
        let plans = [
            whole.clone(),
            Target { groups: vec![group], ..whole.clone() },
            Target { groups: vec![above], ..whole.clone() },
            Target { condition: eu(), ..whole.clone() },
            Target { groups: vec![group], condition: eu(), ..whole.clone() },
            Target { dynamic_groups: vec![seen.clone()], ..whole.clone() },
            Target { groups: vec![group], dynamic_groups: vec![seen], condition: eu(), ..whole.clone() },
            Target { condition: Some(selection("false")), ..whole.clone() },
            Target { condition: Some(selection("!(\"canary\" in device.tags)")), ..whole },
        ];
        let (direct, inherited) = (&plans[1], &plans[2]);
        let everybody = StageFilter::default();
        assert_eq!(taken(acme, inherited, &everybody).await, taken(acme, direct, &everybody).await);
        assert!(!taken(acme, direct, &everybody).await.is_empty());
        let mut reasons_seen = BTreeSet::new();
        for plan in &plans {
            let taken: BTreeSet<DeviceId> = taken(acme, plan, &StageFilter::default()).await.into_iter().collect();
            let left_out = excluded(acme, plan, None).await;
            assert!(taken.iter().all(|device| !left_out.contains_key(device)));
            assert_eq!(taken.len() + left_out.len(), usize::from(DEVICES), "everybody is one or the other");
            let count = targets::count(acme.db, plan, &StageFilter::default()).await.unwrap();
            assert_eq!(usize::try_from(count).unwrap(), taken.len());

            let summary = targets::summary(acme.db, plan, &Reach::Tenant, 99).await.unwrap();
            let rows = summary.reasons;
            assert_eq!(rows.iter().map(|row| row.devices).sum::<i64>(), i64::from(DEVICES));
            for row in rows {
                let expected = match row.reason {
                    None => taken.len(),
                    Some(reason) => {
                        let own = excluded(acme, plan, Some(reason)).await;
                        assert!(own.values().all(|found| *found == reason));
                        own.len()
                    }
                };
                assert_eq!(usize::try_from(row.devices).unwrap(), expected, "{:?}", row.reason);
                reasons_seen.extend(row.reason);
            }
            for shares in [summary.types, summary.versions] {
                assert_eq!(usize::try_from(shares.iter().map(|share| share.taken).sum::<i64>()).unwrap(), taken.len());
            }
            // At the offer the same rules hold, but that the device is there at that moment.
            // A group of those that were seen has it by that alone.
            let stays = |reason: Exclusion| plan.dynamic_groups.is_empty() || reason != Exclusion::NotInGroup;
            let all: Vec<_> = left_out.keys().chain(&taken).copied().collect();
            let in_one = targets::why_not(acme.db, plan, &all, at(1_000)).await.unwrap();
            for (device, reason) in left_out.iter().filter(|(_, reason)| stays(**reason)) {
                assert_eq!(in_one.get(device), Some(reason));
            }
            assert!(taken.iter().all(|device| !in_one.contains_key(device)));
            for device in all {
                let mut alone = targets::why_not(acme.db, plan, &[device], at(1_000)).await.unwrap();
                assert_eq!(alone.remove(&device).as_ref(), in_one.get(&device));
            }
        }
        assert_eq!(reasons_seen.into_iter().collect::<Vec<_>>(), Exclusion::ALL, "every reason came up");
    }

    async fn a_stage_takes_what_the_ones_before_left(test: TestDb) {
        let acme = acme(&test).await;
        let mut dice = Dice(11);
        let new = acme.firmware(5, "9.0.0").await;
        fleet(acme, &mut dice, &[acme.firmware(3, "1.0.0").await]).await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let plan = target(acme, rollout, &new, &[]);
        let canary = selection("\"canary\" in device.tags");
        let all = taken(acme, &plan, &StageFilter::default()).await;
        let only = taken(acme, &plan, &StageFilter { only: Some(canary.clone()), ..StageFilter::default() }).await;
        let rest = taken(acme, &plan, &StageFilter { not: vec![canary], ..StageFilter::default() }).await;
        assert!(!only.is_empty() && !rest.is_empty());
        assert_eq!(all.len(), only.len() + rest.len());
        // The ring is turned so that it begins in the middle of a bucket's devices.
        for (shift, count) in [(0, 1), (0, 10), (34_000, 1), (34_000, 25), (65_535, 7)] {
            let turned = async |range: Range| {
                targets::pick(acme.db, &plan, &StageFilter::default(), range, 1_000).await.unwrap()
            };
            let nobody = DeviceId(Uuid::nil());
            let mut ring = turned(Range { from: shift, to: 65_536, after_bucket: -1, after: nobody, last: None }).await;
            ring.extend(turned(Range { from: 0, to: shift, after_bucket: -1, after: nobody, last: None }).await);
            let nth = targets::nth(acme.db, &plan, &StageFilter::default(), shift, count).await.unwrap();
            let expected = ring[usize::try_from(count).unwrap() - 1];
            assert_eq!(nth, Some(Place { shift, bucket: expected.bucket, device: expected.device_id }));
            let behind = StageFilter { behind: nth, ..StageFilter::default() };
            let left = targets::count(acme.db, &plan, &behind).await.unwrap();
            assert_eq!(usize::try_from(left).unwrap(), ring.len() - usize::try_from(count).unwrap());
        }
        assert_eq!(targets::nth(acme.db, &plan, &StageFilter::default(), 0, 10_000).await.unwrap(), None);
    }
}

/// A stage of 500 000 devices is chosen in batches that each begin where the last one ended: whatever the condition is,
/// the index on buckets has to lead.
#[tokio::test]
async fn a_condition_does_not_lead_away_from_the_order_of_buckets() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    let new = acme.firmware(5, "2.0.0").await;
    let rollout = acme.rollout(200, &new, RolloutState::Active).await;
    let (_, pick) = targets::STATEMENTS.iter().find(|(name, _)| name.ends_with("::PICK")).unwrap();
    for text in [
        "true",
        "device.last_seen > now - duration(\"2h\")",
        "device.status == \"failed\"",
        "device.hardware_id == \"hw-7\"",
        "device.attr.region == \"eu\" && \"canary\" in device.tags",
        "device.version < semver(\"1.0.0\") || \"lab\" in device.groups",
    ] {
        let mut plan = target(acme, rollout, &new, &[acme.group(text.len().try_into().unwrap(), &[]).await]);
        plan.condition = Some(selection(text));
        let sql = plan.eligible(pick, &StageFilter::default(), &mut Added::behind(14));
        let steps = plan_of(acme.db, &sql).await;
        assert!(steps[0].contains("devices_by_bucket"), "{text}: {steps:?}");
        assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")), "{text}: {steps:?}");
    }
}
