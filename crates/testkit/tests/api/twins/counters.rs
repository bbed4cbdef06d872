//! Numbers: each twin's are its own, and do not move when the other acts.

use std::collections::{BTreeMap, BTreeSet};

use drover_api::{DeviceCountFilter, DeviceFilter, GroupWrite, RolloutCounts, UpdateSessionFilter};
use drover_testkit::{TestServer, answer, eventually};
use drover_types::Exclusion;
use reqwest::Method;
use serde_json::json;

use super::ask::{assert_none_of, assert_same, told, whole};
use super::world::{EU, NORTH, Twin, Twins};
use crate::scene::plan;

async fn counts_its_devices(twin: &Twin) {
    let (owner, kind) = (&twin.owner, twin.kind);
    let count = async |filter: Option<String>| {
        let filter = DeviceCountFilter { filter, ..DeviceCountFilter::default() };
        owner.device_count(&filter).await.unwrap().count
    };
    let [devices, offers] = [kind.devices, kind.offers].map(|number| number as u64);
    assert_eq!(count(None).await, devices);
    assert_eq!(count(Some(EU.to_owned())).await, offers);
    assert_eq!(count(Some("\"lab\" in device.groups".to_owned())).await, devices);
    assert_eq!(count(Some("device.hardware_id == \"TRUCK-03\"".to_owned())).await, u64::from(kind.devices == 3));
    let groups = owner.groups(9).await.unwrap().items;
    assert_eq!(groups.len(), 2 + kind.extras);
    for (name, members) in [("lab", devices), ("europe", offers)] {
        let id = groups.iter().find(|group| group.name == name).unwrap().id;
        assert_eq!(owner.group(id).await.unwrap().device_count, Some(members), "{name}");
        assert_eq!(owner.group_devices(id, 9).await.unwrap().items.len() as u64, members, "{name}");
        let in_group = DeviceFilter { group_id: Some(id), ..DeviceFilter::default() };
        assert_eq!(owner.devices(&in_group, 9).await.unwrap().items.len() as u64, members, "{name}");
    }
    let tokens = owner.enrolment_tokens(9).await.unwrap().items;
    assert_eq!(tokens.iter().map(|token| u64::from(token.uses)).sum::<u64>(), devices);
}

async fn counts_its_sessions(twin: &Twin) {
    let (owner, kind) = (&twin.owner, twin.kind);
    let [devices, failed, told] = [kind.devices, kind.failures, kind.offers].map(|number| number as u64);
    let spring = RolloutCounts { succeeded: devices - failed, failed, ..RolloutCounts::default() };
    let summer = RolloutCounts { in_flight: told, pending: devices - told, ..RolloutCounts::default() };
    for (rollout, expected) in [(&twin.spring, spring), (&twin.summer, summer)] {
        let view = owner.rollout(rollout.id).await.unwrap();
        let metrics = owner.rollout_metrics(rollout.id).await.unwrap();
        for counts in [&view.counts, &view.stages[0].counts, &metrics.counts, &metrics.stages[0].counts] {
            assert_eq!(counts, &expected, "{}", rollout.name);
        }
        let sessions = owner.rollout_sessions(rollout.id, &UpdateSessionFilter::default(), 9).await.unwrap().items;
        assert_eq!(sessions.len() as u64, devices);
    }
    let classes = owner.rollout_metrics(twin.spring.id).await.unwrap().failures_by_class;
    assert_eq!(classes.values().sum::<u64>(), failed, "{classes:?}");
    assert_eq!(owner.rollout_failures(twin.spring.id, 9).await.unwrap().items.len() as u64, failed);
    let updates = owner.device_updates(twin.devices[0].id, 9).await.unwrap().items;
    assert_eq!(updates.len(), 2);
}

async fn previews_its_own(twin: &Twin) {
    let (owner, kind) = (&twin.owner, twin.kind);
    let [devices, failed, told] = [kind.devices, kind.failures, kind.offers].map(|number| number as u64);
    let mut body = plan(&twin.firmware[2], &[100]);
    let all = owner.preview_rollout(&body).await.unwrap();
    assert_eq!((all.devices, all.busy, all.excluded.len()), (devices, told, 0));
    let versions: BTreeMap<_, _> =
        all.by_version.items.iter().map(|one| (one.name.as_deref().unwrap(), one.devices)).collect();
    let expected = [("1.0.0", failed), ("1.1.0", devices - failed)].into_iter().filter(|(_, devices)| *devices > 0);
    assert_eq!(versions, expected.collect());
    assert_eq!(all.by_type.items.iter().map(|one| one.devices).collect::<Vec<_>>(), [devices]);
    body.target_condition = Some(EU.to_owned());
    let some = owner.preview_rollout(&body).await.unwrap();
    let reasons: Vec<_> = some.excluded.iter().map(|one| (one.reason, one.devices, one.sample.len() as u64)).collect();
    let left = devices - told;
    assert_eq!((some.devices, reasons), (told, vec![(Exclusion::Condition, left, left)]));
    assert_eq!(owner.preview_excluded(&body, None, 9).await.unwrap().items.len() as u64, left);
}

