//! The audit log: each change of people's making leaves exactly one entry, and nothing else does.

use std::collections::BTreeSet;

use drover_api::{AuditEntry, AuditFilter, Page, StageCreate};
use drover_testkit::{
    Answer, Profile, ReleaseBuilder, TestServer, answer, eventually, on_both_profiles, on_the_local_profile,
    private_key,
};
use drover_types::{ActorKind, KeyAlgorithm, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openapi::operations;
use crate::person::{PASSWORD, Person, role, role_over};
use crate::scene::{Scene, plan};

/// Each call that changes something, and the action under which the log has it.
pub(crate) const CHANGES: &[(&str, &str)] = &[
    ("api_key_create", "api_key.create"),
    ("api_key_revoke", "api_key.revoke"),
    ("artifact_upload", "firmware.upload_artifact"),
    ("auth_login", "user.login"),
    ("auth_login_revoke", "user.revoke_login"),
    ("auth_logout", "user.logout"),
    ("auth_password", "user.change_password"),
    ("auth_session_open", "user.login"),
    ("device_attributes_change", "device.update_attributes"),
    ("device_attributes_replace", "device.update_attributes"),
    ("device_delete", "device.delete"),
    ("device_tag_add", "device.add_tag"),
    ("device_tag_remove", "device.remove_tag"),
    ("device_update", "device.update"),
    ("enrolment_token_create", "enrolment_token.create"),
    ("enrolment_token_revoke", "enrolment_token.revoke"),
    ("firmware_create", "firmware.create"),
    ("firmware_delete", "firmware.delete"),
    ("firmware_publish", "firmware.publish"),
    ("grant_create", "grant.create"),
    ("grant_delete", "grant.delete"),
    ("group_add", "group.add_devices"),
    ("group_create", "group.create"),
    ("group_delete", "group.delete"),
    ("group_move", "group.move"),
    ("group_remove", "group.remove_device"),
    ("group_update", "group.update"),
    ("object_put", "object.create"),
    ("release_key_create", "release_key.create"),
    ("release_key_revoke", "release_key.revoke"),
    ("rollout_cancel", "rollout.cancel"),
    ("rollout_create", "rollout.create"),
    ("rollout_pause", "rollout.pause"),
    ("rollout_resume", "rollout.resume"),
    ("rollout_rollback", "rollout.rollback"),
    ("rollout_start", "rollout.start"),
    ("rollout_update", "rollout.update"),
    ("tenant_create", "tenant.create"),
    ("tenant_delete", "tenant.delete"),
    ("tenant_update", "tenant.update"),
    ("upload_abort", "upload.abort"),
    ("upload_complete", "upload.complete"),
    ("upload_create", "upload.create"),
    ("user_create", "user.create"),
    ("user_delete", "user.delete"),
    ("user_reset_password", "user.reset_password"),
    ("user_update", "user.update"),
];

/// Calls with the method of a change that have no entry, and why.
const WITHOUT_ENTRY: &[(&str, &str)] = &[
    ("device_register", "of a device: the device's row tells when and with which enrolment token"),
    ("device_status", "of a device: its transitions are events"),
    ("heartbeat", "of a device: a sign of life"),
    ("presign", "changes nothing"),
    ("rollout_preview", "changes nothing"),
    ("rollout_preview_excluded", "changes nothing"),
    ("status_report", "of a device: its transitions are events"),
    ("upload_part_done", "bytes without a name: beginning and completing the upload are recorded"),
    ("upload_part_put", "bytes without a name: beginning and completing the upload are recorded"),
    ("upload_part_urls", "changes nothing"),
    ("validation_report", "of a device: its transitions are events"),
];

/// Plays an operator whose every request has an id of its own.
struct Operator<'s> {
    server: &'s TestServer,
    next_request: u32,
    /// Operations that were done and found in the log.
    seen: BTreeSet<&'static str>,
}

impl<'s> Operator<'s> {
    fn new(server: &'s TestServer) -> Self {
        Self { server, next_request: 0, seen: BTreeSet::new() }
    }

