//! Ids in bodies: a thing of the other twin cannot be referred to, and the refusal is that for nobody's.

use drover_testkit::answer;
use serde_json::{Value, json};

use super::ask::{NOBODY, assert_same, filled, told};
use super::world::{Twin, Twins};
use crate::openapi::{Operation, document, fair_body, operations};

/// A member of a body that is an id, as a JSON pointer, and of which noun.
#[derive(Debug, Clone)]
struct Reference {
    pointer: String,
    noun: &'static str,
    is_list: bool,
}

/// What the schemas of ids are about.
fn noun_of(schema: &str) -> Option<&'static str> {
    Some(match schema {
        "DeviceId" => "devices",
        "FirmwareId" => "firmware",
        "GroupId" => "groups",
        "RolloutId" => "rollouts",
        "TenantId" => "tenants",
        "UpdateSessionId" => "update-sessions",
        "UserId" => "users",
        other => {
            assert!(!other.ends_with("Id"), "which noun of the twins is {other}?");
            return None;
        }
    })
}

/// All ids in this schema and those below it.
fn references(document: &Value, schema: &Value, pointer: &str, found: &mut Vec<Reference>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        match noun_of(name) {
            Some(noun) => found.push(Reference { pointer: pointer.to_owned(), noun, is_list: false }),
            None => references(document, &document["components"]["schemas"][name], pointer, found),
        }
    }
    for option in ["oneOf", "anyOf", "allOf"].iter().flat_map(|kind| schema[*kind].as_array().into_iter().flatten()) {
        references(document, option, pointer, found);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        references(document, member, &format!("{pointer}/{name}"), found);
    }
    let before = found.len();
    references_in_items(document, &schema["items"], pointer, found);
    found[before..].iter_mut().filter(|reference| reference.pointer == pointer).for_each(|one| one.is_list = true);
}

fn references_in_items(document: &Value, items: &Value, pointer: &str, found: &mut Vec<Reference>) {
    if items.is_object() {
        references(document, items, pointer, found);
    }
}

fn references_of(document: &Value, operation: &Operation) -> Vec<Reference> {
    let method = operation.method.as_str().to_lowercase();
    let content = &document["paths"][&operation.path][&method]["requestBody"]["content"];
    let mut found = Vec::new();
    references(document, &content["application/json"]["schema"], "", &mut found);
    found
}

/// A body that would be taken but for the id at the reference.
fn body_with(operation: &Operation, asker: &Twin, all: &[Reference], tested: &Reference, id: &str) -> Value {
    let mut body = fair_body(operation).expect("operations with a body have one");
    for own in all {
        if let Some(member) = body.pointer_mut(&own.pointer) {
            *member = if own.is_list { json!([asker.its(own.noun)]) } else { json!(asker.its(own.noun)) };
        }
    }
    // Only artifacts belong to firmware.
    if operation.id == "upload_create" && tested.noun == "firmware" {
        (body["kind"], body["name"]) = (json!("artifact"), json!("app.bin"));
    }
    let value = if tested.is_list { json!([id]) } else { json!(id) };
    let (parent, name) = tested.pointer.rsplit_once('/').expect("a member");
    if body.pointer(parent).is_none() {
        body[parent.trim_start_matches('/')] = json!({});
    }
    body.pointer_mut(parent).expect("it is there now")[name] = value;
    body
}

pub(super) async fn a_body_cannot_refer_to_the_twins_things(twins: &Twins) {
    let (server, asker, other) = (&twins.server, &twins.south, &twins.north);
    let document = document(server).await;
    let mut checked = Vec::new();
    for operation in operations(server).await {
        let all = references_of(&document, &operation);
        for reference in &all {
            let path = filled(&operation.path, |noun| asker.its(noun));
            for (who, token) in asker.credentials() {
                let ask = async |id: &str| {
                    let body = body_with(&operation, asker, &all, reference, id);
                    let request = server.request(operation.method.clone(), &path).bearer_auth(token);
                    answer(request.json(&body)).await
                };
                let id = other.its(reference.noun);
                let (found, unknown) = (ask(&id).await, ask(NOBODY).await);
                let what = format!("{} {} as {who}", operation.id, reference.pointer);
                assert!(matches!(found.status, 401..=422), "{what}: {}", found.text());
                assert_same(&told(&unknown, NOBODY), &told(&found, &id), &what);
            }
            checked.push(format!("{}{}", operation.id, reference.pointer));
        }
    }
    for known in [
        "group_add/device_ids",
        "rollout_create/firmware_id",
        "rollout_create/target_groups",
        "grant_create/scope/group_id",
        "upload_create/firmware_id",
        "status_report/session_id",
    ] {
        assert!(checked.iter().any(|one| one == known), "{known} is not in {checked:?}");
    }
}
