//! Devices, what they run, and their groups.

use std::collections::BTreeMap;

use drover_db::testing::TestDb;
use drover_db::{is_foreign_key_violation, on_both, run, unique_violation};
use drover_types::{DeviceId, DeviceStatus, EnrolmentTokenId, GroupId, RolloutState, Version};

use super::exclusions::selection;
use super::fixture::{Scope, acme, at, commit, component, digest, migrated, plan_of, refused, uuid};
use crate::conditions::Added;
use crate::device_components::Heard;
use crate::devices::{Filter, NewDevice};
use crate::{Reach, condition_groups, device_components, device_tokens, devices, groups, rollouts, update_sessions};

async fn ids(acme: Scope<'_>, filter: Filter, limit: i64) -> Vec<DeviceId> {
    let page = devices::page(acme.db, acme.tenant, &Reach::Tenant, &filter, limit).await.unwrap();
    page.into_iter().map(|row| row.id).collect()
}

on_both! {
    async fn a_device_comes_back_as_it_was(test: TestDb) {
        let acme = acme(&test).await;
        let id = acme.device(10, 77).await;
        let found = devices::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((found.id, found.hardware_id.as_str(), found.device_type.as_str()), (id, "hw-10", "robot"));
        assert_eq!((found.status, found.metadata.as_str(), found.agent_version), (DeviceStatus::Idle, "{}", None));
        assert_eq!((found.last_seen_at, found.created_at, found.updated_at), (None, at(10), at(10)));
        let found = devices::by_hardware_id(acme.db, acme.tenant, "hw-10").await.unwrap().unwrap();
        assert_eq!(found.id, id);
        assert!(devices::by_hardware_id(acme.db, acme.tenant, "HW-10").await.unwrap().is_none());

        let twin = NewDevice { id: DeviceId(uuid(11)), hardware_id: "hw-10", device_type: "car", bucket: 0, enrolment_token: EnrolmentTokenId(uuid(90)) };
        let error = refused!(acme.db, |tx| devices::insert(tx, acme.tenant, twin, at(11)));
        assert_eq!(unique_violation(&error).as_deref(), Some("devices_tenant_id_hardware_id_key"));
    }

    async fn devices_in_filtered_pages(test: TestDb) {
        let acme = acme(&test).await;
        let one = acme.device(10, 0).await;
        let two = acme.device(11, 0).await;
        let car = acme.device_of_type(12, "car", 0).await;
        commit!(acme.db, |tx| devices::set_status_of(tx, acme.tenant, &[two], DeviceStatus::Failed, at(20)));
        let group = acme.group(20, &[one, car]).await;
        assert_eq!(ids(acme, Filter::default(), 2).await, [car, two]);
        assert_eq!(ids(acme, Filter { after: Some(two), ..Filter::default() }, 2).await, [one]);
        let robots = Filter { device_type: Some("robot".to_owned()), ..Filter::default() };
        assert_eq!(ids(acme, robots.clone(), 9).await, [two, one]);
        assert_eq!(ids(acme, Filter { status: Some(DeviceStatus::Failed), ..Filter::default() }, 9).await, [two]);
        assert_eq!(ids(acme, Filter { hardware_id: Some("hw-12".to_owned()), ..Filter::default() }, 9).await, [car]);
        assert_eq!(ids(acme, Filter { group: Some(group), ..Filter::default() }, 9).await, [car, one]);
        assert_eq!(ids(acme, Filter { group: Some(group), ..robots }, 9).await, [one]);
    }

    async fn signs_of_life_of_many_are_written_at_once(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        let [early, late, never] = [acme.device(10, 0).await, acme.device(11, 0).await, acme.device(12, 0).await];
        let stranger = other.device(13, 0).await;
        commit!(acme.db, |tx| devices::seen(tx, acme.tenant, late, None, at(100)));
        let rows = [(early, at(50)), (late, at(50)), (stranger, at(50)), (DeviceId(uuid(99)), at(50))];
        commit!(acme.db, |tx| devices::seen_at(tx, acme.tenant, &rows, at(200)));
        commit!(acme.db, |tx| devices::seen_at(tx, acme.tenant, &[], at(200)));
        let mut seen = Vec::new();
        for (scope, device) in [(acme, early), (acme, late), (acme, never), (other, stranger)] {
            seen.push(devices::get(scope.db, scope.tenant, device).await.unwrap().unwrap().last_seen_at);
        }
        assert_eq!(seen, [Some(at(50)), Some(at(100)), None, None], "nothing goes back, and tenants are apart");

        commit!(acme.db, |tx| devices::seen(tx, acme.tenant, never, None, at(900)));
        commit!(acme.db, |tx| devices::seen_at(tx, acme.tenant, &[(never, at(150))], at(200)));
        let seen = devices::get(acme.db, acme.tenant, never).await.unwrap().unwrap().last_seen_at;
        assert_eq!(seen, Some(at(150)), "a time that has not come yet was a clock's mistake");
    }

    async fn a_device_changes(test: TestDb) {
        let acme = acme(&test).await;
        let id = acme.device(10, 0).await;
        commit!(acme.db, |tx| devices::set_metadata(tx, acme.tenant, id, "{\"a\":1}", at(20)));
        commit!(acme.db, |tx| devices::set_status_of(tx, acme.tenant, &[id], DeviceStatus::Updating, at(30)));
        commit!(acme.db, |tx| devices::set_status_of(tx, acme.tenant, &[id], DeviceStatus::Updating, at(40)));
        commit!(acme.db, |tx| devices::seen(tx, acme.tenant, id, Some("0.1.0"), at(50)));
        commit!(acme.db, |tx| devices::seen(tx, acme.tenant, id, None, at(60)));
        let found = devices::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((found.metadata.as_str(), found.status), ("{\"a\":1}", DeviceStatus::Updating));
        assert_eq!((found.agent_version.as_deref(), found.last_seen_at), (Some("0.1.0"), Some(at(60))));
        assert_eq!(found.updated_at, at(30), "neither a sign of life nor the same status is a change");
    }

    async fn what_hangs_on_a_device_goes_with_it(test: TestDb) {
        let acme = acme(&test).await;
        let (id, other) = (acme.device(10, 0).await, acme.device(11, 0).await);
        let group = acme.group(20, &[id, other]).await;
        acme.runs(id, "main", "1.0.0", None).await;
        commit!(acme.db, |tx| device_tokens::insert(tx, acme.tenant, uuid(30), id, digest(1), at(30)));
        let new = acme.firmware(12, "1.1.0").await;
        let rollout = acme.rollout(40, &new, RolloutState::Active).await;
        let session = acme.pending(50, rollout, id, new.id).await;

        assert!(commit!(acme.db, |tx| devices::delete(tx, acme.tenant, id)));
        assert!(!commit!(acme.db, |tx| devices::delete(tx, acme.tenant, id)));
        assert!(devices::get(acme.db, acme.tenant, id).await.unwrap().is_none());
        assert!(device_tokens::get(acme.db, acme.tenant, uuid(30)).await.unwrap().is_none());
        assert!(device_components::of_device(acme.db, acme.tenant, id).await.unwrap().is_empty());
        assert!(groups::of_device(acme.db, acme.tenant, id).await.unwrap().is_empty());
        assert!(update_sessions::counted_of_device(acme.db, acme.tenant, id).await.unwrap().is_empty());
        assert!(update_sessions::get(acme.db, acme.tenant, &[session]).await.unwrap().is_empty());
        let counts = groups::counts(acme.db, acme.tenant, &Reach::Tenant, group, group).await.unwrap();
        assert_eq!(counts, [(group, 1)]);
    }

    async fn what_many_devices_run_is_noted_at_once(test: TestDb) {
        let acme = acme(&test).await;
        let ours = acme.firmware(2, "1.2.0").await;
        let (main, ecu, mut devices) = (component("main"), component("ecu"), Vec::new());
        for n in 0..60 {
            devices.push(acme.device(100 + n, 0).await);
        }
        for (runs, seconds) in [(ours.version.clone(), 50), ("1.3.0".parse::<Version>().unwrap(), 60)] {
            // The first row has nothing where others have something.
            let nothing = devices.iter().map(|device| (*device, &ecu, None, None));
            let main = devices.iter().map(|device| (*device, &main, Some(&runs), Some(ours.manifest_sha256)));
            let rows = nothing.chain(main).map(|(device, component, version, manifest_sha256)| Heard {
                device, component, version, manifest_sha256, at: at(seconds),
            });
            let rows: Vec<_> = rows.collect();
            commit!(acme.db, |tx| device_components::note(tx, acme.tenant, &rows));
            let found = device_components::of_devices(acme.db, acme.tenant, &devices).await.unwrap();
            assert_eq!(found.len(), 120, "more than one statement takes");
            for row in found {
                let expected = if row.component == ecu { (None, None) } else { (Some(runs.clone()), Some(ours.id)) };
                assert_eq!((row.version, row.firmware_id, row.reported_at), (expected.0, expected.1, at(seconds)));
            }
        }
        commit!(acme.db, |tx| device_components::note(tx, acme.tenant, &[]));
    }

    async fn components_know_our_firmware_by_its_manifest(test: TestDb) {
        let acme = acme(&test).await;
        let (id, other) = (acme.device(10, 0).await, acme.device(11, 0).await);
        let ours = acme.firmware(12, "1.2.0").await;
        acme.runs(id, "main", "1.2.0", Some(ours.manifest_sha256)).await;
        acme.runs(id, "ecu", "0.9.0", Some(digest(99))).await;
        acme.runs(other, "main", "1.0.0", None).await;
        let main = device_components::get(acme.db, acme.tenant, id, &component("main")).await.unwrap().unwrap();
        assert_eq!((main.device_id, main.version, main.firmware_id), (id, Some(ours.version), Some(ours.id)));
        assert_eq!((main.manifest_sha256, main.reported_at), (Some(digest(12)), at(50)));
        let all = device_components::of_device(acme.db, acme.tenant, id).await.unwrap();
        assert_eq!(all.iter().map(|row| (row.component.as_str(), row.firmware_id)).collect::<Vec<_>>(),
            [("ecu", None), ("main", Some(ours.id))]);
        let both = device_components::of_devices(acme.db, acme.tenant, &[other, id]).await.unwrap();
        assert_eq!(both.iter().map(|row| row.device_id).collect::<Vec<_>>(), [id, id, other]);
        assert!(device_components::of_devices(acme.db, acme.tenant, &[]).await.unwrap().is_empty());

        // Whatever is reported later replaces it, down to nothing at all.
        let main = component("main");
        let heard = Heard { device: id, component: &main, version: None, manifest_sha256: None, at: at(60) };
        commit!(acme.db, |tx| device_components::note(tx, acme.tenant, &[heard]));
        let found = device_components::get(acme.db, acme.tenant, id, &main).await.unwrap().unwrap();
        assert_eq!((found.version, found.manifest_sha256, found.firmware_id), (None, None, None));
        assert_eq!(found.reported_at, at(60));
        assert!(device_components::get(acme.db, acme.tenant, other, &component("ecu")).await.unwrap().is_none());
    }

    async fn groups_and_their_members(test: TestDb) {
        let acme = acme(&test).await;
        let (one, two) = (acme.device(10, 0).await, acme.device(11, 0).await);
        let group = acme.group(20, &[one]).await;
        let second = acme.group(21, &[two, one]).await;
        let again = commit!(acme.db, |tx| groups::add(tx, acme.tenant, group, one));
        assert_eq!(again, Some(groups::Added::Before), "it is there already");
        let unknown = commit!(acme.db, |tx| groups::add(tx, acme.tenant, group, DeviceId(uuid(99))));
        assert_eq!(unknown, None, "unknown device");
        let pairs = |rows: Vec<groups::MemberRow>| -> Vec<_> {
            rows.into_iter().map(|row| (row.device_id, row.group_id)).collect()
        };
        let found = groups::of_device(acme.db, acme.tenant, one).await.unwrap();
        assert_eq!(pairs(found), [(one, group), (one, second)]);
        let found = groups::of_devices(acme.db, acme.tenant, &Reach::Tenant, &[two, one]).await.unwrap();
        assert_eq!(pairs(found), [(one, group), (one, second), (two, second)]);
        assert!(groups::of_devices(acme.db, acme.tenant, &Reach::Tenant, &[]).await.unwrap().is_empty());

        let page = groups::page(acme.db, acme.tenant, &Reach::Tenant, None, 1).await.unwrap();
        assert_eq!((page[0].id, page.len()), (second, 1));
        let page = groups::page(acme.db, acme.tenant, &Reach::Tenant, Some(second), 9).await.unwrap();
        assert_eq!((page[0].id, page.len()), (group, 1));
        let all = groups::counts(acme.db, acme.tenant, &Reach::Tenant, group, second).await.unwrap();
        assert_eq!(BTreeMap::from_iter(all), BTreeMap::from([(group, 1), (second, 2)]));
        let over_one = groups::counts(acme.db, acme.tenant, &Reach::Groups(vec![second]), group, second).await.unwrap();
        assert_eq!(over_one, [(second, 2)]);

        assert!(commit!(acme.db, |tx| groups::remove(tx, acme.tenant, second, one)));
        assert!(!commit!(acme.db, |tx| groups::remove(tx, acme.tenant, second, one)));
        commit!(acme.db, |tx| groups::leave_all(tx, acme.tenant, &Reach::Tenant, two));
        assert!(groups::of_device(acme.db, acme.tenant, two).await.unwrap().is_empty());
    }

    async fn a_group_is_renamed_and_removed(test: TestDb) {
        let acme = acme(&test).await;
        let (group, other) = (acme.group(20, &[]).await, acme.group(21, &[]).await);
        assert!(commit!(acme.db, |tx| groups::update(tx, acme.tenant, group, "eu", "Europe", at(30))));
        assert!(!commit!(acme.db, |tx| groups::update(tx, acme.tenant, GroupId(uuid(99)), "x", "", at(30))));
        let found = groups::get(acme.db, acme.tenant, group).await.unwrap().unwrap();
        assert_eq!((found.name.as_str(), found.description.as_str()), ("eu", "Europe"));
        assert_eq!((found.created_at, found.updated_at), (at(20), at(30)));
        let error = refused!(acme.db, |tx| groups::update(tx, acme.tenant, other, "eu", "", at(31)));
        assert_eq!(unique_violation(&error).as_deref(), Some("device_groups_tenant_id_name_key"));

        let new = acme.firmware(12, "1.0.0").await;
        let rollout = acme.rollout(40, &new, RolloutState::Draft).await;
        assert!(commit!(acme.db, |tx| rollouts::add_group(tx, acme.tenant, rollout, group)));
        let error = refused!(acme.db, |tx| groups::delete(tx, acme.tenant, group));
        assert!(is_foreign_key_violation(&error), "{error}");
        assert!(commit!(acme.db, |tx| groups::delete(tx, acme.tenant, other)));
        assert!(!commit!(acme.db, |tx| groups::delete(tx, acme.tenant, other)));
    }
}