    fn request_id(&mut self) -> String {
        self.next_request += 1;
        format!("audit-test-{}", self.next_request)
    }

    /// The object at `path` as the API shows it, as canonical JSON; none when there is none.
    async fn state(&self, path: &str) -> Option<String> {
        let answered = answer(self.server.admin_request(Method::GET, path)).await;
        (answered.status == 200).then(|| {
            let mut shown: Value = answered.json();
            // Counted anew for each answer: no part of a group.
            if let Some(count) = shown.get_mut("device_count") {
                *count = Value::Null;
            }
            canonical(&shown)
        })
    }

    /// Makes a change of the object at `path`, and finds exactly its entry with both states of the object.
    async fn change(&mut self, operation: &'static str, path: &str, method: Method, call: &str, body: Value) -> Answer {
        let before = self.state(path).await;
        let request_id = self.request_id();
        let request = self.server.admin_request(method, call).header("x-request-id", &request_id);
        let answered = answer(if body.is_null() { request } else { request.json(&body) }).await;
        assert!((200..300).contains(&answered.status), "{operation}: {}", answered.text());
        let entry = self.only_entry(operation, &request_id).await;
        let after = self.state(path).await;
        assert_eq!(entry.before_sha256, digest(before.as_deref()), "{operation}: before");
        // The driver goes on with what it takes back at once.
        if operation != "rollout_rollback" {
            assert_eq!(entry.after_sha256, digest(after.as_deref()), "{operation}: after");
        }
        answered
    }

    /// Does what changes no state that is shown, and finds exactly its entry.
    async fn act(&mut self, operation: &'static str, method: Method, call: &str, body: Value) -> AuditEntry {
        let request_id = self.request_id();
        let request = self.server.admin_request(method, call).header("x-request-id", &request_id);
        let answered = answer(if body.is_null() { request } else { request.json(&body) }).await;
        assert!((200..300).contains(&answered.status), "{operation}: {}", answered.text());
        self.only_entry(operation, &request_id).await
    }

    /// Makes a new object; `path` leads to it when it is given its id.
    async fn create(&mut self, operation: &'static str, call: &str, body: Value, path: &str) -> String {
        let request_id = self.request_id();
        let request = self.server.admin_request(Method::POST, call).header("x-request-id", &request_id);
        let answered = answer(request.json(&body)).await;
        assert_eq!(answered.status, 201, "{operation}: {}", answered.text());
        let body: Value = answered.json();
        // Answers with a new secret have the object inside.
        let object = body.as_object().unwrap().values().find(|value| value["id"].is_string()).unwrap_or(&body);
        let id = object["id"].as_str().unwrap().to_owned();
        let entry = self.only_entry(operation, &request_id).await;
        assert_eq!((entry.object_id.as_str(), entry.before_sha256), (id.as_str(), None), "{operation}");
        let shown =
            if path.is_empty() { canonical(object) } else { self.state(&format!("{path}/{id}")).await.unwrap() };
        assert_eq!(entry.after_sha256, digest(Some(&shown)), "{operation}");
        id
    }

    async fn only_entry(&mut self, operation: &'static str, request_id: &str) -> AuditEntry {
        let entries = eventually("the entry to be numbered", async || {
            let entries = in_request(self.server, request_id).await;
            (!entries.is_empty()).then_some(entries)
        })
        .await;
        let [entry] = &entries[..] else { panic!("{operation}: {entries:#?}") };
        self.is_mine(operation, request_id, entry);
        entry.clone()
    }

    /// Completing an upload has two entries: that it was completed, and what came of it.
    async fn both_entries(&mut self, operation: &'static str, request_id: &str) -> [AuditEntry; 2] {
        let entries = eventually("both entries to be numbered", async || {
            let entries = in_request(self.server, request_id).await;
            (entries.len() >= 2).then_some(entries)
        })
        .await;
        let [named, completed] = <[_; 2]>::try_from(entries).expect("two entries");
        self.is_mine("upload_complete", request_id, &completed);
        self.is_mine(operation, request_id, &named);
        [completed, named]
    }

