//! Devices with the same hardware ids, and what they are told and may say.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_protocol::StatusReport;
use drover_testkit::{Answer, TestServer, answer};
use drover_trust::{sha256, verify_manifest};
use drover_types::SessionState;
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{NOBODY, told};
use super::world::Twins;

async fn says(server: &TestServer, path: &str, token: &str, body: &Value) -> Answer {
    answer(server.request(Method::POST, &format!("/api/v1/{path}")).bearer_auth(token).json(body)).await
}

pub(super) async fn a_device_is_offered_its_own_tenants_firmware(twins: &Twins) {
    for (own, other) in twins.both_ways() {
        assert_eq!(own.devices[0].hardware_id, other.devices[0].hardware_id);
        let offer = own.devices[0].check().await.expect("the offer is made again");
        let firmware = &own.firmware[2];
        assert_eq!((offer.rollout_id, offer.firmware_id), (own.summer.id, firmware.id));
        assert_eq!(offer.version, other.offer.version, "the same version, and not the same firmware");
        let manifest = STANDARD.decode(&offer.manifest).unwrap();
        let bundle = offer.manifest_bundle.as_bytes();
        assert!(verify_manifest(&manifest, bundle, &[own.release_key.public_key()]).is_ok());
        assert!(verify_manifest(&manifest, bundle, &[other.release_key.public_key()]).is_err());
        let artifact = &offer.artifacts[0];
        assert!(artifact.url.contains(&format!("/t/{}/", own.tenant)), "{}", artifact.url);
        let bytes = answer(twins.server.raw().get(&artifact.url)).await;
        assert_eq!(bytes.text(), format!("1.2.0 of {}", own.kind.mark));
        assert_eq!(sha256(&bytes.body), firmware.artifacts[0].checksum);
    }
}

pub(super) async fn a_device_cannot_report_for_the_twins(twins: &Twins) {
    let (server, liar, other) = (&twins.server, &twins.south, &twins.north);
    let before = other.owner.rollout(other.summer.id).await.unwrap();
    let token = &liar.devices[0].token;
    let session = other.offer.session_id.to_string();
    for state in [SessionState::Downloading, SessionState::Installing, SessionState::Failed] {
        let report = |session: &str| {
            let report = StatusReport {
                session_id: session.parse().unwrap(),
                state,
                progress: 50,
                failure: None,
                device_time: None,
            };
            serde_json::to_value(report).unwrap()
        };
        let found = says(server, "status", token, &report(&session)).await;
        found.problem(404, "not_found");
        let unknown = says(server, "status", token, &report(NOBODY)).await;
        assert_eq!(told(&found, &session), told(&unknown, NOBODY), "{state}");
    }
    for outcome in ["succeeded", "rolled_back"] {
        let validation = |session: &str| {
            json!({ "session_id": session, "outcome": outcome, "component": "main", "version": "1.2.0",
                "manifest_sha256": other.firmware[2].checksum })
        };
        let found = says(server, "validation", token, &validation(&session)).await;
        found.problem(404, "not_found");
        let unknown = says(server, "validation", token, &validation(NOBODY)).await;
        assert_eq!(told(&found, &session), told(&unknown, NOBODY), "{outcome}");
    }
    assert_eq!(other.owner.rollout(other.summer.id).await.unwrap(), before);
}

/// A device that claims to run what the twin released runs something unknown, not the twin's firmware.
pub(super) async fn a_manifest_of_the_twin_means_nothing(twins: &Twins) {
    let (server, liar, other) = (&twins.server, &twins.south, &twins.north);
    let components = |digest: &str| json!({ "components": [{ "component": "main", "version": "1.2.0", "manifest_sha256": digest }] });
    let token = &liar.devices[1].token;
    let [theirs, nobodys] = [other.firmware[2].checksum.to_string(), "0".repeat(64)];
    let found = says(server, "heartbeat", token, &components(&theirs)).await;
    let after_found = liar.owner.rollout(liar.summer.id).await.unwrap().counts;
    let unknown = says(server, "heartbeat", token, &components(&nobodys)).await;
    assert_eq!((found.status, unknown.status), (200, 200));
    assert_eq!(liar.owner.rollout(liar.summer.id).await.unwrap().counts, after_found);
}

pub(super) async fn a_token_with_the_twins_tenant_in_it_is_no_token(twins: &Twins) {
    let (server, liar, other) = (&twins.server, &twins.south, &twins.north);
    let part = |token: &str, index: usize| token.split('.').nth(index).unwrap().to_owned();
    for (own, theirs) in [(&liar.devices[0].token, &other.devices[0].token), (&liar.token, &other.token)] {
        let ask = async |tenant: &str, id: &str| {
            let forged = format!("{}.{tenant}.{id}.{}", part(own, 0), part(own, 3));
            let answered = answer(server.request(Method::GET, "/api/v1/auth/me").bearer_auth(forged)).await;
            answered.problem(401, "unauthenticated");
            told(&answered, tenant)
        };
        let nobody = NOBODY.replace('-', "");
        let unknown = ask(&nobody, &nobody).await;
        assert_eq!(ask(&part(theirs, 1), &part(own, 2)).await, unknown);
        assert_eq!(ask(&part(theirs, 1), &part(theirs, 2)).await, unknown);
        assert_eq!(ask(&part(own, 1), &part(theirs, 2)).await, unknown);
    }
}
