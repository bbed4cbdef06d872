//! Tenants in a tree, users, what they may do, and their keys.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use drover_testkit::{Profile, ServerOptions, SimClock, TestServer, answer, on_both_profiles, on_the_local_profile};
use reqwest::Method;
use serde_json::{Value, json};

use crate::person::{PASSWORD, Person, log_in, role, role_over};

on_both_profiles! {
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
        let key = admin.key(json!({ "scopes": ["users:read", "users:write"] })).await;
        let (anna, as_anna) = admin.add("anna", &[]).await;
        let disable = json!({ "disabled": true });
        // It puts nobody out of the way who may do more.
        key.call(Method::PUT, &format!("users/{owner}"), disable.clone()).await.problem(403, "forbidden");
        key.delete(&format!("users/{owner}")).await.problem(403, "forbidden");
        as_anna.get("devices").await.problem(403, "forbidden");
        assert_eq!(as_anna.get("auth/logins").await.status, 200, "the own account needs no grant");
        // The same for people who own only a part.
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        let (_, berta) = admin.add("berta", &[json!({ "role": "owner", "scope": { "tenant_id": child } })]).await;
        let carl = berta.within(&child).make("users", json!({ "username": "carl", "password": PASSWORD })).await;
        let beyond = json!({ "role": "viewer", "scope": { "tenant_id": me["tenant_id"] } });
        let in_child = berta.within(&child);
        in_child.call(Method::POST, &format!("users/{carl}/grants"), beyond).await.problem(403, "forbidden");
        admin.within(&child).get(&format!("users/{owner}")).await.problem(404, "not_found");

        let in_lab = json!({ "role": "viewer", "scope": { "group_id": group } });
        admin.make(&format!("users/{anna}/grants"), in_lab).await;
        admin.make(&format!("users/{anna}/grants"), role("owner")).await;
        let again = admin.call(Method::POST, &format!("users/{anna}/grants"), role("owner")).await;
        assert_eq!(again.status, 201);
        assert_eq!(admin.get(&format!("users/{anna}/grants")).await.json::<Value>().as_array().map(Vec::len), Some(2));
    }

    /// Else whoever found a key would be rid of its expiry, its addresses and its revocation.
    async fn a_key_makes_nothing_that_outlives_it(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let owner = admin.listed("users").await.into_iter().next().expect("the first user");
        let (anna, _) = admin.add("anna", &[role("viewer")]).await;
        let key = admin.key(json!({})).await;
        let disable = |disabled: bool| json!({ "disabled": disabled });
        for (method, path, body) in [
            (Method::POST, "users".to_owned(), json!({ "username": "berta", "password": PASSWORD, "role": "owner" })),
            (Method::POST, "users".to_owned(), json!({ "username": "berta" })),
            (Method::POST, format!("users/{owner}/password"), Value::Null),
            (Method::POST, format!("users/{anna}/password"), json!({ "password": PASSWORD })),
            (Method::POST, format!("users/{anna}/grants"), role("owner")),
            (Method::PUT, format!("users/{anna}"), json!({ "username": "admina" })),
            (Method::PUT, format!("users/{anna}"), disable(false)),
            (Method::POST, "api-keys".to_owned(), json!({ "name": "more" })),
        ] {
            let problem = key.call(method, &path, body).await.problem(403, "needs_login");
            assert!(problem.detail.is_some_and(|detail| detail.contains("drover login")));
        }
        assert_eq!(admin.listed("users").await.len(), 2);
        // What takes something away is done.
        assert_eq!(key.call(Method::PUT, &format!("users/{anna}"), disable(true)).await.status, 200);
        let grants = admin.grants_of(&anna).await;
        assert_eq!(key.delete(&format!("users/{anna}/grants/{}", grants[0])).await.status, 204);
        assert_eq!(key.delete(&format!("users/{anna}")).await.status, 204);
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
        assert!(statuses == [200, 403] || statuses == [200, 401], "{} {}", first.text(), second.text());
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
            let made = admin.key(limits).await;
            assert!(made.token.starts_with("drk_") && made.token.len() == 96, "{}", made.token);
            made
        };
        let reader = key(json!({ "scopes": ["devices:read"] })).await;
        assert_eq!(reader.listed("devices").await.len(), 2);
        reader.get("groups").await.problem(403, "forbidden");
        let lab_only = key(json!({ "group_id": lab })).await;
        assert_eq!(lab_only.listed("devices").await, BTreeSet::from([devices[0].clone()]));
        lab_only.get(&format!("devices/{}", devices[1])).await.problem(404, "not_found");
        lab_only.get("users").await.problem(403, "forbidden");
        // A group is one of its own tenant: in a tenant below such a key has nothing to look for.
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        assert_eq!(reader.within(&child).get("devices").await.status, 200);
        for path in ["devices", "firmware", "objects", "release-keys", "auth/me"] {
            lab_only.within(&child).get(path).await.problem(404, "not_found");
        }
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
        // Names are what users and programs find a tenant by: nobody moves his own.
        let rename = json!({ "name": "branch" });
        admin.call(Method::PUT, &format!("tenants/{home}"), rename.clone()).await.problem(409, "own_tenant");
        anna.call(Method::PUT, &format!("tenants/{child}"), rename.clone()).await.problem(409, "own_tenant");
        let seen = anna.get(&format!("tenants/{child}")).await.json::<Value>();
        assert_eq!((&seen["name"], &seen["parent_id"]), (&json!("child"), &Value::Null), "nothing above is there");
        assert_eq!(admin.get(&format!("tenants/{child}")).await.json::<Value>()["parent_id"], home.as_str());
        let renamed = admin.call(Method::PUT, &format!("tenants/{child}"), rename).await;
        assert_eq!(renamed.json::<Value>()["name"], "branch");
        log_in(&server, "branch", "anna").await;
        let (id, _) = admin.add("berta", &[json!({ "role": "viewer", "scope": { "tenant_id": child } })]).await;
        let berta = log_in(&server, "default", "berta").await;
        berta.get("groups").await.problem(403, "forbidden");
        assert_eq!(berta.within(&child).listed("groups").await.len(), 1);
        let outside = json!({ "role": "viewer", "scope": { "tenant_id": stranger.id } });
        admin.call(Method::POST, &format!("users/{id}/grants"), outside).await.problem(403, "forbidden");
    }

    async fn a_name_that_no_database_takes_is_nobodys(profile: Profile) {
        let server = TestServer::start(profile).await;
        for body in [
            json!({ "username": "a\u{0}", "password": "x" }),
            json!({ "tenant": "\u{0}", "username": "admin", "password": "x" }),
        ] {
            answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await.problem(401, "login_failed");
        }
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

    /// The server's troubles are no failures of whoever logs in.
    async fn what_the_server_could_not_judge_is_no_wrong_password(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = Person::admin(&server);
        let tenant = server.admin().whoami().await.unwrap().tenant_id;
        let (anna, _) = admin.add("anna", &[]).await;
        let anna: drover_types::UserId = anna.parse().unwrap();
        let db = server.db().db();
        let right = drover_store::users::get(db, tenant, anna).await.unwrap().expect("she is there").password_hash;
        let set = async |hash: String| {
            let write = drover_db::Writer::start(db.clone());
            write
                .write(move |tx| Box::pin(async move { drover_store::users::set_password(tx, tenant, anna, &hash).await }))
                .await
                .unwrap();
        };
        set("no hash at all".to_owned()).await;
        let body = json!({ "username": "anna", "password": PASSWORD });
        for _ in 0..9 {
            answer(server.request(Method::POST, "/api/v1/auth/login").json(&body)).await.problem(500, "internal");
        }
        set(right).await;
        log_in(&server, "default", "anna").await;
    }

    async fn a_repeated_request_for_a_user_remembers_no_password(profile: Profile) {
        let server = TestServer::start(profile).await;
        let make = |username: &str, password: &str| {
            let request = server.admin_request(Method::POST, "/api/v1/users").header("idempotency-key", "one");
            answer(request.json(&json!({ "username": username, "password": password })))
        };
        let first: Value = make("anna", PASSWORD).await.json();
        let again = make("anna", "another password").await;
        assert_eq!((again.status, again.json::<Value>()), (201, first), "a digest with the password would differ");
        make("berta", PASSWORD).await.problem(422, "idempotency_key_reused");
        log_in(&server, "default", "anna").await;
    }
}