/// Few of many devices: SQLite looks those up, it does not ask all of them. PostgreSQL does so in either form.
#[tokio::test]
async fn a_condition_on_tags_groups_or_attributes_begins_at_their_index() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    let statement = |end: &str| *devices::STATEMENTS.iter().find(|(name, _)| name.ends_with(end)).unwrap();
    for (text, index) in [
        ("\"rare\" in device.tags", "device_tags_by_tag"),
        ("device.status == \"idle\" && (\"rare\" in device.tags && device.attr.x != 3)", "device_tags_by_tag"),
        ("\"lab\" in device.groups", "sqlite_autoindex_group_members_1 (tenant_id=? AND group_id=?"),
        ("device.attr.serial == \"s-7\"", "device_attributes_by_text"),
        ("device.attr.axles in [3, 4]", "device_attributes_by_number"),
        ("device.attr.axles > 20", "device_attributes_by_number"),
    ] {
        let filter = Filter { conditions: vec![selection(text)], ..Filter::default() };
        for (name, sql) in [statement("::PAGE"), statement("::COUNT")] {
            let sql = filter.narrow(sql, &mut Added::behind(7)).replace("/*reach device d.id*/", "");
            let steps = plan_of(acme.db, &sql).await;
            let leads = steps[0].starts_with("SEARCH d") && steps[0].ends_with("(tenant_id=? AND id=?)");
            assert!(leads && steps.iter().any(|step| step.contains(index)), "{name} of {text}: {steps:?}");
        }
    }
}

