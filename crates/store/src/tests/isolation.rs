//! Two tenants with the same ids, names and hardware ids never meet.

use drover_db::on_both;
use drover_types::{
    ApiKeyId, AttributeValue, ComponentName, DeviceId, DeviceStatus, FirmwareId, GroupId, RolloutId, RolloutState,
    SessionState, StageState, UpdateSessionId, UploadId, UploadState,
};

use super::fixture::{Scope, acme, at, commit, digest, offer_from, uuid};
use super::uploads::new_upload;
use crate::api_keys::ApiKeyRow;
use crate::objects::ObjectRow;
use crate::rollouts::{self, StateChange};
use crate::targets::{StageFilter, Target};
use crate::uploads::{self, PartRow};
use crate::{
    Reach, api_keys, counters, device_attributes, device_components, device_tags, devices, firmware, groups, objects,
    offers, session_changes, stages, targets, update_sessions,
};

const DEVICE: u16 = 10;
const GROUP: u16 = 20;
const ROLLOUT: u16 = 30;
const SESSION: u16 = 40;
const KEY: u16 = 50;
const UPLOAD: u16 = 60;
const FIRMWARE: u8 = 12;

/// The same rows, with the same ids, in every tenant.
async fn fill(scope: Scope<'_>) {
    let device = scope.device(DEVICE, 0).await;
    scope.device(DEVICE + 1, 1).await;
    scope.group(GROUP, &[device]).await;
    let region = AttributeValue::Text("eu".to_owned());
    commit!(scope.db, |tx| device_attributes::set(tx, scope.tenant, device, "region", &region, at(5)));
    commit!(scope.db, |tx| device_tags::add(tx, scope.tenant, device, "canary"));
    let new = scope.firmware(FIRMWARE, "1.1.0").await;
    scope.runs(device, "main", "1.0.0", None).await;
    let rollout = scope.rollout(ROLLOUT, &new, RolloutState::Active).await;
    assert!(commit!(scope.db, |tx| rollouts::add_group(tx, scope.tenant, rollout, GroupId(uuid(GROUP)))));
    scope.stage(rollout, 0, StageState::Running).await;
    scope.pending(SESSION, rollout, device, new.id).await;
    commit!(scope.db, |tx| counters::add(tx, scope.tenant, rollout, 0, SessionState::Pending, None, 1));
    let object = ObjectRow { name: "app/1".to_owned(), size_bytes: 5, sha256: digest(1), created_at: at(5) };
    assert!(commit!(scope.db, |tx| objects::insert(tx, scope.tenant, &object, Some(new.id))));
    let key = ApiKeyRow {
        id: ApiKeyId(uuid(KEY)),
        name: "ci".to_owned(),
        secret_sha256: digest(2),
        user_id: None,
        scopes: None,
        group_id: None,
        addresses: None,
        created_at: at(5),
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
    };
    commit!(scope.db, |tx| api_keys::insert(tx, scope.tenant, &key));
    commit!(scope.db, |tx| uploads::insert(tx, scope.tenant, &new_upload(UPLOAD), at(5)));
    let part = PartRow { number: 1, size_bytes: 5, sha256: None, tag: "a".to_owned(), uploaded_at: at(6) };
    assert!(commit!(scope.db, |tx| uploads::put_part(tx, scope.tenant, UploadId(uuid(UPLOAD)), &part)));
}

fn target(scope: Scope<'_>) -> Target {
    Target {
        tenant: scope.tenant,
        rollout: Some(RolloutId(uuid(ROLLOUT))),
        firmware: FirmwareId(uuid(FIRMWARE.into())),
        device_type: "robot".to_owned(),
        component: ComponentName::main(),
        version: "1.1.0".parse().unwrap(),
        release_counter: FIRMWARE.into(),
        groups: Vec::new(),
        dynamic_groups: Vec::new(),
        condition: None,
    }
}

/// Everything a tenant sees of [`fill`], as text.
async fn view(scope: Scope<'_>) -> String {
    let (db, tenant) = (scope.db, scope.tenant);
    let (device, rollout) = (DeviceId(uuid(DEVICE)), RolloutId(uuid(ROLLOUT)));
    let tables = [
        format!("{:?}", devices::page(db, tenant, &Reach::Tenant, &devices::Filter::default(), 99).await.unwrap()),
        format!("{:?}", device_components::of_device(db, tenant, device).await.unwrap()),
        format!("{:?}", device_attributes::of_devices(db, tenant, &[device]).await.unwrap()),
        format!("{:?}", device_tags::of_devices(db, tenant, &[device]).await.unwrap()),
        format!("{:?}", groups::page(db, tenant, &Reach::Tenant, None, 99).await.unwrap()),
        format!("{:?}", groups::of_device(db, tenant, device).await.unwrap()),
        format!("{:?}", firmware::page(db, tenant, &firmware::Filter::default(), 99).await.unwrap()),
        format!("{:?}", objects::page(db, tenant, None, None, 99).await.unwrap()),
        format!("{:?}", rollouts::page(db, tenant, &Reach::Tenant, &rollouts::Filter::default(), 99).await.unwrap()),
        format!("{:?}", rollouts::target_groups(db, tenant, rollout).await.unwrap()),
        format!("{:?}", stages::of_rollout(db, tenant, rollout).await.unwrap()),
        format!("{:?}", counters::of_rollout(db, tenant, rollout).await.unwrap()),
        format!(
            "{:?}",
            update_sessions::of_rollout(db, tenant, &Reach::Tenant, rollout, None, None, 99).await.unwrap()
        ),
        format!("{:?}", offers::candidates(db, tenant, device).await.unwrap()),
        format!("{:?}", targets::count(db, &target(scope), &StageFilter::default()).await.unwrap()),
        format!("{:?}", targets::summary(db, &target(scope), &Reach::Tenant, 9).await.unwrap().reasons.len()),
        format!("{:?}", targets::excluded(db, &target(scope), &Reach::Tenant, None, None, 99).await.unwrap()),
        format!("{:?}", devices::count(db, tenant, &Reach::Tenant, &devices::Filter::default()).await.unwrap()),
        format!("{:?}", api_keys::page(db, tenant, None, 99).await.unwrap()),
        format!("{:?}", uploads::page(db, tenant, &uploads::Filter::default(), 99).await.unwrap()),
        format!("{:?}", uploads::get(db, tenant, UploadId(uuid(UPLOAD))).await.unwrap()),
        format!("{:?}", uploads::parts(db, tenant, UploadId(uuid(UPLOAD))).await.unwrap()),
        format!("{:?}", uploads::unfinished(db, tenant).await.unwrap()),
    ];
    tables.join("\n")
}

