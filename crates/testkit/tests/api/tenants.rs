//! What one tenant has, another does not see.

use std::sync::Arc;

use drover_api::{ApiKeyCreate, EnrolmentTokenCreate, GroupWrite, RolloutUpdate};
use drover_app::compose::compose;
use drover_app::{Settings, SystemRandom};
use drover_db::Writer;
use drover_testkit::{Profile, ReleaseBuilder, TestServer, answer, on_both_profiles, on_the_local_profile, refused};
use drover_types::SystemClock;
use reqwest::Method;

use crate::openapi::operations;
use crate::scene::{Scene, assert_refused};

pub(crate) async fn stored(server: &TestServer, token: &str, name: &str, bytes: &str) {
    let put = server.request(Method::PUT, &format!("/api/v1/objects/{name}"));
    let answered = answer(put.bearer_auth(token).body(bytes.to_owned())).await;
    assert_eq!(answered.status, 201, "{}", answered.text());
}

/// The id of the first thing in a list of the first tenant.
async fn first_listed(server: &TestServer, list: &str) -> String {
    let page = answer(server.admin_request(Method::GET, &format!("/api/v1/{list}"))).await;
    page.json::<serde_json::Value>()["items"][0]["id"].as_str().expect("an id").to_owned()
}

on_both_profiles! {
    async fn no_id_of_another_tenant_leads_anywhere(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let (server, admin) = (&scene.server, &scene.admin);
        let group = admin.create_group(&GroupWrite { name: "lab".into(), ..GroupWrite::default() }).await.unwrap();
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let api_key = admin.create_api_key(&ApiKeyCreate { name: "ci".into(), ..ApiKeyCreate::default() }).await.unwrap();
        let enrolment = EnrolmentTokenCreate { name: "x".into(), device_type: None, max_uses: None, expires_at: None };
        let enrolment = admin.create_enrolment_token(&enrolment).await.unwrap();
        let release_key = admin.release_keys(1).await.unwrap().items.remove(0);
        let device = scene.devices[0].id;
        let upload = crate::uploads::begin(server, server.admin_token(), "part/1.bin").await;
        let ids = [
            ("/devices/", device.to_string()),
            ("/groups/", group.id.to_string()),
            ("/firmware/", scene.first.id.to_string()),
            ("/rollouts/", rollout.id.to_string()),
            ("/api-keys/", api_key.api_key.id.to_string()),
            ("/enrolment-tokens/", enrolment.enrolment_token.id.to_string()),
            ("/uploads/", upload.id.to_string()),
            ("/release-keys/", release_key.id.to_string()),
            ("/tenants/", admin.whoami().await.unwrap().tenant_id.to_string()),
            ("/users/", first_listed(server, "users").await),
            ("/logins/", first_listed(server, "auth/logins").await),
        ];
        let other = server.add_tenant("other").await;
        let mut checked = 0;
        for operation in operations(server).await {
            // What devices do is bound to the device that the credential proves.
            if !operation.path.contains("{id}") || operation.id == "device_status" {
                continue;
            }
            let (_, id) = ids.iter().find(|(part, _)| operation.path.contains(part)).expect("an id for each noun");
            let path = operation.path.replace("{id}", id).replace("{device_id}", &device.to_string());
            let path = path.replace("{name}", "app.bin").replace("{number}", "1").replace("{tag}", "x");
            let path = path.replace("{grant_id}", &device.to_string());
            let request = server.request(operation.method.clone(), &path).bearer_auth(&other.token);
            let request = match crate::openapi::fair_body(&operation) {
                Some(body) => request.json(&body),
                None => request,
            };
            let answered = answer(request).await;
            assert_eq!(answered.status, 404, "{}: {}", operation.id, answered.text());
            answered.problem(404, "not_found");
            checked += 1;
        }
        assert!(checked > 20, "{checked}");
        // And nothing of it happened.
        assert_eq!(admin.rollout(rollout.id).await.unwrap().status, rollout.status);
        assert!(admin.device(device).await.is_ok() && admin.group(group.id).await.is_ok());
        assert!(server.stranger().with_token(&api_key.token).whoami().await.is_ok());
    }

    async fn lists_hold_only_what_is_ones_own(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        scene.roll_out(&[100], |_| ()).await;
        crate::uploads::begin(&scene.server, scene.server.admin_token(), "part/1.bin").await;
        stored(&scene.server, scene.server.admin_token(), "firmware/a.bin", "ours").await;
        let other = scene.server.add_tenant("other").await;
        assert_eq!(other.admin.whoami().await.unwrap().tenant_id, other.id);
        for list in
            ["devices", "groups", "firmware", "rollouts", "api-keys", "enrolment-tokens", "release-keys", "objects", "uploads"]
        {
            let request = scene.server.request(Method::GET, &format!("/api/v1/{list}")).bearer_auth(&other.token);
            let page: serde_json::Value = answer(request).await.json();
            assert_eq!(page, serde_json::json!({ "items": [] }), "{list}");
        }
    }

    async fn what_refers_to_another_tenants_things_is_refused(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let group = GroupWrite { name: "lab".into(), ..GroupWrite::default() };
        let group = scene.admin.create_group(&group).await.unwrap();
        let other = scene.server.add_tenant("other").await;
        let theirs = GroupWrite { name: "lab".into(), ..GroupWrite::default() };
        let theirs = other.admin.create_group(&theirs).await.unwrap();
        assert_ne!(group.id, theirs.id, "the same name in both tenants");
        assert_refused!(other.admin.add_to_group(theirs.id, vec![scene.devices[0].id]).await, 422, "invalid");
        let rollout = crate::scene::plan(&scene.first, &[100]);
        assert_refused!(other.admin.create_rollout(&rollout).await, 422, "invalid");
        let draft = scene.draft(&scene.first, &[100], |_| ()).await;
        let foreign = RolloutUpdate { target_groups: Some(vec![theirs.id]), ..RolloutUpdate::default() };
        assert_refused!(scene.admin.update_rollout(draft.id, &foreign).await, 422, "invalid");
        // Another tenant's release keys sign nothing here.
        let release = ReleaseBuilder::new("3.0.0", 30).sign(&scene.key);
        assert_refused!(other.admin.create_firmware(&release.create_body()).await, 422, "manifest_refused");
    }

    async fn the_same_name_is_another_object_in_each_tenant(profile: Profile) {
        let server = TestServer::start(profile).await;
        let other = server.add_tenant("other").await;
        stored(&server, server.admin_token(), "firmware/a.bin", "ours").await;
        stored(&server, &other.token, "firmware/a.bin", "theirs").await;
        for (client, content) in [(server.admin(), "ours"), (other.admin, "theirs")] {
            let body = drover_api::PresignRequest { object_key: "firmware/a.bin".into(), expires_in: None };
            let url = client.presign(&body).await.unwrap().url;
            assert_eq!(answer(server.raw().get(url)).await.text(), content);
        }
    }
}

on_both_profiles! {
    /// Whatever it is called: an installation begins once.
    async fn an_installation_without_the_name_default_is_not_begun_again(profile: Profile) {
        let server = TestServer::start(profile).await;
        let own = server.admin().whoami().await.unwrap().tenant_id;
        let writer = Writer::start(server.db().db().clone());
        let renamed = writer.write(move |tx| Box::pin(async move { drover_store::tenants::rename(tx, own, "acme").await }));
        renamed.await.unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let app = compose(server.backends(), Settings::default(), clock, random).await.unwrap();
        assert!(app.first_start().await.unwrap().is_none());
        assert_eq!(server.count("tenants").await, 1);
    }
}

on_the_local_profile! {
    async fn a_forged_tenant_in_a_token_is_refused(profile: Profile) {
        let server = TestServer::start(profile).await;
        let other = server.add_tenant("other").await;
        let parts: Vec<&str> = server.admin_token().split('.').collect();
        let forged = format!("{}.{}.{}.{}", parts[0], other.id.0.simple(), parts[2], parts[3]);
        refused(server.request(Method::GET, "/api/v1/auth/me").bearer_auth(forged), 401, "unauthenticated").await;
    }
}