    fn is_mine(&mut self, operation: &'static str, request_id: &str, entry: &AuditEntry) {
        let action = CHANGES.iter().find(|(known, _)| *known == operation).expect("it is in the table").1;
        assert_eq!(entry.action, action);
        assert_eq!(entry.request_id.as_deref(), Some(request_id));
        assert_eq!(entry.actor.kind, ActorKind::User);
        assert_eq!(entry.actor.name.as_deref(), Some("admin"));
        assert_eq!(entry.actor.address.as_deref(), Some("127.0.0.1"));
        assert!(entry.actor.id.is_some() && entry.actor.tenant_id.is_some() && !entry.actor.erased);
        self.seen.insert(operation);
    }
}

async fn in_request(server: &TestServer, request_id: &str) -> Vec<AuditEntry> {
    let filter = AuditFilter { request_id: Some(request_id.to_owned()), ..AuditFilter::default() };
    server.admin().audit(&filter, 100).await.unwrap().items
}

/// As `jq -cS` prints it: `serde_json` sorts the members of what it read. Whole numbers have no point.
fn canonical(value: &Value) -> String {
    fn whole(value: &mut Value) {
        match value {
            Value::Number(number) => {
                let text = number.to_string();
                if let Some(whole) = text.strip_suffix(".0") {
                    *value = json!(whole.parse::<i64>().unwrap());
                }
            }
            Value::Array(items) => items.iter_mut().for_each(whole),
            Value::Object(members) => members.values_mut().for_each(whole),
            _ => {}
        }
    }
    let mut value = value.clone();
    whole(&mut value);
    value.to_string()
}

fn digest(text: Option<&str>) -> Option<drover_types::Sha256Digest> {
    text.map(|text| drover_trust::sha256(text.as_bytes()))
}

/// An object that lists show and that has no call of its own.
async fn listed(server: &TestServer, list: &str, id: &str) -> String {
    let page: Page<Value> = answer(server.admin_request(Method::GET, list)).await.json();
    canonical(page.items.iter().find(|item| item["id"] == id || item["object_key"] == id).expect("it is listed"))
}

/// Revokes what only lists show.
async fn revoke(operator: &mut Operator<'_>, operation: &'static str, list: &str, id: &str) {
    let before = listed(operator.server, list, id).await;
    let request_id = operator.request_id();
    let request = operator.server.admin_request(Method::DELETE, &format!("{list}/{id}"));
    assert_eq!(answer(request.header("x-request-id", &request_id)).await.status, 204, "{operation}");
    let entry = operator.only_entry(operation, &request_id).await;
    let after = listed(operator.server, list, id).await;
    assert_eq!((entry.before_sha256, entry.after_sha256), (digest(Some(&before)), digest(Some(&after))), "{operation}");
    assert_eq!(entry.details["changed"], json!(["revoked_at"]));
}

async fn credentials(operator: &mut Operator<'_>) {
    let name = json!({ "name": "ci" });
    let key = operator.create("api_key_create", "/api/v1/api-keys", name.clone(), "").await;
    revoke(operator, "api_key_revoke", "/api/v1/api-keys", &key).await;
    let token = operator.create("enrolment_token_create", "/api/v1/enrolment-tokens", name, "").await;
    revoke(operator, "enrolment_token_revoke", "/api/v1/enrolment-tokens", &token).await;
    let public_key = private_key(KeyAlgorithm::EcdsaP256).public_key().to_pem();
    let body = json!({ "name": "build", "public_key": public_key });
    let key = operator.create("release_key_create", "/api/v1/release-keys", body, "").await;
    revoke(operator, "release_key_revoke", "/api/v1/release-keys", &key).await;

    let first = operator.server.first_start();
    let body = json!({ "username": first.username, "password": first.password });
    let request_id = operator.request_id();
    let login = operator.server.request(Method::POST, "/api/v1/auth/login").header("x-request-id", &request_id);
    let reply: Value = answer(login.json(&body)).await.json();
    let opened = operator.only_entry("auth_login", &request_id).await;
    let request_id = operator.request_id();
    let logout = operator.server.request(Method::POST, "/api/v1/auth/logout").header("x-request-id", &request_id);
    assert_eq!(answer(logout.bearer_auth(reply["token"].as_str().unwrap())).await.status, 204);
    let ended = operator.only_entry("auth_logout", &request_id).await;
    assert_eq!(opened.details["login_id"], ended.details["login_id"]);
    assert_eq!((opened.object_kind.as_str(), opened.object_id), ("user", ended.object_id));
}