/// Changes or removes every row of the tenant.
async fn upset(scope: Scope<'_>) {
    let (db, tenant) = (scope.db, scope.tenant);
    let (device, rollout) = (DeviceId(uuid(DEVICE)), RolloutId(uuid(ROLLOUT)));
    let (group, session) = (GroupId(uuid(GROUP)), UpdateSessionId(uuid(SESSION)));
    let offer = offer_from(None, at(99));
    let offers = [(session, offer)];
    assert_eq!(commit!(db, |tx| session_changes::offer(tx, tenant, &offers, at(70))), [session]);
    commit!(db, |tx| counters::add(tx, tenant, rollout, 0, SessionState::Pending, None, -1));
    let change = StateChange { from: RolloutState::Active, to: RolloutState::Paused, reason: None };
    assert!(commit!(db, |tx| rollouts::set_state(tx, tenant, rollout, &change, at(71))));
    commit!(db, |tx| rollouts::rename(tx, tenant, rollout, "renamed"));
    commit!(db, |tx| rollouts::clear_groups(tx, tenant, rollout));
    commit!(db, |tx| stages::clear(tx, tenant, rollout));
    commit!(db, |tx| devices::set_status_of(tx, tenant, &[device], DeviceStatus::Failed, at(72)));
    commit!(db, |tx| devices::set_metadata(tx, tenant, device, "{\"b\":2}", at(72)));
    commit!(db, |tx| devices::seen(tx, tenant, device, Some("9.9.9"), at(73)));
    assert!(commit!(db, |tx| device_tags::remove(tx, tenant, device, "canary")));
    commit!(db, |tx| device_attributes::remove(tx, tenant, device, "region"));
    assert!(commit!(db, |tx| groups::update(tx, tenant, group, "renamed", "", at(74))));
    assert!(commit!(db, |tx| groups::remove(tx, tenant, group, device)));
    assert!(commit!(db, |tx| groups::delete(tx, tenant, group)));
    assert!(commit!(db, |tx| firmware::publish(tx, tenant, FirmwareId(uuid(FIRMWARE.into())), at(75))));
    assert!(commit!(db, |tx| api_keys::revoke(tx, tenant, ApiKeyId(uuid(KEY)), at(76))));
    assert!(commit!(db, |tx| devices::delete(tx, tenant, device)));
    let upload = UploadId(uuid(UPLOAD));
    assert!(commit!(db, |tx| uploads::set_token(tx, tenant, upload, "token")));
    assert!(commit!(db, |tx| uploads::postpone(tx, tenant, upload, UploadState::Open, at(77), Some("x"))));
    let due = uploads::DueRow { tenant_id: tenant, id: upload, next_action_at: at(77) };
    assert!(commit!(db, |tx| uploads::claim(tx, due, at(78))));
    let change = uploads::StateChange { from: UploadState::Open, to: UploadState::Aborted, reason: None };
    assert!(commit!(db, |tx| uploads::set_state(tx, tenant, upload, &change, at(79))));
    commit!(db, |tx| uploads::delete(tx, tenant, upload));
}

on_both! {
    async fn tenants_with_the_same_rows_do_not_touch_each_other(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        let empty = Scope::new(acme.db, 3, "empty").await;
        fill(acme).await;
        let before = view(acme).await;
        fill(other).await;
        assert_eq!(view(acme).await, before, "another tenant's rows appeared");
        assert_eq!(view(other).await, before, "ids and names are free in every tenant");
        upset(other).await;
        assert_ne!(view(other).await, before);
        assert_eq!(view(acme).await, before, "another tenant's changes arrived");
        assert!(!view(empty).await.contains("Row"), "{}", view(empty).await);
        assert!(firmware::get(empty.db, empty.tenant, FirmwareId(uuid(FIRMWARE.into()))).await.unwrap().is_none());
        assert!(devices::by_hardware_id(empty.db, empty.tenant, "hw-10").await.unwrap().is_none());
        assert!(objects::get(empty.db, empty.tenant, "app/1").await.unwrap().is_none());
    }

    async fn a_device_does_not_enter_another_tenants_group(test: TestDb) {
        let acme = acme(&test).await;
        let other = Scope::new(acme.db, 2, "other").await;
        let (group, stranger) = (acme.group(GROUP, &[]).await, other.device(DEVICE, 0).await);
        assert!(commit!(acme.db, |tx| groups::add(tx, acme.tenant, group, stranger)).is_none());
        let new = other.firmware(FIRMWARE, "1.1.0").await;
        let rollout = other.rollout(ROLLOUT, &new, RolloutState::Draft).await;
        assert!(!commit!(acme.db, |tx| rollouts::add_group(tx, other.tenant, rollout, group)));
    }
}