/// All that the owner can read, as far as it stays the same when nothing happens: addresses of bytes are signed anew.
async fn snapshot(server: &TestServer, twin: &Twin) -> BTreeMap<String, String> {
    let reads = twin.reads(server, &twin.token).await;
    let lasting = reads.into_iter().filter(|(operation, _)| operation.needs_credential);
    lasting
        .map(|(operation, mut answered)| {
            let unsigned = answered.header("location").split('?').next().unwrap_or_default().to_owned();
            answered.headers.insert("location", unsigned.parse().unwrap());
            (operation.id, told(&answered, "(nothing)"))
        })
        .collect()
}

/// One of everything that changes a number somewhere, and nothing that changes it back.
async fn act(server: &TestServer, twin: &Twin) {
    for hardware_id in ["TRUCK-98", "TRUCK-99"] {
        let new = server.device_with(&twin.enrolment_token, hardware_id, Some(&twin.firmware[0])).await;
        new.heartbeat(Vec::new()).await;
        twin.owner.add_to_group(twin.ids["groups"].parse().unwrap(), vec![new.id]).await.unwrap();
    }
    twin.owner.delete_device(twin.devices[1].id).await.unwrap();
    twin.devices[0].install(&twin.offer).await;
    let group = GroupWrite { name: "new".into(), ..GroupWrite::default() };
    twin.owner.create_group(&group).await.unwrap();
    let mut body = plan(&twin.firmware[3], &[100]);
    body.name = "autumn".into();
    let rollout = twin.owner.create_rollout(&body).await.unwrap();
    twin.owner.start_rollout(rollout.id).await.unwrap();
    twin.owner.cancel_rollout(twin.summer.id).await.unwrap();
    twin.owner.revoke_release_key(twin.ids["release-keys"].parse().unwrap()).await.unwrap();
    crate::tenants::stored(server, &twin.token, "new.bin", "new").await;
    crate::uploads::begin(server, &twin.token, "new.bin.part").await;
    let user = server.request(Method::POST, "/api/v1/users").bearer_auth(&twin.token);
    assert_eq!(answer(user.json(&json!({ "username": "new" }))).await.status, 201);
    eventually("the new rollout to have chosen", async || {
        (twin.owner.rollout(rollout.id).await.unwrap().counts.pending > 0).then_some(())
    })
    .await;
}

async fn figures(server: &TestServer) -> String {
    answer(server.request(Method::GET, "/metrics")).await.text()
}

/// The names of labels in the text for Prometheus.
fn labels(text: &str) -> BTreeSet<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let inside = samples.filter_map(|line| Some(line.split_once('{')?.1.rsplit_once('}')?.0));
    let parts = inside.flat_map(|inside| inside.split("\",")).filter_map(|part| part.split_once("=\""));
    parts.map(|(name, _)| name).collect()
}

pub(super) async fn each_counts_its_own(twins: &Twins) {
    for twin in [&twins.north, &twins.south] {
        counts_its_devices(twin).await;
        counts_its_sessions(twin).await;
        previews_its_own(twin).await;
    }
}

pub(super) async fn nothing_moves_when_the_twin_acts(twins: &Twins) {
    let server = &twins.server;
    let before = snapshot(server, &twins.south).await;
    let before_of_north = snapshot(server, &twins.north).await;
    act(server, &twins.north).await;
    let after = snapshot(server, &twins.south).await;
    for (operation, told) in &before {
        assert_same(told, &after[operation], operation);
    }
    let moved = snapshot(server, &twins.north).await;
    let moved: Vec<_> = moved.iter().filter(|(operation, told)| before_of_north[*operation] != **told).collect();
    assert!(moved.len() >= 15, "the northern twin has done too little: {moved:?}");
}

/// The figures for Prometheus are sums over the whole node: no label tells one tenant's share.
pub(super) async fn figures_of_the_node_name_no_tenant(twins: &Twins) {
    let text = figures(&twins.server).await;
    for twin in [&twins.north, &twins.south] {
        let secrets = twin.secrets(&twins.server).await;
        assert_none_of(&secrets, &text, "the figures");
    }
    assert_eq!(labels(&text), ["le", "method", "route", "state", "status"].into());
    let ended = |state: &str, number: usize| {
        text.contains(&format!("ota_vehicle_updates_total{{state=\"{state}\"}} {number}\n"))
    };
    assert!(ended("succeeded", 3) && ended("failed", NORTH.failures), "{text}");
    let answered = answer(twins.server.request(Method::GET, "/metrics").bearer_auth(&twins.south.token)).await;
    assert_eq!(labels(&whole(&answered)), labels(&text), "a credential changes nothing");
}