async fn people(operator: &mut Operator<'_>) {
    let body = json!({ "username": "erika" });
    let user = operator.create("user_create", "/api/v1/users", body, "/api/v1/users").await;
    let path = format!("/api/v1/users/{user}");
    operator.change("user_update", &path, Method::PUT, &path, json!({ "username": "monika" })).await;
    operator.act("user_reset_password", Method::POST, &format!("{path}/password"), json!({})).await;
    let grants = format!("{path}/grants");
    let grant = operator.create("grant_create", &grants, json!({ "role": "viewer" }), "").await;
    let taken = operator.act("grant_delete", Method::DELETE, &format!("{grants}/{grant}"), Value::Null).await;
    assert_eq!((taken.object_id, taken.after_sha256), (grant, None));
    assert_eq!(taken.details["user_id"], user.as_str());
    operator.change("user_delete", &path, Method::DELETE, &path, Value::Null).await;

    let tenant =
        operator.create("tenant_create", "/api/v1/tenants", json!({ "name": "north" }), "/api/v1/tenants").await;
    let path = format!("/api/v1/tenants/{tenant}");
    operator.change("tenant_update", &path, Method::PUT, &path, json!({ "name": "south" })).await;
    operator.change("tenant_delete", &path, Method::DELETE, &path, Value::Null).await;

    let first = operator.server.first_start();
    let body = json!({ "username": first.username, "password": first.password });
    let request_id = operator.request_id();
    let session = operator.server.request(Method::POST, "/api/v1/auth/session").header("sec-fetch-site", "same-origin");
    assert_eq!(answer(session.header("x-request-id", &request_id).json(&body)).await.status, 200);
    let opened = operator.only_entry("auth_session_open", &request_id).await;
    let login = opened.details["login_id"].as_str().unwrap().to_owned();
    let ended =
        operator.act("auth_login_revoke", Method::DELETE, &format!("/api/v1/auth/logins/{login}"), Value::Null).await;
    assert_eq!(ended.details["login_id"], login.as_str());
    // Last of those that log in: the password of the first start is gone then.
    let body = json!({ "old_password": first.password, "new_password": "correct horse battery" });
    operator.act("auth_password", Method::POST, "/api/v1/auth/password", body).await;
}

async fn groups_and_devices(operator: &mut Operator<'_>, devices: &[drover_testkit::Device]) {
    let [device, other] = [&devices[0], &devices[1]].map(|device| device.id.to_string());
    let body = json!({ "name": "lab" });
    let group = operator.create("group_create", "/api/v1/groups", body, "/api/v1/groups").await;
    let path = format!("/api/v1/groups/{group}");
    operator.change("group_update", &path, Method::PUT, &path, json!({ "name": "yard" })).await;
    let above = operator.create("group_create", "/api/v1/groups", json!({ "name": "site" }), "/api/v1/groups").await;
    let call = format!("{path}/parent");
    operator.change("group_move", &path, Method::PUT, &call, json!({ "parent_id": above })).await;
    let members = format!("{path}/devices");
    operator.act("group_add", Method::POST, &members, json!({ "device_ids": [device] })).await;
    let added = operator.act("group_add", Method::POST, &members, json!({ "device_ids": [device, other] })).await;
    assert_eq!(added.details["device_ids"], json!([other]), "the first was in it already");
    let removed = operator.act("group_remove", Method::DELETE, &format!("{members}/{other}"), Value::Null).await;
    assert_eq!(removed.details["device_id"], json!(other));
    let at = format!("/api/v1/devices/{device}");
    operator.change("device_update", &at, Method::PUT, &at, json!({ "metadata": { "site": "north" } })).await;
    let attributes = format!("{at}/attributes");
    let body = json!({ "attributes": { "region": "eu" } });
    operator.change("device_attributes_replace", &at, Method::PUT, &attributes, body).await;
    let body = json!({ "set": { "age": 3 }, "unset": ["region"] });
    operator.change("device_attributes_change", &at, Method::PATCH, &attributes, body).await;
    let tag = format!("{at}/tags/lab");
    operator.change("device_tag_add", &at, Method::PUT, &tag, Value::Null).await;
    operator.change("device_tag_remove", &at, Method::DELETE, &tag, Value::Null).await;
    operator.change("device_delete", &at, Method::DELETE, &at, Value::Null).await;
    operator.change("group_delete", &path, Method::DELETE, &path, Value::Null).await;
}

