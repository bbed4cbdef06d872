//! What can be read.

use drover_testkit::answer;
use reqwest::Method;
use serde_json::Value;

use super::ask::{assert_none_of, filled, has_ids, whole, with_query};
use super::world::{Twin, Twins};
use crate::openapi::Operation;

/// The test would show little if its secrets were none, or if the lists that it reads were empty.
fn assert_telling(reader: &Twin, other: &Twin, secrets: &std::collections::BTreeSet<String>) {
    for (noun, id) in other.ids.iter().filter(|(noun, _)| has_ids(noun)) {
        assert!(secrets.contains(id), "{noun} {id} is in no answer");
    }
    let firmware = &other.firmware[0];
    for secret in [firmware.checksum, firmware.signed_by, firmware.artifacts[0].checksum] {
        assert!(secrets.contains(&secret.to_string()), "{secret} is in no answer");
    }
    for own in reader.ids.iter().filter(|(noun, _)| has_ids(noun)) {
        assert!(!secrets.contains(own.1), "{own:?} is of both");
    }
    assert!(secrets.len() > 80, "{}", secrets.len());
}

fn assert_not_empty(reader: &Twin, operation: &Operation, body: &Value) {
    let nothing_failed = reader.kind.failures == 0 && operation.id == "rollout_failures";
    if let Some(items) = body["items"].as_array().filter(|_| !nothing_failed) {
        assert!(!items.is_empty(), "{}: the twins have nothing to be listed there: give it to both", operation.id);
    }
}

pub(super) async fn answers_hold_nothing_of_the_twin(twins: &Twins) {
    for (reader, other) in twins.both_ways() {
        let secrets = other.secrets(&twins.server).await;
        assert_telling(reader, other, &secrets);
        for (who, token) in reader.credentials() {
            for (operation, answered) in reader.reads(&twins.server, token).await {
                let what = format!("{} as {who} of {}", operation.id, reader.kind.mark);
                assert_none_of(&secrets, &whole(&answered), &what);
                if who == "owner" && answered.header("content-type") == "application/json" {
                    assert_not_empty(reader, &operation, &answered.json());
                }
            }
        }
    }
}

/// Pages are cut by ids: a cursor must neither hold one of the twin's nor lead to its things.
pub(super) async fn no_page_leads_over_to_the_twin(twins: &Twins) {
    let server = &twins.server;
    let (north, south) = (&twins.north, &twins.south);
    let secrets = north.secrets(server).await;
    let mut checked = 0;
    let lists = crate::openapi::operations(server).await.into_iter();
    for list in lists.filter(|list| list.method == Method::GET && list.query.iter().any(|name| name == "cursor")) {
        let page = async |twin: &Twin, query: &[(&str, &str)]| {
            let path = with_query(&filled(&list.path, |noun| twin.its(noun)), query);
            answer(server.request(Method::GET, &path).bearer_auth(&twin.token)).await
        };
        let first: Value = page(north, &[("limit", "1")]).await.json();
        let cursor = first["next_cursor"].as_str();
        let cursor = cursor.unwrap_or_else(|| panic!("{}: the northern twin has too few for a page", list.id));
        let over = page(south, &[("limit", "1"), ("cursor", cursor)]).await;
        assert_none_of(&secrets, &whole(&over), &list.id);
        // The southern twin's own pages go on with its own things.
        let mut own: Value = page(south, &[("limit", "1")]).await.json();
        while let Some(cursor) = own["next_cursor"].as_str().map(str::to_owned) {
            let place = drover_api::Cursor::decode(&cursor).unwrap().0;
            assert_none_of(&secrets, &place, &format!("a cursor of {}", list.id));
            let next = page(south, &[("limit", "1"), ("cursor", &cursor)]).await;
            assert_none_of(&secrets, &whole(&next), &list.id);
            own = next.json();
        }
        checked += 1;
    }
    assert!(checked >= 13, "{checked}");
}
