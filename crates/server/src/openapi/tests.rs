use std::collections::BTreeSet;

use serde_json::Value;

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../openapi/v1.json");

fn document() -> Value {
    serde_json::to_value(super::openapi()).expect("a document")
}

/// `GET /path` with its operation.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("an item");
        item.iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    each.collect()
}

#[test]
fn the_checked_in_document_is_what_the_code_says() {
    let written = std::fs::read_to_string(CHECKED_IN).unwrap_or_default();
    let written: Value = serde_json::from_str(&written).unwrap_or_default();
    assert!(written == document(), "openapi/v1.json is not what the code says: run `cargo xtask openapi`");
}

#[test]
fn it_is_openapi_3_1_about_drover() {
    let document = document();
    assert!(document["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    assert_eq!(document["info"]["title"], "Drover");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[test]
fn every_operation_has_an_id_of_its_own_a_summary_and_a_tag() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{name} has no id"));
        assert!(ids.insert(id), "{name}: {id} is taken");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}: {id}");
        assert!(operation["summary"].as_str().is_some_and(|summary| summary.len() > 5), "{name} has no summary");
        assert!(operation["tags"][0].is_string(), "{name} has no tag");
    }
    assert!(ids.len() >= 50, "{} operations", ids.len());
}

#[test]
fn every_error_is_a_problem() {
    let document = document();
    for (name, operation) in operations(&document) {
        let responses = operation["responses"].as_object().expect("responses");
        let errors: Vec<_> = responses.iter().filter(|(status, _)| status.as_str() >= "400").collect();
        assert!(errors.len() >= 3, "{name} documents {} errors", errors.len());
        for (status, response) in errors {
            let pointer = response["$ref"].as_str().unwrap_or_else(|| panic!("{name} {status} is not shared"));
            let shared = document.pointer(pointer.trim_start_matches('#')).expect("it is there");
            assert!(shared["content"]["application/problem+json"]["schema"].is_object(), "{name} {status}");
        }
    }
}

#[test]
fn every_parameter_is_where_it_says() {
    let document = document();
    for (name, operation) in operations(&document) {
        let path = name.split_once(' ').map_or("", |(_, path)| path);
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let in_path = parameter["in"] == "path";
            let field = parameter["name"].as_str().expect("a name");
            let in_template = path.contains(&format!("{{{field}}}"));
            assert_eq!(in_path, in_template, "{name}: {field} is in {}", parameter["in"]);
        }
    }
}

/// As they are on the wire, not as they are in the code.
#[test]
fn enums_are_described_by_their_words() {
    let document = document();
    let state = &document["components"]["schemas"]["RolloutState"]["enum"];
    let words: Vec<_> = drover_types::RolloutState::ALL.iter().map(|state| state.as_str()).collect();
    assert_eq!(*state, serde_json::json!(words));
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        for word in schema["enum"].as_array().into_iter().flatten() {
            let word = word.as_str().expect("a word");
            assert!(!word.contains(|c: char| c.is_ascii_uppercase()), "{name}: {word}");
        }
    }
}

/// Every reference leads somewhere.
#[test]
fn nothing_is_missing() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|field| walk(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = Vec::new();
    walk(&document, &mut references);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} is missing");
    }
}
