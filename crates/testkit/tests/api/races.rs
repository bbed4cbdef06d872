//! What was allowed when it was looked at is looked at again when it is done.
//!
//! A second node stops where it draws a random number, which every change does between its checks and its transaction;
//! meanwhile the first node changes what was checked.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use drover_app::compose::compose;
use drover_app::{App, Caller, Origin, Random, Settings, SystemRandom};
use drover_testkit::{Profile, TestServer, answer, on_both_profiles};
use drover_types::SystemClock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::Scene;

const PASSWORD: &str = "correct horse battery";

/// Stops whoever draws next, once it is armed: tells so, and waits to be let go.
#[derive(Default)]
struct Gate(Mutex<Option<(Sender<()>, Receiver<()>)>>);

impl Gate {
    /// What tells that somebody stopped, and what lets go.
    fn arm(&self) -> (Receiver<()>, Sender<()>) {
        let ((stopped, heard), (release, released)) = (channel(), channel());
        *self.0.lock().unwrap() = Some((stopped, released));
        (heard, release)
    }
}

impl Random for Gate {
    fn fill(&self, bytes: &mut [u8]) {
        let armed = self.0.lock().unwrap().take();
        if let Some((stopped, released)) = armed {
            stopped.send(()).unwrap();
            released.recv().unwrap();
        }
        SystemRandom.fill(bytes);
    }
}

/// A node that can be stopped between check and change.
struct SlowNode {
    app: Arc<App>,
    gate: Arc<Gate>,
}

impl SlowNode {
    async fn beside(server: &TestServer) -> Self {
        let gate = Arc::new(Gate::default());
        let random = Arc::clone(&gate) as Arc<dyn Random>;
        let app = compose(server.backends(), Settings::default(), Arc::new(SystemClock), random).await.unwrap();
        Self { app, gate }
    }

    async fn caller(&self, token: &str) -> Caller {
        self.app.authenticate(token, None, Origin::default()).await.unwrap()
    }

    /// What `slow` returns when `meanwhile` happens between its checks and its change.
    async fn overtaken<T: Send + 'static>(
        &self,
        slow: impl Future<Output = drover_app::Result<T>> + Send + 'static,
        meanwhile: impl Future<Output = ()>,
    ) -> drover_app::Result<T> {
        let (heard, release) = self.gate.arm();
        let slow = tokio::spawn(slow);
        tokio::task::spawn_blocking(move || heard.recv()).await.unwrap().unwrap();
        meanwhile.await;
        release.send(()).unwrap();
        slow.await.unwrap()
    }
}

/// Something that the administrator does.
async fn done(server: &TestServer, method: Method, path: &str, body: Value) -> Value {
    let answered = answer(server.admin_request(method, &format!("/api/v1/{path}")).json(&body)).await;
    assert!(answered.status < 300, "{path}: {}", answered.text());
    if answered.text().is_empty() { Value::Null } else { answered.json() }
}

async fn log_in(server: &TestServer, name: &str, password: &str) -> drover_testkit::Answer {
    let body = json!({ "username": name, "password": password });
    answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap().to_owned()
}

/// A user with grants, and a token of his.
async fn user(server: &TestServer, name: &str, grants: &[Value]) -> (String, String) {
    let made = done(server, Method::POST, "users", json!({ "username": name, "password": PASSWORD })).await;
    let user = id(&made["user"]);
    for grant in grants {
        done(server, Method::POST, &format!("users/{user}/grants"), grant.clone()).await;
    }
    let reply: Value = log_in(server, name, PASSWORD).await.json();
    (user, reply["token"].as_str().unwrap().to_owned())
}

on_both_profiles! {
    async fn a_rollout_that_leaves_ones_reach_is_not_touched(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let server = &scene.server;
        let own = id(&done(server, Method::POST, "groups", json!({ "name": "own" })).await);
        let other = id(&done(server, Method::POST, "groups", json!({ "name": "other" })).await);
        let grant = json!({ "role": "operator", "scope": { "group_id": own } });
        let (_, token) = user(server, "anna", &[grant]).await;
        let node = SlowNode::beside(server).await;
        let anna = node.caller(&token).await;
        for verb in ["start", "update"] {
            let draft = scene.draft(&scene.first, &[100], |plan| plan.target_groups = vec![own.parse().unwrap()]).await.id;
            let (app, anna) = (Arc::clone(&node.app), anna.clone());
            let slow = async move {
                let rename = drover_api::RolloutUpdate { name: Some("mine".into()), ..Default::default() };
                match verb {
                    "start" => app.rollout_start(&anna, draft).await,
                    _ => app.rollout_update(&anna, draft, rename).await,
                }
            };
            let widened = async {
                let body = json!({ "target_groups": [own, other] });
                done(server, Method::PUT, &format!("rollouts/{draft}"), body).await;
            };
            let error = node.overtaken(slow, widened).await.map(drop).unwrap_err();
            assert_eq!(error.code, "not_found", "{verb}");
            let after = scene.admin.rollout(draft).await.unwrap();
            assert_eq!((after.status, after.name != "mine"), (drover_types::RolloutState::Draft, true), "{verb}");
        }
    }
}
