//! Names: each twin gives its own, and whoever guesses a name of the other learns nothing.

use drover_api::{FirmwareCreate, GroupWrite, LoginRequest, UserCreate};
use drover_cli::Client;
use drover_protocol::RegisterRequest;
use drover_testkit::{Answer, DEVICE_TYPE, TestServer, answer, private_key};
use drover_types::KeyAlgorithm;
use drover_uplink::CallError;
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{NOBODY, assert_same, told};
use super::world::{OWNER, Twin, Twins};
use crate::scene::{assert_refused, refusal};

async fn post(server: &TestServer, twin: &Twin, path: &str, body: &Value) -> Answer {
    answer(server.request(Method::POST, &format!("/api/v1/{path}")).bearer_auth(&twin.token).json(body)).await
}

/// The name is free, and once more it is taken where names stand for one thing.
async fn makes(server: &TestServer, maker: &Twin, path: &str, name: &str, taken: Option<&str>) {
    let body = match path {
        "users" => json!({ "username": name }),
        _ => json!({ "name": name }),
    };
    let made = post(server, maker, path, &body).await;
    assert_eq!(made.status, 201, "{path} {name}: {}", made.text());
    let again = post(server, maker, path, &body).await;
    match taken {
        Some(code) => drop(again.problem(409, code)),
        None => assert_eq!(again.status, 201, "{path} {name}: {}", again.text()),
    }
}

fn firmware(twin: &Twin, version: &str, release_counter: u64, signer: &drover_trust::PrivateKey) -> FirmwareCreate {
    twin.kind.release(version, release_counter, signer).create_body()
}

async fn registers(
    server: &TestServer,
    token: &str,
    hardware_id: &str,
) -> Result<drover_protocol::RegisterReply, CallError> {
    let (hardware_id, device_type) = (hardware_id.to_owned(), DEVICE_TYPE.to_owned());
    server.register(token, &RegisterRequest { hardware_id, device_type, components: Vec::new() }).await
}

/// The answer to a log-in.
async fn logs_in(server: &TestServer, tenant: &str, username: &str, password: &str) -> Answer {
    let body = json!({ "tenant": tenant, "username": username, "password": password });
    answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await
}

pub(super) async fn names_are_each_ones_own(twins: &Twins) {
    let (server, maker, other) = (&twins.server, &twins.south, &twins.north);
    let its_own = format!("{}-0", other.kind.mark);
    for name in [its_own.as_str(), "zzzzzz-0"] {
        makes(server, maker, "groups", name, Some("group_exists")).await;
        makes(server, maker, "users", name, Some("user_exists")).await;
        makes(server, maker, "api-keys", name, None).await;
        makes(server, maker, "enrolment-tokens", name, None).await;
    }
    for name in [format!("{}/0.bin", other.kind.mark), "zzzzzz/0.bin".to_owned()] {
        let put = async |bytes: &str| {
            let put = server.request(Method::PUT, &format!("/api/v1/objects/{name}")).bearer_auth(&maker.token);
            answer(put.body(bytes.to_owned())).await
        };
        assert_eq!(put("mine").await.status, 201, "{name}");
        put("other bytes").await.problem(409, "object_exists");
        crate::uploads::begin(server, &maker.token, &format!("{name}.part")).await;
    }
    // Also what both have under one name is each one's own.
    for (path, body, code) in
        [("groups", json!({ "name": "lab" }), "group_exists"), ("users", json!({ "username": "berta" }), "user_exists")]
    {
        post(server, maker, path, &body).await.problem(409, code);
    }
}

pub(super) async fn versions_and_keys_are_each_ones_own(twins: &Twins) {
    let (maker, other) = (&twins.south, &twins.north);
    let stranger = private_key(KeyAlgorithm::EcdsaP256);
    // Signed by the other's key, as by anybody's.
    let refused = async |signer: &drover_trust::PrivateKey| {
        refusal(maker.owner.create_firmware(&firmware(maker, "8.0.0", 80, signer)).await)
    };
    assert_eq!(refused(&other.release_key).await, (422, "manifest_refused".to_owned()));
    assert_eq!(refused(&stranger).await, (422, "manifest_refused".to_owned()));
    for (version, counter) in [(other.firmware[3].version.to_string(), 81), ("9.9.9".to_owned(), 82)] {
        let body = firmware(maker, &version, counter, &maker.release_key);
        maker.owner.create_firmware(&body).await.unwrap();
        let again = firmware(maker, &version, counter + 10, &maker.release_key);
        assert_refused!(maker.owner.create_firmware(&again).await, 409, "firmware_exists");
    }
    for key in [&other.release_key, &stranger] {
        let body = drover_api::ReleaseKeyCreate { name: "found".into(), public_key: key.public_key().to_pem() };
        let added = maker.owner.add_release_key(&body).await.unwrap();
        assert_refused!(maker.owner.add_release_key(&body).await, 409, "key_exists");
        maker.owner.revoke_release_key(added.id).await.unwrap();
    }
    // Revoked by one, the key goes on signing for the other.
    let body = firmware(other, "8.0.0", 80, &other.release_key);
    other.owner.create_firmware(&body).await.unwrap();
    assert_eq!(other.owner.rollout(other.summer.id).await.unwrap().status, other.summer.status);
}

