//! The document that describes the API, and what tests read from it.

use drover_testkit::{Profile, TestServer, answer, on_both_profiles};
use reqwest::Method;
use serde_json::{Value, json};

/// One call of the API.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) needs_credential: bool,
    /// The names that its query may have.
    pub(crate) query: Vec<String>,
}

impl Operation {
    /// A request for things that do not exist, without a credential.
    pub(crate) fn request(&self, server: &TestServer) -> reqwest::RequestBuilder {
        let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let path = self
            .path
            .replace("{id}", id)
            .replace("{device_id}", id)
            .replace("{grant_id}", id)
            .replace("{name}", "x")
            .replace("{key}", "x")
            .replace("{tag}", "x")
            .replace("{number}", "1");
        let request = server.request(self.method.clone(), &path);
        match fair_body(self) {
            Some(body) => request.json(&body),
            None => request,
        }
    }
}

/// A minimal body that is understood, so that only the credential or the id can be what is wrong.
pub(crate) fn fair_body(operation: &Operation) -> Option<Value> {
    let id = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
    Some(match operation.id.as_str() {
        "api_key_create"
        | "enrolment_token_create"
        | "group_create"
        | "group_update"
        | "tenant_create"
        | "tenant_update" => {
            json!({ "name": "x" })
        }
        "user_create" => json!({ "username": "x" }),
        "grant_create" => json!({ "role": "viewer" }),
        "group_move" => json!({ "parent_id": null }),
        "auth_password" => json!({ "old_password": "x", "new_password": "correct horse battery" }),
        "release_key_create" => json!({ "name": "x", "public_key": "x" }),
        "auth_login" | "auth_session_open" => json!({ "username": "x", "password": "x" }),
        "device_register" => json!({ "hardware_id": "x", "device_type": "x" }),
        "device_attributes_replace" => json!({ "attributes": {} }),
        "device_attributes_change" | "device_update" | "rollout_update" | "rollout_rollback" | "user_update" => {
            json!({})
        }
        "device_status" | "heartbeat" => json!({ "components": [] }),
        "firmware_create" => json!({ "manifest": "", "manifest_bundle": "", "artifacts": [] }),
        "group_add" => json!({ "device_ids": [id] }),
        "rollout_create" | "rollout_preview" | "rollout_preview_excluded" => {
            json!({ "name": "x", "firmware_id": id, "stages": [{ "percentage": 100 }] })
        }
        "status_report" => json!({ "session_id": id, "state": "downloading" }),
        "validation_report" => json!({ "session_id": id, "outcome": "succeeded" }),
        "upload_create" => json!({ "kind": "object", "name": "x", "size_bytes": 1, "sha256": "0".repeat(64) }),
        "upload_part_urls" => json!({ "numbers": [1] }),
        "upload_part_done" => json!({ "etag": "x" }),
        "presign" => json!({ "object_key": "x" }),
        _ => return None,
    })
}

pub(crate) async fn document(server: &TestServer) -> Value {
    let answered = answer(server.request(Method::GET, "/openapi.json")).await;
    assert_eq!((answered.status, answered.header("content-type")), (200, "application/json"));
    answered.json()
}

pub(crate) async fn operations(server: &TestServer) -> Vec<Operation> {
    let document = document(server).await;
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                needs_credential: operation.get("security").is_none(),
                query: query_names(operation),
            });
        }
    }
    operations
}

fn query_names(operation: &Value) -> Vec<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let in_query = parameters.filter(|parameter| parameter["in"] == "query");
    in_query.map(|parameter| parameter["name"].as_str().expect("a name").to_owned()).collect()
}

on_both_profiles! {
    async fn the_document_names_every_call_that_is_there(profile: Profile) {
        let server = TestServer::start(profile).await;
        assert_eq!(document(&server).await["openapi"], "3.1.0");
        // Logging out ends what all others are called with.
        for operation in operations(&server).await.iter().filter(|operation| operation.id != "auth_logout") {
            let answered = answer(operation.request(&server).bearer_auth(server.admin_token())).await;
            // A path that is not there says so; things that are not there say "not_found".
            assert!(!answered.text().contains("no_such_path"), "{operation:?}: {}", answered.text());
            assert_ne!(answered.status, 405, "{operation:?}");
            assert!(answered.status < 500, "{operation:?}: {}", answered.text());
            if answered.status >= 400 {
                assert_eq!(answered.header("content-type"), "application/problem+json", "{operation:?}");
            }
        }
    }
}
