//! Which devices a rollout may take.

use drover_db::on_both;
use drover_types::{DeviceId, Exclusion, GroupId, RolloutId, RolloutState, SessionState};
use uuid::Uuid;

use super::fixture::{Scope, acme, at, commit, component, digest, uuid, version};
use crate::device_components::Heard;
use crate::firmware::FirmwareRow;
use crate::targets::{self, Range, StageFilter, Target};
use crate::{dependencies, device_components, rollouts};

pub(super) fn target(acme: Scope<'_>, rollout: RolloutId, firmware: &FirmwareRow, groups: &[GroupId]) -> Target {
    Target {
        tenant: acme.tenant,
        rollout: Some(rollout),
        firmware: firmware.id,
        device_type: firmware.device_type.clone(),
        component: firmware.component.clone(),
        version: firmware.version.clone(),
        release_counter: firmware.release_counter,
        groups: groups.to_vec(),
        dynamic_groups: Vec::new(),
        condition: None,
    }
}

fn everybody() -> StageFilter {
    StageFilter::default()
}

/// Every device that may be taken, checked against the count.
async fn eligible(acme: Scope<'_>, target: &Target) -> Vec<DeviceId> {
    let range = Range { from: 0, to: 65_536, after_bucket: 0, after: DeviceId(Uuid::nil()), last: None };
    let picked = targets::pick(acme.db, target, &everybody(), range, 100).await.unwrap();
    let picked: Vec<DeviceId> = picked.into_iter().map(|row| row.device_id).collect();
    let count = targets::count(acme.db, target, &everybody()).await.unwrap();
    assert_eq!(usize::try_from(count).unwrap(), picked.len());
    picked
}

/// What is taken in steps of `limit`, as a stage does it.
async fn picked_in_steps(acme: Scope<'_>, target: &Target, from: i64, to: i64, limit: i64) -> Vec<(i64, DeviceId)> {
    let mut range = Range { from, to, after_bucket: from, after: DeviceId(Uuid::nil()), last: None };
    let mut picked = Vec::new();
    loop {
        let step = targets::pick(acme.db, target, &everybody(), range, limit).await.unwrap();
        let Some(last) = step.last() else { return picked };
        range = Range { after_bucket: last.bucket, after: last.device_id, ..range };
        picked.extend(step.iter().map(|row| (row.bucket, row.device_id)));
    }
}