/// However many memberships the tenant has: only those of the groups below are counted.
#[tokio::test]
async fn the_count_of_a_group_seeks_its_members() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    let counts = groups::STATEMENTS.iter().find(|(name, _)| name.ends_with("::COUNTS")).unwrap().1;
    for sql in [counts.replace("/*reach group g.id*/", ""), Reach::Groups(vec![GroupId(uuid(1))]).limit(counts)] {
        let steps = plan_of(acme.db, &sql).await;
        assert!(seeks(&steps, "m", "(tenant_id=? AND group_id=?"), "{steps:?}");
    }
}

/// Asked at every offer: the tenant's other groups, and what those ask for, cost nothing.
#[tokio::test]
async fn what_a_rollout_asks_for_is_looked_up() {
    let test = TestDb::sqlite().await;
    let acme = acme(&test).await;
    let asked = condition_groups::STATEMENTS.iter().find(|(name, _)| name.ends_with("::OF_ROLLOUT")).unwrap().1;
    let steps = plan_of(acme.db, asked).await;
    for (table, by) in [
        ("g", "(tenant_id=? AND id=?)"),
        ("x", "(tenant_id=? AND rollout_id=?"),
        ("y", "(tenant_id=? AND dynamic_id=?"),
        ("t", "(tenant_id=? AND rollout_id=?"),
    ] {
        assert!(seeks(&steps, table, by), "{table}: {steps:?}");
    }
}

