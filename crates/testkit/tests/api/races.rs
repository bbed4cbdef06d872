//! What was allowed when it was looked at is looked at again when it is done.
//!
//! A second node stops where it draws a random number, which every change does between its checks and its transaction;
//! meanwhile the first node changes what was checked.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use drover_api::{LoginRequest, PasswordChange, PasswordReset, RolloutUpdate, UserCreate, UserUpdate};
use drover_app::compose::compose;
use drover_app::{App, Caller, Origin, Random, Settings, SystemRandom};
use drover_testkit::{Profile, TestServer, answer, on_both_profiles};
use drover_types::{Role, RolloutState, SystemClock, UserId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::person::{PASSWORD, Person, log_in, role, role_over};
use crate::scene::Scene;

const OTHER_PASSWORD: &str = "another horse and battery";

/// Stops whoever draws next, once it is armed: tells so, and waits to be let go.
#[derive(Default)]
struct Gate(Mutex<Option<(SyncSender<()>, Receiver<()>)>>);

impl Gate {
    /// What tells that somebody stopped, and what lets go.
    fn arm(&self) -> (Receiver<()>, SyncSender<()>) {
        let ((stopped, heard), (release, released)) = (sync_channel(1), sync_channel(1));
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

/// Something that the administrator does meanwhile.
async fn done(admin: &Person<'_>, method: Method, path: &str, body: Value) {
    let answered = admin.call(method, path, body).await;
    assert!(answered.status < 300, "{path}: {}", answered.text());
}

/// Whether somebody gets in with this password.
async fn gets_in(server: &TestServer, name: &str, password: &str) -> bool {
    let body = json!({ "username": name, "password": password });
    answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await.status == 200
}

on_both_profiles! {
    async fn a_rollout_that_leaves_ones_reach_is_not_touched(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let admin = Person::admin(&scene.server);
        let own = admin.make("groups", json!({ "name": "own" })).await;
        let other = admin.make("groups", json!({ "name": "other" })).await;
        let (_, anna) = admin.add("anna", &[role_over("operator", &own)]).await;
        let node = SlowNode::beside(&scene.server).await;
        let anna = node.caller(&anna.token).await;
        for verb in ["start", "update"] {
            let draft = scene.draft(&scene.first, &[100], |plan| plan.target_groups = vec![own.parse().unwrap()]).await.id;
            let (app, anna) = (Arc::clone(&node.app), anna.clone());
            let slow = async move {
                let rename = RolloutUpdate { name: Some("mine".into()), ..RolloutUpdate::default() };
                match verb {
                    "start" => app.rollout_start(&anna, draft).await,
                    _ => app.rollout_update(&anna, draft, rename).await,
                }
            };
            let (path, groups) = (format!("rollouts/{draft}"), json!({ "target_groups": [own, other] }));
            let widened = done(&admin, Method::PUT, &path, groups);
            let error = node.overtaken(slow, widened).await.map(drop).unwrap_err();
            assert_eq!(error.code, "not_found", "{verb}");
            let after = scene.admin.rollout(draft).await.unwrap();
            assert_eq!((after.status, after.name != "mine"), (RolloutState::Draft, true), "{verb}");
        }
    }

    /// Whoever knew the old password cannot set his own over the one that locks him out.
    async fn a_password_that_was_replaced_meanwhile_is_not_changed(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let node = SlowNode::beside(&server).await;
        for (n, (method, path, body)) in [
            (Method::POST, "/password", json!({ "password": OTHER_PASSWORD })),
            (Method::PUT, "", json!({ "disabled": true })),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("anna-{n}");
            let (id, anna) = admin.add(&name, &[]).await;
            let (app, caller) = (Arc::clone(&node.app), node.caller(&anna.token).await);
            let change = PasswordChange { old_password: PASSWORD.into(), new_password: "mine for ever and ever".into() };
            let slow = async move { app.password_change(&caller, change).await };
            let path = format!("users/{id}{path}");
            let error = node.overtaken(slow, done(&admin, method, &path, body)).await.unwrap_err();
            assert_eq!(error.code, "unauthenticated");
            done(&admin, Method::PUT, &format!("users/{id}"), json!({ "disabled": false })).await;
            assert!(!gets_in(&server, &name, "mine for ever and ever").await);
            let stays = if n == 0 { OTHER_PASSWORD } else { PASSWORD };
            assert!(gets_in(&server, &name, stays).await);
        }
    }

    async fn a_login_that_was_ended_meanwhile_changes_no_password(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let node = SlowNode::beside(&server).await;
        let (_, anna) = admin.add("anna", &[]).await;
        let (app, caller) = (Arc::clone(&node.app), node.caller(&anna.token).await);
        let change = PasswordChange { old_password: PASSWORD.into(), new_password: OTHER_PASSWORD.into() };
        let slow = async move { app.password_change(&caller, change).await };
        let logged_out = done(&anna, Method::POST, "auth/logout", Value::Null);
        assert_eq!(node.overtaken(slow, logged_out).await.unwrap_err().code, "unauthenticated");
        log_in(&server, "default", "anna").await;
    }

    async fn nobody_comes_in_with_what_was_taken_from_him_meanwhile(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let node = SlowNode::beside(&server).await;
        let (id, _) = admin.add("anna", &[]).await;
        for (method, path, body) in [
            (Method::POST, format!("users/{id}/password"), json!({ "password": OTHER_PASSWORD })),
            (Method::PUT, format!("users/{id}"), json!({ "disabled": true })),
        ] {
            let password = if method == Method::POST { PASSWORD } else { OTHER_PASSWORD };
            let request = LoginRequest { tenant: None, username: "anna".into(), password: password.into() };
            let app = Arc::clone(&node.app);
            let slow = async move { app.login(request, Origin::default()).await };
            let error = node.overtaken(slow, done(&admin, method, &path, body)).await.map(drop).unwrap_err();
            assert_eq!(error.code, "login_failed");
        }
    }

    async fn rights_are_those_of_the_moment_of_the_change(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let node = SlowNode::beside(&server).await;
        // A key that administers users puts nobody out of the way who may do more by now.
        let (anna, _) = admin.add("anna", &[]).await;
        let key = node.caller(&admin.key(json!({ "scopes": ["users:write"] })).await.token).await;
        let (app, anna_id): (_, UserId) = (Arc::clone(&node.app), anna.parse().unwrap());
        let disable = UserUpdate { username: None, disabled: Some(true) };
        let slow = async move { app.user_update(&key, anna_id, disable).await.map(drop) };
        let path = format!("users/{anna}/grants");
        let given = done(&admin, Method::POST, &path, role("viewer"));
        assert_eq!(node.overtaken(slow, given).await.unwrap_err().code, "forbidden");

        // An owner who is none any more adds nobody, and gives nobody a password.
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        let in_child = admin.within(&child);
        let owner_below = json!({ "role": "owner", "scope": { "tenant_id": child } });
        let viewer_below = json!({ "role": "viewer", "scope": { "tenant_id": child } });
        let (id, berta) = admin.add("berta", &[viewer_below]).await;
        let carl: UserId = in_child.make("users", json!({ "username": "carl" })).await.parse().unwrap();
        let grants = format!("users/{id}/grants");
        for verb in ["create", "reset"] {
            let grant = admin.make(&grants, owner_below.clone()).await;
            let berta = node.app.authenticate(&berta.token, child.parse().ok(), Origin::default()).await.unwrap();
            let app = Arc::clone(&node.app);
            let slow = async move {
                let password = Some(OTHER_PASSWORD.to_owned());
                match verb {
                    "create" => {
                        let body = UserCreate { username: "dora".into(), password, role: Some(Role::Owner) };
                        app.user_create(&berta, body, None).await.map(drop)
                    }
                    _ => app.user_reset_password(&berta, carl, PasswordReset { password }).await.map(drop),
                }
            };
            let path = format!("{grants}/{grant}");
            let taken = done(&admin, Method::DELETE, &path, Value::Null);
            assert_eq!(node.overtaken(slow, taken).await.unwrap_err().code, "forbidden", "{verb}");
        }
        assert_eq!(in_child.listed("users").await.len(), 1, "nobody was added");
    }
}
