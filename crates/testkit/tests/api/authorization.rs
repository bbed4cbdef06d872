//! Every route × who calls it: `authorization.txt` says what each is answered.
//!
//! A route of the `OpenAPI` document without a row fails, and so does a row without a route. When a route is new: add a row
//! with what should be answered, and a body to `openapi::fair_body` if it needs one. The test prints what it found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use drover_testkit::{Profile, ServerOptions, SimClock, answer, on_both_profiles};
use drover_types::{Clock as _, RolloutId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openapi::{Operation, fair_body, operations};
use crate::person::{PASSWORD, Person, log_in};
use crate::scene::Scene;

const TABLE: &str = include_str!("authorization.txt");
const CALLERS: [&str; 6] = ["none", "expired", "viewer", "operator", "other", "device"];

/// What each operation answers, in the order of [`CALLERS`]: a status, or those of both profiles with `|` between.
fn table() -> BTreeMap<String, Vec<String>> {
    let rows = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let parsed = rows.map(|row| {
        let mut words = row.split_whitespace();
        let id = words.next().expect("an operation").to_owned();
        let statuses: Vec<String> = words.map(str::to_owned).collect();
        assert_eq!(statuses.len(), CALLERS.len(), "{row}");
        (id, statuses)
    });
    let rows: Vec<_> = parsed.collect();
    let table: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(table.len(), rows.len(), "a route has one row");
    table
}

fn fits(row: &[String], found: &[u16]) -> bool {
    row.iter().zip(found).all(|(cell, status)| cell.split('|').any(|allowed| allowed == status.to_string()))
}

/// A fleet with one of everything, and somebody of each kind.
struct World {
    scene: Scene,
    ids: BTreeMap<&'static str, String>,
    tokens: Vec<Option<String>>,
}

impl World {
    async fn new(profile: Profile) -> Self {
        let clock = Arc::new(SimClock::default());
        let scene = Scene::on(ServerOptions::new(profile).clock(&clock).start().await, 1).await;
        let server = &scene.server;
        let post = async |path: &str, body: Value| -> Value {
            let made = answer(server.admin_request(Method::POST, &format!("/api/v1/{path}")).json(&body)).await;
            assert_eq!(made.status, 201, "{path}: {}", made.text());
            made.json()
        };
        let id = |made: &Value| made["id"].as_str().expect("an id").to_owned();
        let mut tokens = vec![None];
        let expires_at = clock.now().plus(Duration::from_hours(1));
        let key = post("api-keys", json!({ "name": "short", "expires_at": expires_at })).await;
        tokens.push(Some(key["token"].as_str().expect("a token").to_owned()));
        clock.advance(Duration::from_hours(2));
        let mut user = String::new();
        for role in ["viewer", "operator"] {
            let made = post("users", json!({ "username": role, "password": PASSWORD, "role": role })).await;
            user = id(&made["user"]);
            tokens.push(Some(log_in(server, "default", role).await.token));
        }
        let operator = log_in(server, "default", "operator").await;
        let current = answer(server.request(Method::GET, "/api/v1/auth/logins").bearer_auth(&operator.token)).await;
        let current: Value = current.json();
        let current = current["items"].as_array().expect("logins").iter().find(|login| login["current"] == true);
        let login = id(current.expect("this one"));
        let grant = Person::admin(server).grants_of(&user).await.remove(0);
        tokens.push(Some(server.add_tenant("other").await.token));
        tokens.push(Some(scene.devices[0].token.clone()));

        scene.admin.add_device_tag(scene.devices[0].id, "x").await.expect("the tag is added");
        let draft: RolloutId = scene.draft(&scene.first, &[100], |_| {}).await.id;
        let list = async |path: &str| -> String {
            let page = answer(server.admin_request(Method::GET, &format!("/api/v1/{path}"))).await;
            id(&page.json::<Value>()["items"][0])
        };
        let ids = BTreeMap::from([
            ("api-keys", id(&key["api_key"])),
            // A login of the operator's, other than the one that he calls with.
            ("auth", login),
            ("devices", scene.devices[0].id.to_string()),
            ("enrolment-tokens", list("enrolment-tokens").await),
            ("firmware", scene.first.id.to_string()),
            ("grants", grant),
            ("groups", id(&post("groups", json!({ "name": "lab" })).await)),
            ("release-keys", list("release-keys").await),
            ("rollouts", draft.to_string()),
            ("tenants", id(&post("tenants", json!({ "name": "below" })).await)),
            ("uploads", crate::uploads::begin(server, server.admin_token(), "part/1.bin").await.id.to_string()),
            ("users", user),
        ]);
        Self { scene, ids, tokens }
    }

    /// The route with the ids of things that are there, where there is such a thing.
    fn path(&self, operation: &Operation) -> String {
        let noun = operation.path.trim_start_matches("/api/v1/").split('/').next().unwrap_or_default();
        let unknown = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        let id = self.ids.get(noun).map_or(unknown, String::as_str);
        let path = operation.path.replace("{id}", id).replace("{device_id}", &self.ids["devices"]);
        let path = path.replace("{grant_id}", &self.ids["grants"]);
        let parts = path.split('/').map(|part| match part {
            part if part.starts_with('{') && part.ends_with("id}") => unknown,
            "{number}" => "1",
            part if part.starts_with('{') => "x",
            part => part,
        });
        parts.collect::<Vec<_>>().join("/")
    }

    async fn statuses(&self, operation: &Operation) -> Vec<u16> {
        let mut statuses = Vec::new();
        for (caller, token) in CALLERS.iter().zip(&self.tokens) {
            let mut request = self.scene.server.request(operation.method.clone(), &self.path(operation));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let mut body = fair_body(operation);
            if matches!(operation.id.as_str(), "auth_login" | "auth_session_open") {
                // A page of ours, and a name for each: tries at one name are bounded.
                request = request.header("sec-fetch-site", "same-origin");
                body = Some(json!({ "username": format!("no-{caller}"), "password": "x" }));
            }
            let answered = answer(if let Some(body) = body { request.json(&body) } else { request }).await;
            assert!(answered.status < 500, "{operation:?}: {}", answered.text());
            statuses.push(answered.status);
        }
        statuses
    }
}

on_both_profiles! {
    async fn every_route_answers_each_caller_as_the_table_says(profile: Profile) {
        let world = World::new(profile).await;
        let mut expected = table();
        let mut operations = operations(&world.scene.server).await;
        // Ends what all others are called with.
        operations.sort_by_key(|operation| operation.id == "auth_logout");
        let mut wrong = Vec::new();
        for operation in &operations {
            let found = world.statuses(operation).await;
            let row = expected.remove(&operation.id);
            if !row.as_ref().is_some_and(|row| fits(row, &found)) {
                let cells = found.iter().map(|status| format!(" {status:<8}")).collect::<Vec<_>>().concat();
                wrong.push(format!("{:<28}{}   # the table says {row:?}", operation.id, cells.trim_end()));
            }
        }
        let callers = CALLERS.map(|caller| format!(" {caller:<8}")).concat();
        assert!(wrong.is_empty(), "\n{:<28}{}\n{}", "# found", callers, wrong.join("\n"));
        assert!(expected.is_empty(), "rows without a route: {:?}", expected.keys());
    }
}

#[test]
fn the_table_lets_in_nobody_without_a_credential() {
    let open = ["auth_login", "auth_session_open", "blob_get", "health", "healthz", "metrics", "readyz"];
    for (id, row) in table().iter().filter(|(id, _)| !open.contains(&id.as_str())) {
        assert_eq!(row[..2], ["401", "401"], "{id}");
    }
}