on_both! {
    async fn devices_below_the_firmware_are_eligible(test: TestDb) {
        let acme = acme(&test).await;
        let (old, older) = (acme.firmware(4, "9.0.0").await, acme.firmware(3, "1.0.0").await);
        let new = acme.firmware(5, "2.0.0").await;
        let newer = acme.firmware(6, "1.5.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let cases = [
            // A known release counter decides, whatever the version says.
            (10, Some(("9.0.0", Some(old.manifest_sha256))), true),
            (11, Some(("1.0.0", Some(older.manifest_sha256))), true),
            (12, Some(("2.0.0", Some(new.manifest_sha256))), false),
            (13, Some(("1.5.0", Some(newer.manifest_sha256))), false),
            // Else the version.
            (14, Some(("1.10.0", None)), true),
            (15, Some(("2.0.0-rc.1", Some(digest(99)))), true),
            (16, Some(("2.0.0", Some(digest(98)))), false),
            (17, Some(("10.0.0", None)), false),
            // Nothing is below everything.
            (18, None, true),
        ];
        let mut expected = Vec::new();
        for (n, runs, is_eligible) in cases {
            let device = acme.device(n, n.into()).await;
            if let Some((text, manifest)) = runs {
                acme.runs(device, "main", text, manifest).await;
            }
            if is_eligible {
                expected.push(device);
            }
        }
        let emptied = acme.device(19, 19).await;
        let main = component("main");
        let heard = Heard { device: emptied, component: &main, version: None, manifest_sha256: None, at: at(50) };
        commit!(acme.db, |tx| device_components::note(tx, acme.tenant, &[heard]));
        expected.push(emptied);
        // Another component's version is not this one's, and another type is not asked for.
        let with_ecu = acme.device(20, 20).await;
        acme.runs(with_ecu, "ecu", "9.9.9", None).await;
        expected.push(with_ecu);
        acme.device_of_type(21, "car", 21).await;
        assert_eq!(eligible(acme, &target(acme, rollout, &new, &[])).await, expected);
    }

    async fn a_look_ends_after_so_many_devices_whether_they_match_or_not(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        for (n, bucket, runs) in
            [(10, 7, "2.0.0"), (11, 7, "2.0.0"), (12, 7, "1.0.0"), (13, 9, "2.0.0"), (14, 9, "1.0.0"), (15, 300, "1.0.0")]
        {
            let device = acme.device(n, bucket).await;
            acme.runs(device, "main", runs, None).await;
        }
        acme.device_of_type(16, "car", 8).await;
        let target = target(acme, rollout, &new, &[]);
        let mut range = Range { from: 0, to: 300, after_bucket: -1, after: DeviceId(Uuid::nil()), last: None };
        let mut found = Vec::new();
        // Looks of two: at 10 and 11, at 12 and 13, and at 14, behind which nobody is.
        loop {
            let last = targets::look(acme.db, &target, range, 2).await.unwrap();
            let rows = targets::pick(acme.db, &target, &everybody(), Range { last, ..range }, 9).await.unwrap();
            found.push((last.map(|last| last.device_id), rows.into_iter().map(|row| row.device_id).collect::<Vec<_>>()));
            let Some(last) = last else { break };
            range = Range { after_bucket: last.bucket, after: last.device_id, ..range };
        }
        let id = |n| DeviceId(uuid(n));
        assert_eq!(found, [(Some(id(11)), vec![]), (Some(id(13)), vec![id(12)]), (None, vec![id(14)])]);
    }

    async fn devices_are_limited_to_the_groups(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let (one, two, three) = (acme.device(10, 1).await, acme.device(11, 2).await, acme.device(12, 3).await);
        let first = acme.group(20, &[one, two]).await;
        let second = acme.group(21, &[two]).await;
        acme.group(22, &[three]).await;
        for group in [first, second] {
            assert!(commit!(acme.db, |tx| rollouts::add_group(tx, acme.tenant, rollout, group)));
        }
        let chosen = rollouts::target_groups(acme.db, acme.tenant, rollout).await.unwrap();
        let chosen: Vec<_> = chosen.into_iter().map(|group| group.id).collect();
        assert_eq!(eligible(acme, &target(acme, rollout, &new, &chosen)).await, [one, two]);
        assert_eq!(eligible(acme, &target(acme, rollout, &new, &[])).await, [one, two, three]);
        let nobody = acme.group(23, &[]).await;
        assert!(eligible(acme, &target(acme, rollout, &new, &[nobody])).await.is_empty());
    }

    async fn dependencies_have_to_be_met(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let (main, ecu) = (component("main"), component("ecu"));
        let (low, high) = (version("1.2.0"), version("2.0.0"));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, new.id, 0, &main, &version("1.9.0"), None));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, new.id, 1, &ecu, &low, Some(&high)));
        let cases = [
            (10, Some("1.9.0"), Some("1.2.0"), true),
            (11, Some("1.10.0"), Some("1.99.0"), true),
            (12, Some("1.8.9"), Some("1.2.0"), false),
            (13, Some("1.9.0-rc.1"), Some("1.2.0"), false),
            (14, Some("1.9.0"), Some("1.2.0-rc.1"), false),
            (15, Some("1.9.0"), Some("2.0.0"), false),
            (16, Some("1.9.0"), None, false),
            (17, None, Some("1.2.0"), false),
        ];
        let mut expected = Vec::new();
        for (n, runs_main, runs_ecu, is_eligible) in cases {
            let device = acme.device(n, n.into()).await;
            for (name, text) in [("main", runs_main), ("ecu", runs_ecu)] {
                if let Some(text) = text {
                    acme.runs(device, name, text, None).await;
                }
            }
            if is_eligible {
                expected.push(device);
            }
        }
        assert_eq!(eligible(acme, &target(acme, rollout, &new, &[])).await, expected);
    }

    async fn a_device_is_taken_once(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let other = acme.rollout(201, &new, RolloutState::Active).await;
        let (one, two) = (acme.device(10, 1).await, acme.device(11, 2).await);
        let session = acme.pending(300, rollout, one, new.id).await;
        assert!(acme.change(session, SessionState::Pending, SessionState::Cancelled).await);
        assert_eq!(eligible(acme, &target(acme, rollout, &new, &[])).await, [two]);
        assert_eq!(eligible(acme, &target(acme, other, &new, &[])).await, [one, two]);
    }

    async fn devices_come_in_the_order_of_buckets_and_ids(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        for (n, bucket) in [(10, 500), (11, 100), (12, 300), (13, 100), (14, 0), (15, 65_535), (16, 100), (17, 299)] {
            acme.device(n, bucket).await;
        }
        let target = target(acme, rollout, &new, &[]);
        let expected = |list: &[(i64, u16)]| -> Vec<_> {
            list.iter().map(|(bucket, n)| (*bucket, DeviceId(uuid(*n)))).collect()
        };
        // A shift of 300 turns the ring of buckets: first from there to its end, then from its start.
        let first = expected(&[(300, 12), (500, 10), (65_535, 15)]);
        let second = expected(&[(0, 14), (100, 11), (100, 13), (100, 16), (299, 17)]);
        for limit in [1, 2, 100] {
            assert_eq!(picked_in_steps(acme, &target, 300, 65_536, limit).await, first, "steps of {limit}");
            assert_eq!(picked_in_steps(acme, &target, 0, 300, limit).await, second, "steps of {limit}");
        }
    }

    async fn devices_go_back_that_run_what_they_got(test: TestDb) {
        let acme = acme(&test).await;
        let (old, new) = (acme.firmware(4, "1.0.0").await, acme.firmware(5, "2.0.0").await);
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let child = acme.rollout(201, &new, RolloutState::Active).await;
        let cases = [
            (10, Some(&old), SessionState::Succeeded, &new),
            (11, Some(&old), SessionState::Succeeded, &new),
            (12, None, SessionState::Succeeded, &new),
            (13, Some(&old), SessionState::RolledBack, &old),
            (14, Some(&old), SessionState::Succeeded, &old),
            (15, Some(&old), SessionState::TimedOut, &new),
            (16, Some(&old), SessionState::TimedOut, &old),
        ];
        for (n, from, end, runs) in cases {
            let device = acme.device(n, 0).await;
            let session = acme.pending(n + 300, rollout, device, new.id).await;
            assert!(acme.offer(session, from, at(90)).await);
            assert!(acme.change(session, SessionState::Offered, end).await);
            acme.runs(device, "main", &runs.version.to_string(), Some(runs.manifest_sha256)).await;
        }
        let [one, two, silent] = [10, 11, 15].map(|n| DeviceId(uuid(n)));
        // Of those that run it, one has nothing to return to; one was given up on and has it all the same.
        assert_eq!(targets::count_back(acme.db, acme.tenant, rollout).await.unwrap(), 3);
        assert_eq!(targets::count_left(acme.db, acme.tenant, rollout).await.unwrap(), 4);
        let first = targets::pick_back(acme.db, acme.tenant, rollout, child, None, 1).await.unwrap();
        assert_eq!(first.iter().map(|row| (row.device_id, row.firmware_id)).collect::<Vec<_>>(), [(one, old.id)]);
        let rest = targets::pick_back(acme.db, acme.tenant, rollout, child, Some(one), 9).await.unwrap();
        assert_eq!(rest.iter().map(|row| (row.device_id, row.firmware_id)).collect::<Vec<_>>(), [(two, old.id), (silent, old.id)]);
        acme.pending(400, child, two, old.id).await;
        let rest = targets::pick_back(acme.db, acme.tenant, rollout, child, None, 9).await.unwrap();
        let rest: Vec<_> = rest.iter().map(|row| row.device_id).collect();
        assert_eq!(rest, [one, silent], "the other one is on its way back already");
    }

    async fn one_device_is_judged_again_before_it_is_told(test: TestDb) {
        let acme = acme(&test).await;
        let new = acme.firmware(5, "2.0.0").await;
        let rollout = acme.rollout(200, &new, RolloutState::Active).await;
        let target = target(acme, rollout, &new, &[]);
        let device = acme.device(10, 0).await;
        acme.pending(300, rollout, device, new.id).await;
        acme.runs(device, "main", "1.0.0", None).await;
        let why_not = async || targets::why_not(acme.db, &target, &[device], at(99)).await.unwrap().remove(&device);
        assert_eq!(why_not().await, None, "its own session does not count");
        acme.runs(device, "main", "3.0.0", None).await;
        assert_eq!(why_not().await, Some(Exclusion::NewerVersion), "it went further meanwhile");
    }
}
