//! Tenants in a tree, users, what they may do, and their keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drover_testkit::{
    Answer, Profile, ServerOptions, SimClock, TestServer, answer, on_both_profiles, on_the_local_profile,
};
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// Somebody with a token, who works in a tenant.
#[derive(Clone)]
struct Person<'s> {
    server: &'s TestServer,
    token: String,
    tenant: Option<String>,
}

impl<'s> Person<'s> {
    fn admin(server: &'s TestServer) -> Self {
        Self { server, token: server.admin_token().to_owned(), tenant: None }
    }

    /// The same person at work in another tenant.
    fn within(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let mut request = self.server.request(method, &format!("/api/v1/{path}")).bearer_auth(&self.token);
        if let Some(tenant) = &self.tenant {
            request = request.header("drover-tenant", tenant);
        }
        answer(if body.is_null() { request } else { request.json(&body) }).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Value::Null).await
    }

    /// Makes something and gives its id.
    async fn make(&self, path: &str, body: Value) -> String {
        let made = self.call(Method::POST, path, body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let made: Value = made.json();
        let id = [&made["id"], &made["user"]["id"], &made["api_key"]["id"]].into_iter().find(|id| id.is_string());
        id.expect("an id").as_str().expect("a text").to_owned()
    }

    /// Adds a user of this person's tenant with these grants, and logs in.
    async fn add(&self, name: &str, grants: &[Value]) -> (String, Self) {
        let id = self.make("users", json!({ "username": name, "password": PASSWORD })).await;
        for grant in grants {
            self.make(&format!("users/{id}/grants"), grant.clone()).await;
        }
        (id, log_in(self.server, "default", name).await)
    }

    async fn listed(&self, path: &str) -> BTreeSet<String> {
        let list = self.get(path).await;
        assert_eq!(list.status, 200, "{path}: {}", list.text());
        let items = list.json::<Value>()["items"].as_array().expect("items").clone();
        items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
    }
}

async fn log_in<'s>(server: &'s TestServer, tenant: &str, name: &str) -> Person<'s> {
    let body = json!({ "tenant": tenant, "username": name, "password": PASSWORD });
    let reply = answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let token = reply.json::<Value>()["token"].as_str().expect("a token").to_owned();
    Person { server, token, tenant: None }
}

fn role(role: &str) -> Value {
    json!({ "role": role })
}

fn role_over(role: &str, group: &str) -> Value {
    json!({ "role": role, "scope": { "group_id": group } })
}

/// Numbers that look drawn and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