pub(super) async fn hardware_ids_are_each_ones_own(twins: &Twins) {
    let (server, maker, other) = (&twins.server, &twins.south, &twins.north);
    for hardware_id in ["TRUCK-03", "TRUCK-77"] {
        let new = registers(server, &maker.enrolment_token, hardware_id).await.unwrap();
        assert_eq!(new.tenant_id.to_string(), maker.tenant);
        assert!(new.release_keys.contains(&maker.release_key.public_key().to_pem()));
        assert!(!new.release_keys.contains(&other.release_key.public_key().to_pem()));
        assert!(other.devices.iter().all(|device| device.id != new.device_id));
        server.device_client(&new.token).check().await.unwrap();
        let again = registers(server, &maker.enrolment_token, hardware_id).await;
        assert!(matches!(again, Err(CallError::Refused { status: 409, .. })), "{again:?}");
    }
    assert!(other.devices[2].client.check().await.is_ok(), "the twin's is still registered");
    // A token with the other's tenant written into it is no token.
    let own: Vec<&str> = maker.enrolment_token.split('.').collect();
    for tenant in [&other.tenant, NOBODY] {
        let forged = format!("{}.{}.{}.{}", own[0], tenant.replace('-', ""), own[2], own[3]);
        let refused = registers(server, &forged, "TRUCK-78").await;
        assert!(matches!(refused, Err(CallError::Unauthenticated { .. })), "{refused:?}");
    }
}

pub(super) async fn idempotency_keys_are_each_ones_own(twins: &Twins) {
    let made = async |twin: &Twin, name: &str| {
        let request = twins.server.request(Method::POST, "/api/v1/groups").bearer_auth(&twin.token);
        let body = GroupWrite { name: name.into(), ..GroupWrite::default() };
        let made = answer(request.header("idempotency-key", "once").json(&body)).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json::<drover_api::Group>().id
    };
    let first = made(&twins.north, "same").await;
    let second = made(&twins.south, "same").await;
    assert_ne!(first, second);
    assert_eq!((made(&twins.north, "same").await, made(&twins.south, "same").await), (first, second));
}

/// A log-in names its tenant, or means `default`; whether there is such a tenant or such a user is not told.
pub(super) async fn a_log_in_tells_nothing_of_the_twin(twins: &Twins) {
    let server = &twins.server;
    let [north, south] = [&twins.north, &twins.south].map(|twin| twin.kind);
    let (right, wrong) = (north.password(), south.password());
    let own = logs_in(server, north.mark, OWNER, &right).await;
    let token = own.json::<Value>()["token"].as_str().expect("a token").to_owned();
    let me: Client = server.stranger().with_token(token);
    assert_eq!(me.whoami().await.unwrap().tenant_id.to_string(), twins.north.tenant);

    let refused = logs_in(server, south.mark, OWNER, &right).await;
    refused.problem(401, "login_failed");
    let expected = told(&refused, "(nothing)");
    for (tenant, username, password) in [
        (north.mark, OWNER, wrong.as_str()),
        (south.mark, "quartz-0", right.as_str()),
        (south.mark, "zzzzzz-0", right.as_str()),
        ("zzzzzz", OWNER, right.as_str()),
        ("default", OWNER, right.as_str()),
    ] {
        let refused = logs_in(server, tenant, username, password).await;
        assert_same(&expected, &told(&refused, "(nothing)"), &format!("{tenant} {username}"));
    }
    let without_tenant = LoginRequest { tenant: None, username: OWNER.into(), password: right };
    assert_refused!(server.stranger().login(&without_tenant).await, 401, "login_failed");
}

/// Who is locked out of one twin after wrong passwords is not out of the other, whose users have the same names.
pub(super) async fn wrong_passwords_count_for_one_twin_only(twins: &Twins) {
    let server = &twins.server;
    let password = |twin: &Twin| twin.kind.password();
    let locked = async || logs_in(server, twins.north.kind.mark, OWNER, "wrong").await.status == 429;
    let mut tries = 0;
    while !locked().await {
        tries += 1;
        assert!(tries < 20, "nobody is held up");
    }
    assert_eq!(logs_in(server, twins.south.kind.mark, OWNER, &password(&twins.south)).await.status, 200);
    let user = UserCreate { username: "clara".into(), password: Some(password(&twins.south)), role: None };
    twins.south.owner.create_user(&user).await.unwrap();
    assert_eq!(logs_in(server, twins.south.kind.mark, "clara", &password(&twins.south)).await.status, 200);
}
