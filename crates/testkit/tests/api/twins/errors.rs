//! Refusals: what is the other twin's is answered like what is nobody's, to the byte.

use drover_testkit::{Answer, TestServer, answer};
use reqwest::Method;

use super::ask::{NOBODY, assert_same, filled, has_ids, nouns, told, with_query};
use super::world::{OWNER, Twin, Twins};
use crate::openapi::{Operation, fair_body, operations};

/// Each way to put ids of others into the path: `true` where another's stands, `false` where one's own does.
fn mixtures(path: &str) -> Vec<Vec<bool>> {
    let places = nouns(path).iter().filter(|noun| has_ids(noun)).count();
    (1..1_usize << places).map(|bits| (0..places).map(|place| (bits >> place) & 1 == 1).collect()).collect()
}

/// The path with what `others` says at the places that the mixture means, and one's own things at all others.
fn path(operation: &Operation, asker: &Twin, mixture: &[bool], others: impl Fn(&str) -> String) -> String {
    let mut places = mixture.iter();
    filled(&operation.path, |noun| {
        let is_others = has_ids(noun) && *places.next().expect("a place for each id");
        if is_others { others(noun) } else { asker.its(noun) }
    })
}

async fn ask(server: &TestServer, operation: &Operation, path: &str, token: &str) -> Answer {
    let request = server.request(operation.method.clone(), path).bearer_auth(token);
    answer(match fair_body(operation) {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

/// The body without the other's ids, which the asker has named, and without nobody's.
fn without_ids(told: &str, other: &Twin) -> String {
    let ids = other.ids.iter().filter(|(noun, _)| has_ids(noun)).map(|(_, id)| id.as_str());
    ids.chain([NOBODY]).fold(told.to_owned(), |told, id| told.replace(id, "(asked)"))
}

async fn asks_for_the_others(server: &TestServer, operation: &Operation, asker: &Twin, other: &Twin) -> usize {
    let mixtures = mixtures(&operation.path);
    for mixture in &mixtures {
        let its = path(operation, asker, mixture, |noun| other.its(noun));
        let nobodys = path(operation, asker, mixture, |_| NOBODY.to_owned());
        for (who, token) in asker.credentials() {
            let found = ask(server, operation, &its, token).await;
            let unknown = ask(server, operation, &nobodys, token).await;
            let what = format!("{} {its} as {who} of {}", operation.method, asker.kind.mark);
            let [found_told, unknown_told] =
                [&found, &unknown].map(|answered| without_ids(&told(answered, NOBODY), other));
            assert_same(&unknown_told, &found_told, &what);
            if who == "owner" && operation.id != "device_status" {
                assert_eq!(found.status, 404, "{what}: {}", found.text());
            }
        }
    }
    mixtures.len()
}

/// The same but for its end, which makes it nobody's. Where neither is understood, a refusal shows the letter at which that
/// ended: in both the same.
fn almost(text: &str) -> String {
    let end = if text.ends_with('0') { '1' } else { '0' };
    format!("{}{end}", &text[..text.len() - 1])
}

/// What may be asked for in a query, with the part of it that is the other's and one as long that is nobody's.
fn queries(other: &Twin) -> Vec<(String, String, String)> {
    let mark = other.kind.mark;
    let mut queries: Vec<_> = other
        .ids
        .iter()
        .filter(|(noun, _)| has_ids(noun))
        .map(|(_, id)| ("(asked)".to_owned(), id.clone(), almost(id)))
        .collect();
    for digest in [other.firmware[0].artifacts[0].checksum, other.firmware[0].checksum, other.firmware[0].signed_by] {
        queries.push(("(asked)".to_owned(), digest.to_string(), almost(&digest.to_string())));
    }
    for form in [
        "(asked)",
        "(asked)/",
        "(asked)-0",
        "device.attr.site == \"(asked)\"",
        "\"(asked)\" in device.tags",
        "\"(asked)-0\" in device.groups",
        "has(device.attr.(asked))",
        "tag==(asked)",
        "attribute.site==(asked)",
        "group==(asked)-0",
    ] {
        queries.push((form.to_owned(), mark.to_owned(), almost(mark)));
    }
    // Of more devices than the other has, and of a version that only one has.
    queries.push(("TRUCK-(asked)".to_owned(), "03".to_owned(), "77".to_owned()));
    queries.push(("device.hardware_id == \"TRUCK-(asked)\"".to_owned(), "03".to_owned(), "77".to_owned()));
    let version = other.firmware[3].version.to_string();
    queries.push(("(asked)".to_owned(), version, "9.9.9".to_owned()));
    queries
}

async fn asks_in_queries(server: &TestServer, list: &Operation, asker: &Twin, other: &Twin) -> usize {
    let path = filled(&list.path, |noun| asker.its(noun));
    let mut understood = 0;
    for name in list.query.iter().filter(|name| !matches!(name.as_str(), "limit" | "cursor")) {
        for (form, its, nobodys) in queries(other) {
            let ask = async |asked: &str| {
                let path = with_query(&path, &[(name, &form.replace("(asked)", asked))]);
                let answered = answer(server.request(Method::GET, &path).bearer_auth(&asker.token)).await;
                (answered.status, told(&answered, asked))
            };
            let (status, found) = ask(&its).await;
            let unknown = ask(&nobodys).await.1;
            assert_same(&unknown, &found, &format!("{} {name}={form} for {its}", list.id));
            understood += usize::from(status == 200);
        }
    }
    understood
}

pub(super) async fn an_id_of_the_twin_is_like_one_that_nothing_has(twins: &Twins) {
    let (asker, other) = (&twins.south, &twins.north);
    let mut checked = 0;
    for operation in operations(&twins.server).await {
        checked += asks_for_the_others(&twins.server, &operation, asker, other).await;
    }
    assert!(checked >= 50, "{checked}");
    // And nothing of it happened: the other goes on with what it was doing.
    assert_eq!(other.owner.whoami().await.unwrap().name, OWNER);
    assert_eq!(other.devices[0].check().await.expect("the same offer").session_id, other.offer.session_id);
    let spring = other.owner.rollout(other.spring.id).await.unwrap();
    assert_eq!(spring, other.spring);
}

pub(super) async fn a_query_for_the_twins_things_finds_what_one_for_nothing_finds(twins: &Twins) {
    let mut understood = 0;
    for list in operations(&twins.server).await.iter().filter(|operation| operation.method == Method::GET) {
        understood += asks_in_queries(&twins.server, list, &twins.south, &twins.north).await;
    }
    assert!(understood >= 100, "most queries were not understood: {understood}");
}

pub(super) async fn the_twins_tenant_is_no_place_to_work_in(twins: &Twins) {
    let (server, asker, other) = (&twins.server, &twins.south, &twins.north);
    let operations = operations(server).await.into_iter();
    // To register is for enrolment tokens, which work nowhere but in their own tenant.
    for operation in operations.filter(|one| one.needs_credential && one.id != "device_register") {
        let path = filled(&operation.path, |noun| asker.its(noun));
        for (who, token) in asker.credentials() {
            let ask = async |tenant: &str| {
                let request = server.request(operation.method.clone(), &path).header("drover-tenant", tenant);
                let request = request.bearer_auth(token);
                answer(if let Some(body) = fair_body(&operation) { request.json(&body) } else { request }).await
            };
            let (found, unknown) = (ask(&other.tenant).await, ask(NOBODY).await);
            let what = format!("{} as {who}", operation.id);
            assert_eq!(found.status, 404, "{what}: {}", found.text());
            assert_same(&told(&unknown, NOBODY), &told(&found, &other.tenant), &what);
        }
    }
}