fn seeks(steps: &[String], table: &str, by: &str) -> bool {
    steps.iter().any(|step| step.starts_with(&format!("SEARCH {table} ")) && step.contains(by))
}

/// A batch that waited for a row could hold rows that its owner waits for.
#[tokio::test]
async fn signs_of_life_wait_for_nobody() {
    let test = TestDb::postgres().await;
    let acme = acme(&test).await;
    let [held, named, free] = [acme.device(10, 0).await, acme.device(11, 0).await, acme.device(12, 0).await];
    let gone = DeviceId(uuid(99));
    let mut holder = migrated(&test).await.begin().await.unwrap();
    devices::lock(&mut holder, acme.tenant, held).await.unwrap();
    // What the database does for a row that refers to it.
    let sql = "SELECT id FROM devices WHERE id = $1 FOR KEY SHARE";
    let refer = async { run!(&mut holder, |c| sqlx::query(sql).bind(named).execute(c).await.map(drop)) };
    refer.await.map_err(|error: sqlx::Error| error).unwrap();
    let sightings = [held, named, free, gone].map(|device| (device, at(50)));
    let passed = commit!(acme.db, |tx| devices::seen_at(tx, acme.tenant, &sightings, at(60)));
    assert_eq!(passed, [held], "it is tried again, and one that was deleted is not");
    let mut seen = Vec::new();
    for device in [held, named, free] {
        seen.push(devices::get(acme.db, acme.tenant, device).await.unwrap().unwrap().last_seen_at);
    }
    assert_eq!(seen, [None, Some(at(50)), Some(at(50))]);
    holder.rollback().await.unwrap();
}
