//! Signed addresses: whoever holds one may fetch the bytes, and nobody makes one of the other's, or finds out by trying
//! what the other has.

use drover_api::PresignRequest;
use drover_testkit::{Answer, Profile, TestServer, answer};
use reqwest::Method;
use serde_json::{Value, json};

use super::ask::{NOBODY, assert_none_of, assert_same, told};
use super::world::{SHARED_BYTES, Twin, Twins};

async fn signed(twin: &Twin, object_key: &str) -> String {
    let body = PresignRequest { object_key: object_key.to_owned(), expires_in: Some(600) };
    twin.owner.presign(&body).await.unwrap().url
}

async fn fetch(server: &TestServer, url: &str) -> Answer {
    answer(server.raw().get(url)).await
}

/// The digest in an address.
fn digest(url: &str) -> &str {
    url.split('?').next().unwrap().rsplit('/').next().unwrap()
}

/// The address with the content that `digest` names in the place of its own.
fn of_content(url: &str, other: &str) -> String {
    let own = digest(url);
    url.replace(&format!("/sha256/{}/{own}", &own[..2]), &format!("/sha256/{}/{other}", &other[..2]))
}

/// What a refusal tells of the object: on S3, which says much about the request itself, status and code.
fn told_of(refused: &Answer, url: &str) -> String {
    let path = url.split('?').next().unwrap();
    let path = &path[path.find("/t/").unwrap() + 1..];
    match refused.text().split_once("<Code>") {
        Some((_, rest)) => format!("{} {}", refused.status, rest.split('<').next().unwrap()),
        None => told(refused, path),
    }
}

/// Addresses of `own` with something of the other's put in, beside the same with something that is nowhere.
fn forgeries(own: &str, theirs: &str, own_tenant: &str, their_tenant: &str) -> Vec<(&'static str, String, String)> {
    let nowhere = "ab".repeat(32);
    let with_signature_of = |url: &str, signed: &str| {
        let query = |url: &str| url.split_once('?').unwrap().1.to_owned();
        url.replace(&query(url), &query(signed))
    };
    let moved = |url: &str, from: &str, to: &str| url.replace(&format!("/t/{from}/"), &format!("/t/{to}/"));
    vec![
        ("the tenant", moved(own, own_tenant, their_tenant), moved(own, own_tenant, NOBODY)),
        ("the key", of_content(own, digest(theirs)), of_content(own, &nowhere)),
        (
            "the tenant and the key",
            of_content(&moved(own, own_tenant, their_tenant), digest(theirs)),
            of_content(&moved(own, own_tenant, their_tenant), &nowhere),
        ),
        ("the signature", with_signature_of(theirs, own), with_signature_of(&of_content(theirs, &nowhere), own)),
        (
            "the time",
            theirs.replace("xpires=", "xpires=9"),
            of_content(theirs, &nowhere).replace("xpires=", "xpires=9"),
        ),
        (
            "no signature",
            theirs.split('?').next().unwrap().to_owned(),
            of_content(theirs, &nowhere).split('?').next().unwrap().to_owned(),
        ),
    ]
}

pub(super) async fn an_address_is_of_ones_own_bytes_and_works_for_its_bearer(twins: &Twins) {
    let server = &twins.server;
    for (own, other) in twins.both_ways() {
        let secrets = other.secrets(server).await;
        for (name, bytes) in [("own.bin", own.kind.mark), ("shared.bin", SHARED_BYTES)] {
            let url = signed(own, name).await;
            assert!(url.contains(&format!("/t/{}/", own.tenant)), "{url}");
            assert_none_of(&secrets, &url, "an address");
            // It is a bearer's: without a credential, and with anybody's.
            assert_eq!(fetch(server, &url).await.text(), bytes);
            if twins.profile == Profile::Local {
                assert_eq!(answer(server.raw().get(&url).bearer_auth(&other.token)).await.text(), bytes);
            }
        }
    }
}