on_both_profiles! {
    /// Random grants over random groups: what is listed is exactly what can be looked at, and changed is only what a grant
    /// with that very permission covers.
    async fn lists_show_what_can_be_looked_at_and_nothing_else(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let devices: Vec<String> = server.devices(6, None).await.iter().map(|device| device.id.to_string()).collect();
        let mut draw = Draw(4);
        let mut groups: Vec<(String, Option<usize>)> = Vec::new();
        let mut members: Vec<BTreeSet<usize>> = Vec::new();
        for n in 0..6 {
            let parent = (n > 0 && draw.below(3) > 0).then(|| draw.below(n));
            let parent_id = parent.map(|parent| groups[parent].0.clone());
            let id = admin.make("groups", json!({ "name": format!("group-{n}"), "parent_id": parent_id })).await;
            let inside: BTreeSet<usize> = (0..2).map(|_| draw.below(devices.len())).collect();
            let ids: Vec<&String> = inside.iter().map(|device| &devices[*device]).collect();
            let added = admin.call(Method::POST, &format!("groups/{id}/devices"), json!({ "device_ids": ids })).await;
            assert!(added.status < 300, "{}", added.text());
            groups.push((id, parent));
            members.push(inside);
        }
        let within = |group: usize, root: usize| {
            let above = std::iter::successors(Some(group), |group| groups[*group].1);
            above.into_iter().any(|group| group == root)
        };
        for n in 0..6 {
            let roles = ["viewer", "operator", "fleet-admin"];
            let grants: Vec<(&str, usize)> =
                (0..=draw.below(3)).map(|_| (roles[draw.below(3)], draw.below(groups.len()))).collect();
            let bodies: Vec<Value> = grants.iter().map(|(role, group)| role_over(role, &groups[*group].0)).collect();
            let (_, person) = admin.add(&format!("user-{n}"), &bodies).await;
            let covered = |allowed: &[&str], device: usize| {
                let roots = grants.iter().filter(|(role, _)| allowed.contains(role));
                let mut inside = roots.flat_map(|(_, root)| (0..groups.len()).filter(move |group| within(*group, *root)));
                inside.any(|group| members[group].contains(&device))
            };
            let listed = person.listed("devices?limit=500").await;
            for (device, id) in devices.iter().enumerate() {
                let path = format!("devices/{id}");
                let seen = covered(&roles, device);
                let what = format!("device {device} for {grants:?} of {groups:?} with {members:?}");
                assert_eq!(listed.contains(id), seen, "{what}");
                assert_eq!(person.get(&path).await.status, if seen { 200 } else { 404 }, "{what}");
                // Never the permission of one grant with the scope of another.
                let changed = person.call(Method::PUT, &path, json!({ "metadata": { "by": n } })).await;
                let may_write = grants.iter().any(|(role, _)| *role != "viewer");
                let expected = match (may_write, covered(&["operator", "fleet-admin"], device)) {
                    (false, _) => 403,
                    (true, true) => 200,
                    (true, false) => 404,
                };
                assert_eq!(changed.status, expected, "{what}");
            }
            let listed = person.listed("groups?limit=500").await;
            for (group, (id, _)) in groups.iter().enumerate() {
                let seen = grants.iter().any(|(_, root)| within(group, *root));
                assert_eq!(listed.contains(id), seen, "group {group} for {grants:?}");
                assert_eq!(person.get(&format!("groups/{id}")).await.status, if seen { 200 } else { 404 });
            }
        }
    }

    async fn a_scope_of_groups_reaches_nothing_of_the_tenant_as_a_whole(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let devices: Vec<String> = server.devices(2, None).await.iter().map(|device| device.id.to_string()).collect();
        let own = admin.make("groups", json!({ "name": "own" })).await;
        let other = admin.make("groups", json!({ "name": "other" })).await;
        for (group, device) in [(&own, &devices[0]), (&other, &devices[1]), (&other, &devices[0])] {
            admin.call(Method::POST, &format!("groups/{group}/devices"), json!({ "device_ids": [device] })).await;
        }
        let (_, anna) = admin.add("anna", &[role_over("fleet-admin", &own)]).await;
        let device: Value = anna.get(&format!("devices/{}", devices[0])).await.json();
        assert_eq!(device["group_ids"], json!([own]), "of its groups, those in reach");
        for path in ["users", "api-keys", "tenants", "enrolment-tokens"] {
            anna.get(path).await.problem(403, "forbidden");
        }
        // Nothing is drawn into reach.
        let add = anna.call(Method::POST, &format!("groups/{own}/devices"), json!({ "device_ids": [devices[1]] })).await;
        add.problem(422, "invalid");
        let put = |groups: Value| {
            let path = format!("devices/{}", devices[0]);
            let anna = anna.clone();
            async move { anna.call(Method::PUT, &path, json!({ "group_ids": groups })).await }
        };
        put(json!([own, other])).await.problem(422, "invalid");
        put(json!([])).await.problem(422, "invalid");
        assert_eq!(put(json!([own])).await.status, 200);
        let device: Value = admin.get(&format!("devices/{}", devices[0])).await.json();
        assert_eq!(device["group_ids"].as_array().map(Vec::len), Some(2), "what is out of reach stays as it was");
        anna.call(Method::POST, "groups", json!({ "name": "top" })).await.problem(422, "invalid");
        let below = anna.make("groups", json!({ "name": "below", "parent_id": own })).await;
        let to_top = anna.call(Method::PUT, &format!("groups/{below}/parent"), json!({ "parent_id": null })).await;
        to_top.problem(422, "invalid");
        anna.call(Method::PUT, &format!("groups/{own}/parent"), json!({ "parent_id": below })).await.problem(422, "invalid");
        admin.call(Method::DELETE, &format!("groups/{own}"), Value::Null).await.problem(409, "group_not_empty");
    }

    async fn nobody_gives_what_he_does_not_have(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let group = admin.make("groups", json!({ "name": "lab" })).await;
        let me: Value = admin.get("auth/me").await.json();
        let owner = admin.listed("users").await.into_iter().next().expect("the first user");
        assert_eq!(me["rights"].as_array().map(Vec::len), Some(1));
        // A key of the owner that may administer users, and nothing else.
        let body = json!({ "name": "provisioning", "scopes": ["users:read", "users:write"] });
        let made = admin.call(Method::POST, "api-keys", body).await;
        let token = made.json::<Value>()["token"].as_str().expect("a token").to_owned();
        let key = Person { token, ..admin.clone() };
        let (anna, as_anna) = key.add("anna", &[]).await;
        for grant in [role("viewer"), role("owner"), role_over("viewer", &group)] {
            key.call(Method::POST, &format!("users/{anna}/grants"), grant).await.problem(403, "forbidden");
        }
        // Nor does it get in by a new password, or by putting the owner out of the way.
        key.call(Method::POST, &format!("users/{owner}/password"), Value::Null).await.problem(403, "forbidden");
        key.call(Method::PUT, &format!("users/{owner}"), json!({ "disabled": true })).await.problem(403, "forbidden");
        key.call(Method::POST, "api-keys", json!({ "name": "more" })).await.problem(403, "forbidden");
        as_anna.get("devices").await.problem(403, "forbidden");
        assert_eq!(as_anna.get("auth/logins").await.status, 200, "the own account needs no grant");

        admin.make(&format!("users/{anna}/grants"), role("owner")).await;
        key.call(Method::POST, &format!("users/{anna}/password"), Value::Null).await.problem(403, "forbidden");
        let again = admin.call(Method::POST, &format!("users/{anna}/grants"), role("owner")).await;
        assert_eq!(again.status, 201);
        assert_eq!(admin.get(&format!("users/{anna}/grants")).await.json::<Value>().as_array().map(Vec::len), Some(1));
    }

    async fn a_tenant_keeps_an_owner(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let owner = admin.listed("users").await.into_iter().next().expect("the first user");
        let grant = admin.get(&format!("users/{owner}/grants")).await.json::<Value>()[0]["id"].clone();
        let grant = grant.as_str().expect("an id");
        let disable = json!({ "disabled": true });
        let path = format!("users/{owner}");
        let grant_path = format!("users/{owner}/grants/{grant}");
        admin.call(Method::PUT, &path, disable.clone()).await.problem(409, "last_owner");
        admin.call(Method::DELETE, &path, Value::Null).await.problem(409, "last_owner");
        admin.call(Method::DELETE, &grant_path, Value::Null).await.problem(409, "last_owner");
        let (anna, as_anna) = admin.add("anna", &[role("owner")]).await;
        // Both at once would leave nobody: one of them is refused.
        let path_of_anna = format!("users/{anna}");
        let (first, second) = tokio::join!(
            admin.call(Method::PUT, &path_of_anna, disable.clone()),
            as_anna.call(Method::PUT, &path, disable.clone()),
        );
        let mut statuses = [first.status, second.status];
        statuses.sort_unstable();
        assert!(statuses == [200, 409] || statuses == [200, 401], "{} {}", first.text(), second.text());
    }

    async fn a_disabled_user_and_his_keys_stop_at_once(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let (anna, as_anna) = admin.add("anna", &[role("fleet-admin")]).await;
        let made = as_anna.call(Method::POST, "api-keys", json!({ "name": "ci" })).await;
        let token = made.json::<Value>()["token"].as_str().expect("a token").to_owned();
        let key = Person { token, ..as_anna.clone() };
        assert_eq!((as_anna.get("devices").await.status, key.get("devices").await.status), (200, 200));
        assert!(admin.get("api-keys").await.json::<Value>()["items"][0]["last_used_at"].is_string());
        let path = format!("users/{anna}");
        assert_eq!(admin.call(Method::PUT, &path, json!({ "disabled": true })).await.status, 200);
        as_anna.get("devices").await.problem(401, "unauthenticated");
        key.get("devices").await.problem(401, "unauthenticated");
        let body = json!({ "username": "anna", "password": PASSWORD });
        answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await.problem(401, "login_failed");
        assert_eq!(admin.call(Method::PUT, &path, json!({ "disabled": false })).await.status, 200);
        as_anna.get("devices").await.problem(401, "unauthenticated");
        assert_eq!(key.get("devices").await.status, 200);
        // A key follows what its maker may do now.
        let grants: Value = admin.get(&format!("{path}/grants")).await.json();
        let grant = format!("{path}/grants/{}", grants[0]["id"].as_str().expect("an id"));
        assert_eq!(admin.call(Method::DELETE, &grant, Value::Null).await.status, 204);
        key.get("devices").await.problem(403, "forbidden");
        assert_eq!(admin.call(Method::DELETE, &path, Value::Null).await.status, 204);
        key.get("devices").await.problem(401, "unauthenticated");
        admin.get(&path).await.problem(404, "not_found");
    }

    async fn keys_are_cut_by_permissions_groups_and_addresses(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let devices: Vec<String> = server.devices(2, None).await.iter().map(|device| device.id.to_string()).collect();
        let lab = admin.make("groups", json!({ "name": "lab" })).await;
        admin.call(Method::POST, &format!("groups/{lab}/devices"), json!({ "device_ids": [devices[0]] })).await;
        let key = async |limits: Value| {
            let mut body = json!({ "name": "ci" });
            body.as_object_mut().expect("an object").extend(limits.as_object().expect("an object").clone());
            let made = admin.call(Method::POST, "api-keys", body).await;
            assert_eq!(made.status, 201, "{}", made.text());
            let token = made.json::<Value>()["token"].as_str().expect("a token").to_owned();
            assert!(token.starts_with("drk_") && token.len() == 96, "{token}");
            Person { token, ..admin.clone() }
        };
        let reader = key(json!({ "scopes": ["devices:read"] })).await;
        assert_eq!(reader.listed("devices").await.len(), 2);
        reader.get("groups").await.problem(403, "forbidden");
        let lab_only = key(json!({ "group_id": lab })).await;
        assert_eq!(lab_only.listed("devices").await, BTreeSet::from([devices[0].clone()]));
        lab_only.get(&format!("devices/{}", devices[1])).await.problem(404, "not_found");
        lab_only.get("users").await.problem(403, "forbidden");
        let elsewhere = key(json!({ "addresses": ["203.0.113.0/24", "2001:db8::/32"] })).await;
        elsewhere.get("devices").await.problem(401, "unauthenticated");
        let here = key(json!({ "addresses": ["203.0.113.7", "127.0.0.0/8", "::1"] })).await;
        assert_eq!(here.get("devices").await.status, 200);
        for wrong in [json!({ "scopes": [] }), json!({ "addresses": ["somewhere"] }), json!({ "group_id": devices[0] })] {
            let mut body = json!({ "name": "ci" });
            body.as_object_mut().expect("an object").extend(wrong.as_object().expect("an object").clone());
            admin.call(Method::POST, "api-keys", body).await.problem(422, "invalid");
        }
        let (_, anna) = admin.add("anna", &[role("fleet-admin")]).await;
        let beyond = json!({ "name": "ci", "scopes": ["firmware:publish"] });
        anna.call(Method::POST, "api-keys", beyond).await.problem(422, "invalid");
    }

    async fn rights_inherit_down_the_tree_of_tenants_and_never_up(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        let leaf = admin.make("tenants", json!({ "name": "leaf", "parent_id": child })).await;
        let stranger = server.add_tenant("stranger").await;
        assert_eq!(admin.listed("tenants").await.len(), 3);
        let in_child = admin.within(&child);
        let group = in_child.make("groups", json!({ "name": "lab" })).await;
        assert!(admin.listed("groups").await.is_empty(), "a tenant's things are its own");
        admin.get(&format!("groups/{group}")).await.problem(404, "not_found");
        in_child.make("users", json!({ "username": "anna", "password": PASSWORD, "role": "owner" })).await;
        let anna = log_in(&server, "child", "anna").await;
        assert_eq!(anna.listed("groups").await.len(), 1);
        assert_eq!(anna.listed("tenants").await.len(), 2, "its own and the one below");
        assert_eq!(anna.within(&leaf).get("groups").await.status, 200);
        let home = admin.get("auth/me").await.json::<Value>()["tenant_id"].as_str().expect("an id").to_owned();
        // Above, beside, and not there at all: one answer.
        let nowhere = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b";
        for there in [home.as_str(), &stranger.id.to_string(), nowhere] {
            let problem = anna.within(there).get("groups").await.problem(404, "not_found");
            assert_eq!(problem.detail.as_deref(), Some(format!("there is no tenant {there}").as_str()));
            anna.get(&format!("tenants/{there}")).await.problem(404, "not_found");
        }
        admin.within("nonsense").get("groups").await.problem(422, "invalid");
        let device = &server.devices(1, None).await[0];
        let as_device = Person { token: device.token.clone(), ..admin.clone() };
        as_device.within(&child).get("updates/check").await.problem(404, "not_found");

        admin.call(Method::DELETE, &format!("tenants/{child}"), Value::Null).await.problem(409, "tenant_not_empty");
        assert_eq!(admin.call(Method::DELETE, &format!("tenants/{leaf}"), Value::Null).await.status, 204);
        admin.call(Method::DELETE, &format!("tenants/{home}"), Value::Null).await.problem(409, "own_tenant");
        let renamed = admin.call(Method::PUT, &format!("tenants/{child}"), json!({ "name": "branch" })).await;
        assert_eq!(renamed.json::<Value>()["name"], "branch");
        log_in(&server, "branch", "anna").await;
        let (id, _) = admin.add("berta", &[json!({ "role": "viewer", "scope": { "tenant_id": child } })]).await;
        let berta = log_in(&server, "default", "berta").await;
        berta.get("groups").await.problem(403, "forbidden");
        assert_eq!(berta.within(&child).listed("groups").await.len(), 1);
        let outside = json!({ "role": "viewer", "scope": { "tenant_id": stranger.id } });
        admin.call(Method::POST, &format!("users/{id}/grants"), outside).await.problem(403, "forbidden");
    }

    async fn passwords_and_logins_of_ones_own(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let (id, anna) = admin.add("anna", &[]).await;
        let second = log_in(&server, "default", "anna").await;
        assert_eq!(anna.listed("auth/logins").await.len(), 2);
        let change = async |old: &str, new: &str| {
            anna.call(Method::POST, "auth/password", json!({ "old_password": old, "new_password": new })).await
        };
        change("wrong", "a password of some length").await.problem(403, "wrong_password");
        change(PASSWORD, "short").await.problem(422, "invalid");
        assert_eq!(change(PASSWORD, "a password of some length").await.status, 204);
        second.get("auth/me").await.problem(401, "unauthenticated");
        assert_eq!(anna.get("auth/me").await.status, 200);
        let own = anna.listed("auth/logins").await.into_iter().next().expect("this one");
        admin.call(Method::DELETE, &format!("auth/logins/{own}"), Value::Null).await.problem(404, "not_found");
        assert_eq!(anna.call(Method::DELETE, &format!("auth/logins/{own}"), Value::Null).await.status, 204);
        anna.get("auth/me").await.problem(401, "unauthenticated");
        let reset = admin.call(Method::POST, &format!("users/{id}/password"), Value::Null).await;
        let password = reset.json::<Value>()["password"].as_str().expect("a password").to_owned();
        let body = json!({ "username": "anna", "password": password });
        assert_eq!(answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await.status, 200);
    }
}

