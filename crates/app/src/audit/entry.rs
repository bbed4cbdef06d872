//! What one entry says.

use drover_types::Sha256Digest;
use serde::Serialize;
use serde_json::{Map, Value};

use super::canonical;
use crate::{Error, Result};

/// Bytes of an entry's details as JSON: enough for the ids of as many devices as one call can put into a group.
const DETAILS_MAX_BYTES: usize = 48 * 1024;

/// Ids that a detail names of what went along with an object: some 20 KiB.
const IDS_MAX: usize = 500;

/// One change of one object. Objects are given as the API shows them, so without secrets: never as rows, and never as
/// the answer that shows a new token.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) noun: &'static str,
    verb: &'static str,
    pub(super) object_id: String,
    pub(super) before: Option<Sha256Digest>,
    pub(super) after: Option<Sha256Digest>,
    details: Map<String, Value>,
}

impl Entry {
    /// Something was done to an object that has no state to show, such as a login.
    #[expect(clippy::needless_pass_by_value, reason = "ids are small, and calls read better without the ampersand")]
    pub(crate) fn new(noun: &'static str, verb: &'static str, id: impl ToString) -> Self {
        Self { noun, verb, object_id: id.to_string(), before: None, after: None, details: Map::new() }
    }

    /// An object was made.
    pub(crate) fn created<V: Serialize>(noun: &'static str, id: impl ToString, after: &V) -> Result<Self> {
        Ok(Self { after: Some(digest(&json(after)?)), ..Self::new(noun, "create", id) })
    }

    /// An object was changed. The names of its changed fields become the detail `changed`.
    pub(crate) fn changed<V: Serialize>(
        noun: &'static str,
        verb: &'static str,
        id: impl ToString,
        before: &V,
        after: &V,
    ) -> Result<Self> {
        let (before, after) = (json(before)?, json(after)?);
        let entry = Self { before: Some(digest(&before)), after: Some(digest(&after)), ..Self::new(noun, verb, id) };
        Ok(entry.with("changed", changed_fields(&before, &after)))
    }

    /// An object was removed.
    pub(crate) fn deleted<V: Serialize>(noun: &'static str, id: impl ToString, before: &V) -> Result<Self> {
        Ok(Self { before: Some(digest(&json(before)?)), ..Self::new(noun, "delete", id) })
    }

    /// With a detail worth reading later: no secret, and nothing that names a person.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// With what went along with the object: how many they were, and the ids of the first.
    pub(crate) fn with_ids<I: ToString>(self, name: &str, ids: &[I]) -> Self {
        if ids.is_empty() {
            return self;
        }
        let first: Vec<String> = ids.iter().take(IDS_MAX).map(ToString::to_string).collect();
        self.with(name, first).with(&format!("{name}_count"), ids.len())
    }

    /// For instance `rollout.pause`.
    pub(super) fn action(&self) -> String {
        format!("{}.{}", self.noun, self.verb)
    }

    pub(super) fn changed_nothing(&self) -> bool {
        self.before.is_some() && self.before == self.after
    }

    /// The details, or how many bytes they would have had.
    pub(super) fn details_json(&self) -> String {
        let json = Value::Object(self.details.clone()).to_string();
        if json.len() <= DETAILS_MAX_BYTES {
            return json;
        }
        format!("{{\"omitted_bytes\":{}}}", json.len())
    }
}

fn json<V: Serialize>(view: &V) -> Result<Value> {
    serde_json::to_value(view).map_err(|error| Error::internal("write an audit entry", error))
}

fn digest(json: &Value) -> Sha256Digest {
    drover_trust::sha256(canonical::text(json).as_bytes())
}

fn changed_fields(before: &Value, after: &Value) -> Vec<String> {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return Vec::new() };
    let mut names: Vec<String> = before
        .keys()
        .chain(after.keys().filter(|key| !before.contains_key(*key)))
        .filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_names_its_fields_and_both_states() {
        let (before, after) = (json!({ "a": 1, "b": 2, "c": null }), json!({ "a": 1, "b": 3, "d": 4 }));
        let entry = Entry::changed("group", "update", "g", &before, &after).expect("JSON");
        assert_eq!(entry.action(), "group.update");
        // printf '%s' '{"a":1,"b":2,"c":null}' | sha256sum
        let digest = "446678994da7bf39b57e736d037187f6deb83c97d620e93f4d6eba0310d3a1fa";
        assert_eq!(entry.before.map(|digest| digest.to_string()).as_deref(), Some(digest));
        assert_ne!(entry.before, entry.after);
        assert_eq!(entry.details_json(), r#"{"changed":["b","c","d"]}"#);
        assert!(!entry.changed_nothing());
    }

    #[test]
    fn what_went_along_is_counted_and_named_as_far_as_there_is_room() {
        let entry = Entry::new("group", "delete", "g").with_ids("grants", &["a", "b"]).with_ids::<u8>("api_keys", &[]);
        assert_eq!(entry.details_json(), r#"{"grants":["a","b"],"grants_count":2}"#);
        let many: Vec<uuid::Uuid> = (0..5_000).map(uuid::Uuid::from_u128).collect();
        let json: Value = serde_json::from_str(&entry.with_ids("api_keys", &many).details_json()).expect("JSON");
        assert_eq!((json["api_keys"].as_array().map(Vec::len), &json["api_keys_count"]), (Some(500), &json!(5_000)));
    }

    #[test]
    fn what_stays_as_it_was_is_no_change() {
        let state = json!({ "a": 1 });
        assert!(Entry::changed("group", "update", "g", &state, &state).expect("JSON").changed_nothing());
        assert!(!Entry::new("user", "login", "u").changed_nothing());
    }

    #[test]
    fn details_are_bounded() {
        let large = "x".repeat(DETAILS_MAX_BYTES);
        assert_eq!(Entry::new("group", "update", "g").with("ids", large).details_json(), r#"{"omitted_bytes":49162}"#);
    }
}
