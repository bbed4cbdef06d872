//! Firmware, its artifacts, and names for content.

use drover_db::{is_foreign_key_violation, on_both, unique_violation};
use drover_types::{FirmwareId, FirmwareState, RolloutState};

use super::fixture::{Scope, acme, at, commit, component, digest, firmware_row, refused, uuid, version};
use crate::artifacts::ArtifactRow;
use crate::firmware::{Filter, FirmwareRow};
use crate::objects::ObjectRow;
use crate::{artifacts, dependencies, firmware, objects, unused_content};

fn artifact(name: &str, content: u8) -> ArtifactRow {
    ArtifactRow {
        name: name.to_owned(),
        size_bytes: 100,
        sha256: digest(content),
        bundle: content.is_multiple_of(2).then(|| "{}".to_owned()),
        uploaded_at: None,
    }
}

fn object(name: &str, content: u8) -> ObjectRow {
    ObjectRow { name: name.to_owned(), size_bytes: 5, sha256: digest(content), created_at: at(5) }
}

async fn versions(acme: Scope<'_>, filter: Filter) -> Vec<String> {
    let page = firmware::page(acme.db, acme.tenant, &filter, 10).await.unwrap();
    page.iter().map(|row| row.version.to_string()).collect()
}

on_both! {
    async fn firmware_comes_back_as_it_was(test: TestDb) {
        let acme = acme(&test).await;
        let row = acme.firmware(10, "1.0.0-rc.1").await;
        let found = firmware::get(acme.db, acme.tenant, row.id).await.unwrap().unwrap();
        assert_eq!(format!("{found:?}"), format!("{row:?}"));
        assert!(firmware::get(acme.db, acme.tenant, FirmwareId(uuid(99))).await.unwrap().is_none());
    }

    async fn firmware_in_filtered_pages(test: TestDb) {
        let acme = acme(&test).await;
        acme.firmware(10, "1.0.0").await;
        let second = acme.firmware(11, "1.10.0").await;
        acme.firmware(12, "1.9.0").await;
        let ecu = FirmwareRow { component: component("ecu"), ..firmware_row(13, "1.0.0") };
        let car = FirmwareRow { device_type: "car".to_owned(), ..firmware_row(14, "3.0.0") };
        for row in [&ecu, &car] {
            commit!(acme.db, |tx| firmware::insert(tx, acme.tenant, row));
        }
        assert_eq!(versions(acme, Filter::default()).await, ["3.0.0", "1.0.0", "1.9.0", "1.10.0", "1.0.0"]);
        assert_eq!(versions(acme, Filter { after: Some(second.id), ..Filter::default() }).await, ["1.0.0"]);
        let robots = Filter { device_type: Some("robot".to_owned()), ..Filter::default() };
        assert_eq!(versions(acme, robots.clone()).await.len(), 4);
        assert_eq!(versions(acme, Filter { component: Some(component("ecu")), ..robots }).await, ["1.0.0"]);
        let one = Filter { version: Some(version("1.10.0")), ..Filter::default() };
        assert_eq!(versions(acme, one).await, ["1.10.0"]);
    }

    async fn a_release_is_there_once(test: TestDb) {
        let acme = acme(&test).await;
        acme.firmware(10, "1.0.0").await;
        let same_version = firmware_row(11, "1.0.0");
        let same_counter = FirmwareRow { release_counter: 10, ..firmware_row(12, "1.1.0") };
        let same_manifest = FirmwareRow { manifest_sha256: digest(10), ..firmware_row(13, "1.2.0") };
        for (row, constraint) in [
            (same_version, "firmware_tenant_id_device_type_component_version_key"),
            (same_counter, "firmware_tenant_id_device_type_component_release_counter_key"),
            (same_manifest, "firmware_tenant_id_manifest_sha256_key"),
        ] {
            let error = refused!(acme.db, |tx| firmware::insert(tx, acme.tenant, &row));
            assert_eq!(unique_violation(&error).as_deref(), Some(constraint));
        }
    }

    async fn a_draft_is_published_once(test: TestDb) {
        let acme = acme(&test).await;
        let row = acme.firmware(10, "1.0.0").await;
        assert!(commit!(acme.db, |tx| firmware::publish(tx, acme.tenant, row.id, at(20))));
        assert!(!commit!(acme.db, |tx| firmware::publish(tx, acme.tenant, row.id, at(21))));
        let found = firmware::get(acme.db, acme.tenant, row.id).await.unwrap().unwrap();
        assert_eq!((found.state, found.published_at), (FirmwareState::Published, Some(at(20))));
    }

    async fn firmware_is_in_use_by_rollouts_and_ways_back(test: TestDb) {
        let acme = acme(&test).await;
        let (old, new) = (acme.firmware(10, "1.0.0").await, acme.firmware(11, "1.1.0").await);
        let device = acme.device(20, 0).await;
        let rollout = acme.rollout(30, &new, RolloutState::Active).await;
        let session = acme.pending(40, rollout, device, new.id).await;
        assert_eq!(commit!(acme.db, |tx| firmware::uses(tx, acme.tenant, old.id)), 0);
        assert!(acme.offer(session, Some(&old), at(90)).await);
        assert_eq!(commit!(acme.db, |tx| firmware::uses(tx, acme.tenant, old.id)), 1);
        assert_eq!(commit!(acme.db, |tx| firmware::uses(tx, acme.tenant, new.id)), 1);
        let error = refused!(acme.db, |tx| firmware::delete(tx, acme.tenant, new.id));
        assert!(is_foreign_key_violation(&error), "{error}");
    }

    async fn artifacts_in_the_order_of_the_manifest(test: TestDb) {
        let acme = acme(&test).await;
        let (one, two) = (acme.firmware(10, "1.0.0").await.id, acme.firmware(11, "1.1.0").await.id);
        for (owner, position, name, content) in [(one, 1, "a", 1), (one, 0, "z", 2), (two, 0, "m", 2)] {
            let artifact = artifact(name, content);
            commit!(acme.db, |tx| artifacts::insert(tx, acme.tenant, owner, position, &artifact));
        }
        let error = refused!(acme.db, |tx| artifacts::insert(tx, acme.tenant, one, 2, &artifact("a", 3)));
        assert_eq!(unique_violation(&error).as_deref(), Some("firmware_artifacts_tenant_id_firmware_id_name_key"));

        for second in [20, 30] {
            commit!(acme.db, |tx| artifacts::set_uploaded(tx, acme.tenant, one, "z", at(second)));
        }
        let found = artifacts::of_firmware(acme.db, acme.tenant, one).await.unwrap();
        let parts: Vec<_> = found.iter().map(|row| (row.name.as_str(), row.sha256, row.uploaded_at)).collect();
        assert_eq!(parts, [("z", digest(2), Some(at(20))), ("a", digest(1), None)]);
        assert_eq!((found[0].size_bytes, found[0].bundle.as_deref(), &found[1].bundle), (100, Some("{}"), &None));

        let many = artifacts::of_many(acme.db, acme.tenant, &[two, one]).await.unwrap();
        let owned: Vec<_> = many.iter().map(|row| (row.firmware_id, row.artifact.name.as_str())).collect();
        assert_eq!(owned, [(one, "z"), (one, "a"), (two, "m")]);
        assert!(artifacts::of_many(acme.db, acme.tenant, &[]).await.unwrap().is_empty());
        assert_eq!(artifacts::uses_of_content(acme.db, acme.tenant, digest(2)).await.unwrap(), 2);
        assert_eq!(artifacts::uses_of_content(acme.db, acme.tenant, digest(9)).await.unwrap(), 0);
    }

    async fn a_name_is_given_for_ever(test: TestDb) {
        let acme = acme(&test).await;
        assert!(commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object("app/1", 1), None)));
        assert!(!commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object("app/1", 2), None)));
        let found = objects::get(acme.db, acme.tenant, "app/1").await.unwrap().unwrap();
        assert_eq!((found.sha256, found.size_bytes, found.created_at), (digest(1), 5, at(5)));
        assert!(objects::get(acme.db, acme.tenant, "APP/1").await.unwrap().is_none());
        assert!(commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object("app/2", 1), None)));
        assert_eq!(objects::uses_of_content(acme.db, acme.tenant, digest(1)).await.unwrap(), 2);
    }

    async fn content_that_is_being_removed_gets_no_name(test: TestDb) {
        let acme = acme(&test).await;
        let (tenant, content) = (acme.tenant, digest(1));
        let minutes = |minutes: i64| at(minutes * 60);
        let claim = async |before: i64, now: i64| {
            commit!(acme.db, |tx| unused_content::claim(tx, tenant, content, minutes(before), minutes(now)))
        };
        let note = async |now: i64| commit!(acme.db, |tx| unused_content::note(tx, tenant, content, minutes(now)));
        assert!(note(1).await);
        assert_eq!(claim(1, 2).await, None, "too soon");
        let first = claim(2, 3).await.unwrap();
        for minute in [3, 17] {
            assert!(!note(minute).await);
            assert!(!commit!(acme.db, |tx| unused_content::forget(tx, tenant, content, minutes(minute))));
            assert_eq!(claim(2, minute).await, None, "another node is at it");
        }
        let second = claim(2, 18).await.expect("the first was given up");
        commit!(acme.db, |tx| unused_content::removed(tx, tenant, content, first));
        commit!(acme.db, |tx| unused_content::give_up(tx, tenant, content, first));
        assert!(!note(19).await, "the second goes on");
        commit!(acme.db, |tx| unused_content::give_up(tx, tenant, content, second));
        assert!(note(19).await, "it stays");
        assert_eq!(claim(19, 20).await, None);
        assert!(commit!(acme.db, |tx| unused_content::forget(tx, tenant, content, minutes(20))));

        assert!(note(21).await);
        let third = claim(22, 23).await.unwrap();
        commit!(acme.db, |tx| unused_content::removed(tx, tenant, content, third));
        assert!(note(24).await, "it may come anew");
        assert!(commit!(acme.db, |tx| objects::insert(tx, tenant, &object("app/1", 1), None)));
        assert_eq!(claim(25, 26).await, None, "in use");
        assert_eq!(unused_content::old(acme.db, tenant, minutes(99), 9).await.unwrap(), [], "it has a name");
    }

    async fn names_in_pages_by_prefix(test: TestDb) {
        let acme = acme(&test).await;
        for name in ["app/2", "app/1", "app", "a%p/1", "App/1", "apq", "app/10"] {
            assert!(commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object(name, 1), None)));
        }
        let names = async |after, prefix, limit| -> Vec<String> {
            let page = objects::page(acme.db, acme.tenant, after, prefix, limit).await.unwrap();
            page.into_iter().map(|row| row.name).collect()
        };
        assert_eq!(names(None, Some("app/"), 9).await, ["app/1", "app/10", "app/2"]);
        assert_eq!(names(None, Some("app/"), 2).await, ["app/1", "app/10"]);
        assert_eq!(names(Some("app/10"), Some("app/"), 2).await, ["app/2"]);
        assert_eq!(names(None, Some("a%"), 9).await, ["a%p/1"], "a prefix is text, not a pattern");
        assert_eq!(names(Some("app/2"), None, 9).await, ["apq"]);
    }

    async fn what_hangs_on_a_firmware_goes_with_it(test: TestDb) {
        let acme = acme(&test).await;
        let row = acme.firmware(10, "1.0.0").await;
        commit!(acme.db, |tx| artifacts::insert(tx, acme.tenant, row.id, 0, &artifact("a", 1)));
        assert!(commit!(acme.db, |tx| objects::insert(tx, acme.tenant, &object("app/1", 1), Some(row.id))));
        let (ecu, floor) = (component("ecu"), version("1.0.0"));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, row.id, 0, &ecu, &floor, None));
        commit!(acme.db, |tx| firmware::delete(tx, acme.tenant, row.id));
        assert!(firmware::get(acme.db, acme.tenant, row.id).await.unwrap().is_none());
        assert!(artifacts::of_firmware(acme.db, acme.tenant, row.id).await.unwrap().is_empty());
        assert!(objects::get(acme.db, acme.tenant, "app/1").await.unwrap().is_none());
        let again = FirmwareRow { manifest_sha256: digest(11), ..row };
        commit!(acme.db, |tx| firmware::insert(tx, acme.tenant, &again));
        commit!(acme.db, |tx| dependencies::insert(tx, acme.tenant, again.id, 0, &ecu, &floor, None));
    }
}
