//! Asking as a twin, and what of an answer tells something.

use std::collections::BTreeSet;

use drover_testkit::{Answer, TestServer, answer};
use reqwest::{Method, Url};

use super::world::{SHARED_BYTES, Twin};
use crate::openapi::{Operation, operations};

/// An id that nothing has.
pub(super) const NOBODY: &str = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";

/// The nouns whose names stand in the path: of `/users/{id}/grants/{grant_id}` those are `users` and `grants`.
pub(super) fn nouns(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let noun = |(index, part): (usize, &&str)| {
        let parameter = part.strip_prefix('{')?.strip_suffix('}')?.trim_start_matches('*').to_owned();
        Some(match parameter.strip_suffix("_id") {
            Some(noun) => format!("{noun}s"),
            None if parameter == "id" => parts[index - 1].to_owned(),
            None => parameter,
        })
    };
    parts.iter().enumerate().filter_map(noun).collect()
}

/// Whether the noun is one with ids; others have names that both twins know.
pub(super) fn has_ids(noun: &str) -> bool {
    !matches!(noun, "name" | "number" | "tag" | "key")
}

/// The path with these names in it.
pub(super) fn filled(path: &str, mut name: impl FnMut(&str) -> String) -> String {
    let mut names = nouns(path).into_iter().map(|noun| name(&noun));
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') { names.next().expect("a name for each parameter") } else { part.to_owned() }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The path with this query.
pub(super) fn with_query(path: &str, query: &[(&str, &str)]) -> String {
    let mut url: Url = "http://localhost".parse().unwrap();
    url.query_pairs_mut().extend_pairs(query);
    format!("{path}?{}", url.query().unwrap())
}

impl Twin {
    /// What this twin has of the noun.
    pub(super) fn its(&self, noun: &str) -> String {
        self.ids.get(noun).unwrap_or_else(|| panic!("the twins have nothing of {noun}: give it to both")).clone()
    }

    /// Reads everything that the credential can: each route that is read by GET, with the twin's own ids.
    pub(super) async fn reads(&self, server: &TestServer, token: &str) -> Vec<(Operation, Answer)> {
        let mut read = Vec::new();
        for operation in operations(server).await.into_iter().filter(|operation| operation.method == Method::GET) {
            let path = filled(&operation.path, |noun| self.its(noun));
            let answered = answer(server.request(Method::GET, &path).bearer_auth(token)).await;
            assert!(answered.status < 500, "{path}: {}", answered.text());
            read.push((operation, answered));
        }
        read
    }

    /// All that this twin is told and the other may not be: ids, digests, keys and tokens, found as the long words of its
    /// own answers, and its mark.
    pub(super) async fn secrets(&self, server: &TestServer) -> BTreeSet<String> {
        let mut secrets = BTreeSet::from([self.kind.mark.to_owned()]);
        for (_, token) in self.credentials() {
            secrets.extend(telling_words(token));
            for (_, answered) in
                self.reads(server, token).await.iter().filter(|(operation, _)| operation.needs_credential)
            {
                secrets.extend(telling_words(&whole(answered)));
            }
        }
        secrets.extend(telling_words(&self.enrolment_token));
        secrets.extend(telling_words(&serde_json::to_string(&self.offer).unwrap()));
        let known_to_both = known_to_both(server).await;
        secrets.retain(|secret| !known_to_both.contains(secret));
        secrets
    }
}

/// Head and body as they came over the wire.
pub(super) fn whole(answered: &Answer) -> String {
    let headers =
        answered.headers.iter().map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    format!("{}\n{}", headers.collect::<String>(), answered.text())
}

/// How the text of every P-256 key begins.
const KEY_HEAD: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";

/// Words of 32 and more characters are ids, digests, or parts of keys and tokens: they name one thing only.
fn telling_words(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+')));
    words.filter(|word| word.len() >= 32 && !word.contains(KEY_HEAD)).map(str::to_owned)
}

/// Of the tenant above, and of bytes that both have.
async fn known_to_both(server: &TestServer) -> BTreeSet<String> {
    let above = server.admin();
    let mut known = BTreeSet::from([above.whoami().await.unwrap().tenant_id.to_string()]);
    known.extend(above.users(9).await.unwrap().items.iter().map(|user| user.id.to_string()));
    let of_both = [SHARED_BYTES, crate::uploads::NO_MATTER].map(|bytes| drover_trust::sha256(bytes.as_bytes()));
    known.extend(of_both.map(|digest| digest.to_string()));
    known
}

/// What an answer tells: all of it but the time and its number, and `asked`, which is what was asked for.
pub(super) fn told(answered: &Answer, asked: &str) -> String {
    let mut headers: Vec<String> = answered
        .headers
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "date" | "x-request-id"))
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    headers.sort();
    let told = format!("{}\n{}\n\n{}", answered.status, headers.join("\n"), answered.text());
    match answered.header("x-request-id") {
        "" => told.replace(asked, "(asked)"),
        number => told.replace(number, "(number)").replace(asked, "(asked)"),
    }
}

/// The text holds none of these.
pub(super) fn assert_none_of(secrets: &BTreeSet<String>, text: &str, what: &str) {
    for secret in secrets {
        if let Some(at) = text.find(secret.as_str()) {
            panic!("{what} holds the twin's {secret:?}: …{}…", around(text, at));
        }
    }
}

/// The two are the same; else shows where they part.
pub(super) fn assert_same(expected: &str, found: &str, what: &str) {
    if expected != found {
        let same = expected.bytes().zip(found.bytes()).take_while(|(one, other)| one == other).count();
        panic!("{what}: …{}… and not …{}…", around(found, same), around(expected, same));
    }
}

/// Some of the text around this place.
fn around(text: &str, at: usize) -> String {
    let bytes = &text.as_bytes()[at.saturating_sub(200)..text.len().min(at + 200)];
    String::from_utf8_lossy(bytes).into_owned()
}