async fn firmware_and_objects(operator: &mut Operator<'_>, key: &drover_trust::PrivateKey) {
    let release = ReleaseBuilder::new("7.0.0", 70).sign(key);
    let body = serde_json::to_value(release.create_body()).unwrap();
    let id = operator.create("firmware_create", "/api/v1/firmware", body, "/api/v1/firmware").await;
    let path = format!("/api/v1/firmware/{id}");
    let (name, bytes) = release.artifacts().next().unwrap();
    let before = operator.state(&path).await;
    let request_id = operator.request_id();
    let upload = || {
        let request = operator.server.admin_request(Method::PUT, &format!("{path}/artifacts/{name}"));
        request.header("x-request-id", &request_id).body(bytes.to_vec())
    };
    assert_eq!(answer(upload()).await.status, 200);
    assert_eq!(answer(upload()).await.status, 200, "what is there already changes nothing: one entry");
    let entry = operator.only_entry("artifact_upload", &request_id).await;
    assert_eq!(entry.before_sha256, digest(before.as_deref()));
    assert_eq!(entry.after_sha256, digest(operator.state(&path).await.as_deref()));
    operator.change("firmware_publish", &path, Method::POST, &format!("{path}/publish"), Value::Null).await;
    operator.change("firmware_delete", &path, Method::DELETE, &path, Value::Null).await;

    let request_id = operator.request_id();
    let put = operator.server.admin_request(Method::PUT, "/api/v1/objects/a/b.bin").body("bytes");
    assert_eq!(answer(put.header("x-request-id", &request_id)).await.status, 201);
    let entry = operator.only_entry("object_put", &request_id).await;
    assert_eq!(entry.object_id, "a/b.bin");
    assert_eq!(entry.after_sha256, digest(Some(&listed(operator.server, "/api/v1/objects", "a/b.bin").await)));
}

/// Begins an upload of `bytes`, sends them and does what `verb` says, in a request of its own. Gives the ids of the
/// upload and of that request.
async fn upload(operator: &mut Operator<'_>, body: Value, bytes: &[u8], end: (Method, &str, u16)) -> (String, String) {
    let request_id = operator.request_id();
    let request = operator.server.admin_request(Method::POST, "/api/v1/uploads").header("x-request-id", &request_id);
    let answered = answer(request.json(&body)).await;
    assert_eq!(answered.status, 201, "{}", answered.text());
    let begun = operator.only_entry("upload_create", &request_id).await;
    let upload = format!("/api/v1/uploads/{}", begun.object_id);
    let part = operator.server.admin_request(Method::PUT, &format!("{upload}/parts/1"));
    assert!(answer(part.body(bytes.to_vec())).await.status < 300);
    let (request_id, (method, verb, status)) = (operator.request_id(), end);
    let request = operator.server.admin_request(method, &format!("{upload}{verb}"));
    assert_eq!(answer(request.header("x-request-id", &request_id)).await.status, status);
    (begun.object_id, request_id)
}