on_the_local_profile! {
    async fn a_browser_session_works_only_for_pages_of_this_server(profile: Profile) {
        let server = TestServer::start(profile).await;
        let first = server.first_start();
        let body = json!({ "username": first.username, "password": first.password });
        let log_in = || server.request(Method::POST, "/api/v1/auth/session").json(&body);
        answer(log_in()).await.problem(403, "cross_site_request");
        answer(log_in().header("origin", "https://evil.example")).await.problem(403, "cross_site_request");
        let opened = answer(log_in().header("origin", server.url())).await;
        assert_eq!(opened.status, 200, "{}", opened.text());
        let set = opened.header("set-cookie").to_owned();
        assert!(set.starts_with("__Host-drover=dl1.") && set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{set}");
        let cookie = set.split(';').next().expect("a cookie").to_owned();
        assert!(!opened.text().contains(cookie.trim_start_matches("__Host-drover=")), "no script sees the token");
        let csrf = opened.json::<Value>()["csrf_token"].as_str().expect("a token").to_owned();
        let request = |method: Method, path: &str| server.request(method, path).header("cookie", &cookie);
        let session = answer(request(Method::GET, "/api/v1/auth/session")).await;
        assert_eq!(session.json::<Value>()["csrf_token"], csrf.as_str());

        let make = |name: &str| request(Method::POST, "/api/v1/groups").json(&json!({ "name": name }));
        answer(make("no proof")).await.problem(403, "cross_site_request");
        answer(make("no origin").header("x-csrf-token", &csrf)).await.problem(403, "cross_site_request");
        answer(make("no token").header("origin", server.url())).await.problem(403, "cross_site_request");
        let site = make("other site").header("x-csrf-token", &csrf).header("sec-fetch-site", "cross-site");
        answer(site).await.problem(403, "cross_site_request");
        let ours = make("ours").header("x-csrf-token", &csrf).header("origin", server.url());
        assert_eq!(answer(ours).await.status, 201);
        let groups: Value = answer(server.admin_request(Method::GET, "/api/v1/groups")).await.json();
        assert_eq!(groups["items"].as_array().map(Vec::len), Some(1));
        // A token in a header needs no proof: no browser adds it by itself.
        let bearer = server.admin_request(Method::POST, "/api/v1/groups").header("cookie", &cookie);
        assert_eq!(answer(bearer.json(&json!({ "name": "program" }))).await.status, 201);

        let logout = request(Method::POST, "/api/v1/auth/logout").header("x-csrf-token", &csrf);
        let ended = answer(logout.header("sec-fetch-site", "same-origin")).await;
        assert!(ended.header("set-cookie").contains("Max-Age=0"), "{}", ended.header("set-cookie"));
        answer(request(Method::GET, "/api/v1/groups")).await.problem(401, "unauthenticated");
    }

    async fn wrong_passwords_are_bounded_and_nobody_is_locked_out(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let mut options = ServerOptions::new(profile).clock(&clock);
        options.http.trust_forwarded_for = true;
        let server = options.start().await;
        let first = server.first_start();
        let attempt = async |name: &str, password: &str, from: &str| {
            let body = json!({ "username": name, "password": password });
            let request = server.request(Method::POST, "/api/v1/auth/login").header("x-forwarded-for", from).json(&body);
            answer(request).await
        };
        for name in ["admin", "nobody"] {
            let from = format!("203.0.113.{}", name.len());
            for _ in 0..5 {
                attempt(name, "wrong", &from).await.problem(401, "login_failed");
            }
            // From here on not even the right one is looked at.
            attempt(name, &first.password, &from).await.problem(429, "too_many_attempts");
        }
        assert_eq!(attempt("admin", &first.password, "198.51.100.1").await.status, 200, "the owner, from elsewhere");
        clock.advance(Duration::from_secs(2));
        assert_eq!(attempt("admin", &first.password, "203.0.113.5").await.status, 200, "and from there when time has passed");
    }
}