pub(super) async fn nobody_gets_an_address_of_the_twins(twins: &Twins) {
    let (server, asker, other) = (&twins.server, &twins.south, &twins.north);
    let theirs = signed(other, &format!("{}/0.bin", other.kind.mark)).await;
    let key = &other.ids["key"];
    let key = key.split('?').next().unwrap();
    let artifact = |firmware: &drover_api::Firmware| format!("{}/app.bin", firmware.storage_path);
    let pairs = [
        (format!("{}/0.bin", other.kind.mark), "zzzzzz/0.bin".to_owned()),
        (artifact(&other.firmware[3]), artifact(&other.firmware[3]).replace("9.3.0", "9.9.9")),
        (key.to_owned(), key.replace(&other.tenant, NOBODY)),
        (digest(&theirs).to_owned(), "0".repeat(64)),
    ];
    for (name, nowhere) in pairs {
        assert_ne!(name, nowhere);
        for (who, token) in asker.credentials() {
            let ask = async |name: &str| {
                let request = server.request(Method::POST, "/v1/presign").bearer_auth(token);
                answer(request.json(&json!({ "object_key": name }))).await
            };
            let found = ask(&name).await;
            assert!(matches!(found.status, 403 | 404), "{name} as {who}: {}", found.text());
            assert_same(&told(&ask(&nowhere).await, &nowhere), &told(&found, &name), &format!("{name} as {who}"));
        }
    }
}

pub(super) async fn a_changed_address_is_refused_whether_there_is_something_or_not(twins: &Twins) {
    let server = &twins.server;
    for (own, other) in twins.both_ways() {
        // What both have has one digest, and still an address of one does not open the other's.
        let (mine, theirs) = (signed(own, "shared.bin").await, signed(other, "shared.bin").await);
        assert_eq!(digest(&mine), digest(&theirs));
        let moved = mine.replace(&own.tenant, &other.tenant);
        assert_eq!(fetch(server, &moved).await.status, 403);
        let (mine, theirs) = (signed(own, "own.bin").await, signed(other, "own.bin").await);
        for (what, there, nowhere) in forgeries(&mine, &theirs, &own.tenant, &other.tenant) {
            assert!(there != mine && there != theirs && there != nowhere, "{what}: {there} {nowhere}");
            let (found, unknown) = (fetch(server, &there).await, fetch(server, &nowhere).await);
            assert!(matches!(found.status, 400 | 403), "{what}: {} {}", found.status, found.text());
            assert!(!found.text().contains(other.kind.mark), "{what}: {}", found.text());
            assert_same(&told_of(&unknown, &nowhere), &told_of(&found, &there), what);
        }
    }
}

/// Parts of uploads go to the object store directly where there is one: below the tenant's own name.
pub(super) async fn addresses_for_parts_are_below_ones_own_tenant(twins: &Twins) {
    let server = &twins.server;
    for (own, other) in twins.both_ways() {
        let path = format!("/api/v1/uploads/{}/parts/urls", own.ids["uploads"]);
        let urls = server.request(Method::POST, &path).bearer_auth(&own.token).json(&json!({ "numbers": [1] }));
        let urls = answer(urls).await;
        if twins.profile == Profile::Local {
            urls.problem(409, "upload_not_direct");
            continue;
        }
        let url = urls.json::<Value>()["items"][0]["url"].as_str().unwrap().to_owned();
        assert!(url.contains(&format!("/uploads/{}/{}", own.tenant, own.ids["uploads"])), "{url}");
        let forged = url.replace(&own.tenant, &other.tenant).replace(&own.ids["uploads"], &other.ids["uploads"]);
        let refused = answer(server.raw().put(&forged).body("bytes")).await;
        let nowhere = url.replace(&own.tenant, NOBODY).replace(&own.ids["uploads"], NOBODY);
        let unknown = answer(server.raw().put(&nowhere).body("bytes")).await;
        assert_eq!(refused.status, 403, "{}", refused.text());
        let code = |answered: &Answer| {
            answered.text().split("<Code>").nth(1).map(|rest| rest.split('<').next().unwrap().to_owned())
        };
        assert_eq!((unknown.status, code(&unknown)), (403, code(&refused)));
    }
}