async fn uploads(operator: &mut Operator<'_>, key: &drover_trust::PrivateKey) {
    let announced = |kind: &str, name: &str, bytes: &[u8]| {
        let sha256 = drover_trust::sha256(bytes).to_string();
        json!({ "kind": kind, "name": name, "size_bytes": bytes.len(), "sha256": sha256 })
    };
    let body = announced("object", "given/up", b"given up");
    let (id, request_id) = upload(operator, body, b"given up", (Method::DELETE, "", 204)).await;
    assert_eq!(operator.only_entry("upload_abort", &request_id).await.object_id, id);

    let complete = || (Method::POST, "/complete", 200);
    let body = announced("object", "in/parts", b"in parts");
    let (id, request_id) = upload(operator, body, b"in parts", complete()).await;
    let [completed, named] = operator.both_entries("object_put", &request_id).await;
    assert_eq!((completed.object_id, named.object_id.as_str()), (id, "in/parts"));
    let shown = listed(operator.server, "/api/v1/objects", "in/parts").await;
    assert_eq!((named.before_sha256, named.after_sha256), (None, digest(Some(&shown))));

    let release = ReleaseBuilder::new("8.0.0", 80).sign(key);
    let draft = operator.server.admin().create_firmware(&release.create_body()).await.unwrap();
    let path = format!("/api/v1/firmware/{}", draft.id);
    let (name, bytes) = release.artifacts().next().unwrap();
    let mut body = announced("artifact", name, bytes);
    body["firmware_id"] = json!(draft.id);
    let before = operator.state(&path).await;
    let (id, request_id) = upload(operator, body, bytes, complete()).await;
    let [completed, named] = operator.both_entries("artifact_upload", &request_id).await;
    assert_eq!((completed.object_id, named.object_id), (id, draft.id.to_string()));
    assert_eq!(named.before_sha256, digest(before.as_deref()));
    assert_eq!(named.after_sha256, digest(operator.state(&path).await.as_deref()));
    assert_eq!(named.details["artifact"], name);
}

async fn rollouts(operator: &mut Operator<'_>, scene: &Scene) {
    // Nothing happens by itself before its time has come.
    let later: Timestamp = "2100-01-01T00:00:00Z".parse().unwrap();
    let mut body = plan(&scene.first, &[100]);
    body.stages = vec![StageCreate { percentage: Some(100), start_time: Some(later), ..StageCreate::default() }];
    let body = serde_json::to_value(&body).unwrap();
    let id = operator.create("rollout_create", "/api/v1/rollouts", body, "/api/v1/rollouts").await;
    let path = format!("/api/v1/rollouts/{id}");
    operator.change("rollout_update", &path, Method::PUT, &path, json!({ "name": "renamed" })).await;
    for (operation, verb) in [
        ("rollout_start", "start"),
        ("rollout_pause", "pause"),
        ("rollout_resume", "resume"),
        ("rollout_cancel", "cancel"),
        ("rollout_rollback", "rollback"),
    ] {
        let body = if verb == "rollback" { json!({ "reason": "a test" }) } else { Value::Null };
        operator.change(operation, &path, Method::POST, &format!("{path}/{verb}"), body).await;
    }
}

on_the_local_profile! {
    async fn every_call_that_changes_something_is_in_the_table(profile: Profile) {
        let server = TestServer::start(profile).await;
        let changing: BTreeSet<String> = operations(&server)
            .await
            .into_iter()
            .filter(|operation| !matches!(operation.method, Method::GET | Method::HEAD))
            .map(|operation| operation.id)
            .collect();
        let known: Vec<&str> = CHANGES.iter().chain(WITHOUT_ENTRY).map(|(operation, _)| *operation).collect();
        let table: BTreeSet<String> = known.iter().map(|operation| (*operation).to_owned()).collect();
        assert_eq!(table.len(), known.len(), "each call is there once");
        assert_eq!(changing, table, "left: in the document; right: in the tables of this file");
    }
}

on_both_profiles! {
    async fn each_change_has_exactly_one_entry_with_both_states(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let mut operator = Operator::new(&scene.server);
        credentials(&mut operator).await;
        people(&mut operator).await;
        groups_and_devices(&mut operator, &scene.devices).await;
        firmware_and_objects(&mut operator, &scene.key).await;
        uploads(&mut operator, &scene.key).await;
        rollouts(&mut operator, &scene).await;
        let all: BTreeSet<&str> = CHANGES.iter().map(|(operation, _)| *operation).collect();
        assert_eq!(operator.seen, all, "every change of the table was made");

        // What the first start made, and numbers without gaps.
        let entries = scene.admin.audit(&AuditFilter::default(), 1_000).await.unwrap().items;
        let numbers: Vec<u64> = entries.iter().rev().map(|entry| entry.seq).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let made_first: Vec<&str> = entries.iter().rev().take(3).map(|entry| entry.action.as_str()).collect();
        assert_eq!(made_first.iter().collect::<BTreeSet<_>>().len(), 3, "{made_first:?}");
        assert!(entries.iter().rev().take(3).all(|entry| entry.actor.kind == ActorKind::Host));
    }

    /// Rights and keys that go with something else are found in the log like those that are taken back one by one.
    async fn what_went_along_is_in_the_entry_and_in_each_log_that_it_concerns(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let home = server.admin().whoami().await.unwrap().tenant_id;
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        let below = admin.within(&child);
        let own = admin.make("groups", json!({ "name": "lab" })).await;
        let theirs = below.make("groups", json!({ "name": "lab" })).await;
        let in_theirs = json!({ "role": "fleet-admin", "scope": { "tenant_id": child, "group_id": theirs } });
        let grants = [role_over("fleet-admin", &own), in_theirs, role("fleet-admin")];
        let (anna, as_anna) = admin.add("anna", &grants).await;
        let carl = below.make("users", json!({ "username": "carl", "password": PASSWORD })).await;
        below.make(&format!("users/{carl}/grants"), role_over("viewer", &theirs)).await;
        as_anna.key(json!({})).await;
        let key = admin.get("api-keys").await.json::<Value>()["items"][0]["id"].clone();
        let of_anna = admin.grants_of(&anna).await;
        let of_carl = below.grants_of(&carl).await;

        let log = async |person: &Person<'_>, action: &str, id: &str| {
            eventually("the entry to be numbered", async || {
                let page = person.get(&format!("audit?action={action}&object_id={id}")).await.json::<Value>();
                page["items"].as_array().and_then(|items| items.first().cloned())
            })
            .await
        };
        // Who got rights over the child stands in the child's log as well.
        let given = log(&below, "grant.create", &of_anna[1]).await;
        assert_eq!((&given["details"]["user_id"], &given["actor"]["tenant_id"]), (&json!(anna), &json!(home)));

        assert_eq!(below.delete(&format!("groups/{theirs}")).await.status, 204);
        let gone = log(&below, "group.delete", &theirs).await;
        assert_eq!(gone["details"]["grants"], json!([of_anna[1], of_carl[0]]));
        assert_eq!(gone["details"]["grants_count"], 2);
        assert_eq!(log(&admin, "grant.delete", &of_anna[1]).await["details"]["user_id"], json!(anna));

        let both = json!({ "role": "viewer", "scope": { "tenant_id": child } });
        let in_child = admin.make(&format!("users/{anna}/grants"), both).await;
        assert_eq!(admin.delete(&format!("users/{anna}")).await.status, 204);
        let gone = log(&admin, "user.delete", &anna).await;
        assert_eq!(gone["details"]["grants"], json!([of_anna[0], of_anna[2], in_child]));
        assert_eq!(gone["details"]["api_keys"], json!([key]));
        log(&below, "grant.delete", &in_child).await;

        // A rename is read by those whom it concerns; a tenant without a log gets none, and can be removed.
        admin.call(Method::PUT, &format!("tenants/{child}"), json!({ "name": "branch" })).await;
        log(&admin, "tenant.update", &child).await;
        log(&below, "tenant.update", &child).await;
        let empty = admin.make("tenants", json!({ "name": "empty" })).await;
        let (berta, _) = admin.add("berta", &[json!({ "role": "viewer", "scope": { "tenant_id": empty } })]).await;
        admin.call(Method::PUT, &format!("tenants/{empty}"), json!({ "name": "still empty" })).await;
        let of_berta = admin.grants_of(&berta).await;
        assert_eq!(admin.delete(&format!("tenants/{empty}")).await.status, 204);
        assert_eq!(log(&admin, "tenant.delete", &empty).await["details"]["grants"], json!(of_berta));
    }

    async fn what_is_refused_or_repeated_leaves_no_entry(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let server = &scene.server;
        let nobody = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let group = |name: &str| json!({ "name": name });
        let made = server.admin_request(Method::POST, "/api/v1/groups").header("idempotency-key", "k1");
        assert_eq!(answer(made.json(&group("lab")).header("x-request-id", "first")).await.status, 201);
        let path = format!("/api/v1/devices/{}", scene.devices[0].id);
        let refused: [(Method, &str, Value, u16); 6] = [
            (Method::POST, "/api/v1/groups", group("lab"), 409),
            (Method::POST, "/api/v1/groups", group(""), 422),
            (Method::DELETE, &format!("/api/v1/groups/{nobody}"), Value::Null, 404),
            (Method::POST, &format!("/api/v1/rollouts/{nobody}/start"), Value::Null, 404),
            (Method::PUT, &path, json!({ "metadata": {}, "group_ids": [nobody] }), 422),
            (Method::POST, "/api/v1/auth/login", json!({ "username": "admin", "password": "wrong" }), 401),
        ];
        for (method, call, body, status) in refused {
            let request = server.admin_request(method, call).header("x-request-id", "refused");
            let answered = answer(if body.is_null() { request } else { request.json(&body) }).await;
            assert_eq!(answered.status, status, "{call}: {}", answered.text());
        }
        // Sent again, it is answered as before.
        let again = server.admin_request(Method::POST, "/api/v1/groups").header("idempotency-key", "k1");
        assert_eq!(answer(again.json(&group("lab")).header("x-request-id", "refused")).await.status, 201);
        // An entry of theirs would have been committed, and numbered, before this one.
        let marker = server.admin_request(Method::POST, "/api/v1/groups").header("x-request-id", "marker");
        assert_eq!(answer(marker.json(&group("marker"))).await.status, 201);
        eventually("the marker to be numbered", async || in_request(server, "marker").await.pop()).await;
        assert_eq!(in_request(server, "refused").await, []);
        assert_eq!(in_request(server, "first").await.len(), 1);
    }

    async fn a_dynamic_group_is_recorded_without_the_number_of_its_devices(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let body = json!({ "name": "everybody", "condition": "true" });
        let request = scene.server.admin_request(Method::POST, "/api/v1/groups").header("x-request-id", "makes-it");
        let made: Value = answer(request.json(&body)).await.json();
        let path = format!("/api/v1/groups/{}", made["id"].as_str().unwrap());
        let mut shown: Value = answer(scene.server.admin_request(Method::GET, &path)).await.json();
        assert_eq!(shown["device_count"], 2);
        shown["device_count"] = Value::Null;
        let entry = eventually("the entry", async || in_request(&scene.server, "makes-it").await.pop()).await;
        assert_eq!(entry.after_sha256, digest(Some(&canonical(&shown))));
    }

    async fn a_gate_that_acts_by_itself_is_recorded(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let rollout = scene.roll_out(&[100], |plan| {
            plan.on_breach = Some(drover_types::BreachAction::Pause);
            plan.rollback_threshold = Some(0.5);
        });
        let rollout = rollout.await;
        for (device, offer) in scene.offers().await {
            device.fail(&offer, drover_types::FailureClass::Install).await;
        }
        scene.becomes(rollout.id, drover_types::RolloutState::Paused).await;
        let filter = AuditFilter { actor_kind: Some(ActorKind::System), ..AuditFilter::default() };
        let entry = eventually("the entry", async || scene.admin.audit(&filter, 10).await.unwrap().items.pop()).await;
        assert_eq!((entry.action.as_str(), entry.object_id), ("rollout.pause", rollout.id.to_string()));
        assert!(entry.details["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{:?}", entry.details);
        assert_eq!((entry.request_id, entry.actor.id, entry.actor.name), (None, None, None));
    }
}
