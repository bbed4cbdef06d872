//! Firmware: signed, checked, published, fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_api::{FirmwareFilter, ObjectFilter};
use drover_testkit::{Profile, ReleaseBuilder, TestServer, answer, on_both_profiles, private_key, refused};
use drover_types::{FirmwareState, KeyAlgorithm};
use reqwest::Method;
use serde_json::{Value, json};

use crate::scene::{Scene, assert_refused};

on_both_profiles! {
    async fn keys_of_every_algorithm_publish(profile: Profile) {
        let server = TestServer::start(profile).await;
        for (counter, algorithm) in (1..).zip(KeyAlgorithm::ALL) {
            let key = private_key(*algorithm);
            server.trust(&key).await;
            let release = ReleaseBuilder::new(&format!("1.{counter}.0"), counter).sign(&key);
            let firmware = server.publish(&release).await;
            assert_eq!(firmware.state, FirmwareState::Published, "{algorithm}");
            assert_eq!(firmware.signed_by, key.public_key().fingerprint(), "{algorithm}");
            assert_eq!(firmware.checksum, release.manifest_sha256(), "{algorithm}");
        }
    }

    async fn it_has_the_fields_of_the_catalogue(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let mut builder =
            ReleaseBuilder::new("2.0.0", 20).min_version("1.0.0").dependency("radio", "3.1.0", Some("4.0.0"));
        builder.manifest.release_notes = Some("Brakes sooner.".to_owned());
        builder.manifest.metadata.insert("ticket".to_owned(), json!("OTA-7"));
        let release = builder.artifact("app.bin", "0123456789").artifact("map.bin", "abcde").sign(&scene.key);
        let firmware = scene.server.publish(&release).await;
        let path = format!("/api/v1/firmware/{}", firmware.id);
        let seen: Value = answer(scene.server.admin_request(Method::GET, &path)).await.json();
        assert_eq!(seen["version"], "2.0.0");
        assert_eq!(
            (&seen["name"], &seen["device_type"], &seen["component"]),
            (&json!("app"), &json!("truck"), &json!("main"))
        );
        assert_eq!((&seen["file_size"], &seen["release_counter"]), (&json!(15), &json!(20)));
        assert_eq!(seen["checksum"], release.manifest_sha256().to_string());
        assert_eq!(seen["signature"], json!(release.manifest_bundle));
        assert_eq!(seen["storage_path"], "firmware/truck/main/v2.0.0");
        assert_eq!(seen["metadata"]["release_notes"], "Brakes sooner.");
        assert_eq!(seen["metadata"]["min_version"], "1.0.0");
        let dependency = json!({ "component": "radio", "min_version": "3.1.0", "below_version": "4.0.0" });
        assert_eq!(seen["metadata"]["dependencies"], json!([dependency]));
        assert_eq!(seen["metadata"]["extra"]["ticket"], "OTA-7");
        assert!(seen["created_at"].is_string() && seen["published_at"].is_string());
        assert_eq!(seen["artifacts"][1]["name"], "map.bin");
        let names = scene.admin.objects(&ObjectFilter::default(), 10).await.unwrap().items;
        let names: Vec<_> = names.iter().map(|object| object.object_key.as_str()).collect();
        assert_eq!(names[1..], ["firmware/truck/main/v2.0.0/app.bin", "firmware/truck/main/v2.0.0/map.bin"]);
    }

    async fn what_is_not_signed_by_a_pinned_key_is_refused(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let good = ReleaseBuilder::new("2.0.0", 20).sign(&scene.key).create_body();
        let mut bad = Vec::new();
        // One byte of the manifest is another.
        let tampered = String::from_utf8(STANDARD.decode(&good.manifest).unwrap()).unwrap().replace("2.0.0", "2.0.1");
        bad.push(("tampered", drover_api::FirmwareCreate { manifest: STANDARD.encode(tampered), ..good.clone() }));
        // The signature of another release.
        let other = ReleaseBuilder::new("2.1.0", 21).sign(&scene.key).create_body();
        let manifest_bundle = other.manifest_bundle.clone();
        bad.push(("of another release", drover_api::FirmwareCreate { manifest_bundle, ..good.clone() }));
        // A key that nobody added.
        let stranger = private_key(KeyAlgorithm::EcdsaP256);
        bad.push(("unknown key", ReleaseBuilder::new("2.0.0", 20).sign(&stranger).create_body()));
        // The same, with its public key in the bundle, in each place that a bundle has for one.
        let own: Value =
            serde_json::from_str(&ReleaseBuilder::new("2.0.0", 20).sign(&stranger).manifest_bundle).unwrap();
        let der: String = stranger.public_key().to_pem().lines().filter(|line| !line.starts_with("---")).collect();
        for material in [
            json!({ "publicKey": { "hint": der, "rawBytes": der } }),
            json!({ "certificate": { "rawBytes": der } }),
            json!({ "x509CertificateChain": { "certificates": [{ "rawBytes": der }] } }),
        ] {
            let mut bundle = own.clone();
            bundle["verificationMaterial"] = material;
            bad.push(("own key", drover_api::FirmwareCreate { manifest_bundle: bundle.to_string(), ..good.clone() }));
        }
        for bundle in ["", "{}", "not a bundle"] {
            bad.push(("no bundle", drover_api::FirmwareCreate { manifest_bundle: bundle.to_owned(), ..good.clone() }));
        }
        for (what, body) in bad {
            let request = scene.server.admin_request(Method::POST, "/api/v1/firmware").json(&body);
            let problem = refused(request, 422, "manifest_refused").await;
            assert!(problem.detail.unwrap().starts_with("the signed manifest is refused: "), "{what}");
        }
        assert_refused!(
            scene
                .admin
                .create_firmware(&drover_api::FirmwareCreate { manifest: "***".to_owned(), ..good.clone() })
                .await,
            422,
            "invalid"
        );
        assert_eq!(
            scene.admin.firmware_list(&FirmwareFilter::default(), 10).await.unwrap().items.len(),
            1,
            "nothing was kept"
        );
        scene.admin.create_firmware(&good).await.expect("the good one is taken");
    }

    async fn artifacts_need_signatures_of_their_own(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let good = ReleaseBuilder::new("2.0.0", 20).artifact("a.bin", "a").artifact("b.bin", "b").sign(&scene.key);
        let change = |change: fn(&mut Vec<drover_api::ArtifactUpload>)| {
            let mut body = good.create_body();
            change(&mut body.artifacts);
            body
        };
        let bad = [
            change(|artifacts| artifacts[0].bundle = None),
            change(|artifacts| artifacts[0].bundle = artifacts[1].bundle.clone()),
            change(|artifacts| drop(artifacts.pop())),
            change(|artifacts| artifacts[1].name.replace_range(.., "c.bin")),
        ];
        for body in bad {
            assert_refused!(scene.admin.create_firmware(&body).await, 422, "invalid");
        }
        // An Ed25519 manifest binds them by their digests.
        let ed25519 = private_key(KeyAlgorithm::Ed25519);
        scene.server.trust(&ed25519).await;
        let bound = ReleaseBuilder::new("2.0.0", 20).artifact("a.bin", "a").sign(&ed25519).create_body();
        assert!(bound.artifacts.iter().all(|artifact| artifact.bundle.is_none()));
        scene.admin.create_firmware(&bound).await.unwrap();
    }

    async fn a_key_that_was_revoked_meanwhile_publishes_nothing(profile: Profile) {
        let server = TestServer::start(profile).await;
        let key = private_key(KeyAlgorithm::EcdsaP256);
        let view = server.trust(&key).await;
        let release = ReleaseBuilder::new("1.0.0", 1).sign(&key);
        let draft = server.admin().create_firmware(&release.create_body()).await.unwrap();
        for (name, bytes) in release.artifacts() {
            assert_eq!(server.upload(&draft, name, bytes).await.status, 200);
        }
        server.admin().revoke_release_key(view.id).await.unwrap();
        assert_refused!(server.admin().publish_firmware(draft.id).await, 422, "manifest_refused");
        assert_eq!(server.admin().firmware(draft.id).await.unwrap().state, FirmwareState::Draft);
    }

    async fn a_version_and_a_counter_are_released_once(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let same_version = ReleaseBuilder::new("1.0.0", 7).sign(&scene.key).create_body();
        assert_refused!(scene.admin.create_firmware(&same_version).await, 409, "firmware_exists");
        let same_counter = ReleaseBuilder::new("1.5.0", 1).sign(&scene.key).create_body();
        let request = scene.server.admin_request(Method::POST, "/api/v1/firmware").json(&same_counter);
        assert!(refused(request, 409, "firmware_exists").await.detail.unwrap().contains("counter"));
        let other_component = ReleaseBuilder::new("1.0.0", 1).component("radio").sign(&scene.key).create_body();
        scene.admin.create_firmware(&other_component).await.unwrap();
    }

    async fn publishing_needs_every_artifact(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let release = ReleaseBuilder::new("2.0.0", 20).artifact("a.bin", "a").artifact("b.bin", "b").sign(&scene.key);
        let draft = scene.admin.create_firmware(&release.create_body()).await.unwrap();
        assert_eq!(scene.server.upload(&draft, "a.bin", b"a").await.status, 200);
        let publish = scene.server.admin_request(Method::POST, &format!("/api/v1/firmware/{}/publish", draft.id));
        assert!(refused(publish, 409, "artifacts_missing").await.detail.unwrap().contains("b.bin"));
        assert_refused!(
            scene.admin.create_rollout(&crate::scene::plan(&draft, &[100])).await,
            409,
            "firmware_not_published"
        );
        let download =
            scene.server.admin_request(Method::GET, &format!("/api/v1/firmware/{}/download?artifact=b.bin", draft.id));
        refused(download, 409, "artifacts_missing").await;
        assert_eq!(scene.server.upload(&draft, "b.bin", b"b").await.status, 200);
        let published = scene.admin.publish_firmware(draft.id).await.unwrap();
        assert_eq!(scene.admin.publish_firmware(draft.id).await.unwrap(), published, "again does nothing");
    }

    async fn a_download_leads_to_the_bytes(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let release =
            ReleaseBuilder::new("2.0.0", 20).artifact("a.bin", "0123456789").artifact("b.bin", "b").sign(&scene.key);
        let firmware = scene.server.publish(&release).await;
        let ask = |query: &str| {
            scene.server.request(Method::GET, &format!("/api/v1/firmware/{}/download{query}", firmware.id))
        };
        let token = scene.server.admin_token();
        let answered = answer(ask("?artifact=a.bin").bearer_auth(token)).await;
        assert_eq!(answered.status, 307, "{}", answered.text());
        let bytes = answer(scene.server.raw().get(answered.header("location"))).await;
        assert_eq!((bytes.status, bytes.text().as_str()), (200, "0123456789"));
        assert!(bytes.header("content-disposition").contains("a.bin"), "{}", bytes.header("content-disposition"));
        refused(ask("").bearer_auth(token), 422, "invalid").await;
        refused(ask("?artifact=c.bin").bearer_auth(token), 404, "not_found").await;
        // A device gets what it was offered, nothing else.
        let device = &scene.devices[0];
        refused(ask("?artifact=a.bin").bearer_auth(&device.token), 404, "not_found").await;
        scene.start(&firmware, &[100], |_| ()).await;
        device.check().await.expect("an offer");
        assert_eq!(answer(ask("?artifact=a.bin").bearer_auth(&device.token)).await.status, 307);
        refused(ask("?artifact=a.bin").bearer_auth(&scene.devices[1].token), 404, "not_found").await;
    }

    async fn what_rollouts_use_is_not_deleted(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        let used = scene.publish("2.0.0", 20).await;
        let draft = scene.draft(&used, &[100], |_| ()).await;
        assert_refused!(scene.admin.delete_firmware(used.id).await, 409, "firmware_in_use");
        assert_eq!(scene.admin.rollout(draft.id).await.unwrap().firmware_id, used.id);

        scene.admin.delete_firmware(scene.first.id).await.unwrap();
        assert_refused!(scene.admin.firmware(scene.first.id).await, 404, "not_found");
        let names = scene.admin.objects(&ObjectFilter::default(), 10).await.unwrap().items;
        assert!(names.iter().all(|object| object.object_key.contains("v2.0.0")), "{names:?}");
        // The same release can come anew.
        scene.publish("1.0.0", 1).await;
    }

    async fn lists_are_filtered(profile: Profile) {
        let scene = Scene::new(profile, 0).await;
        scene.publish("1.1.0", 2).await;
        scene.server.publish(&ReleaseBuilder::new("1.0.0", 1).component("radio").sign(&scene.key)).await;
        let count = async |filter: FirmwareFilter| scene.admin.firmware_list(&filter, 10).await.unwrap().items.len();
        let filter = FirmwareFilter::default;
        assert_eq!(count(filter()).await, 3);
        assert_eq!(count(FirmwareFilter { component: "radio".parse().ok(), ..filter() }).await, 1);
        assert_eq!(count(FirmwareFilter { version: "1.0.0".parse().ok(), ..filter() }).await, 2);
        assert_eq!(count(FirmwareFilter { device_type: Some("robot".into()), ..filter() }).await, 0);
    }

    async fn only_devices_that_fit_are_taken(profile: Profile) {
        let scene = Scene::new(profile, 4).await;
        let [old, no_radio, old_radio, fits] = &scene.devices[..] else { panic!("four devices") };
        let report = |component: &str, version: &str| drover_protocol::ComponentReport {
            component: component.parse().unwrap(),
            version: version.parse().ok(),
            manifest_sha256: None,
        };
        old.heartbeat(vec![report("main", "0.9.0"), report("radio", "3.1.0")]).await;
        old_radio.heartbeat(vec![report("radio", "3.0.9")]).await;
        fits.heartbeat(vec![report("radio", "3.1.0")]).await;
        let builder = ReleaseBuilder::new("2.0.0", 20).min_version("1.0.0").dependency("radio", "3.1.0", Some("4.0.0"));
        let firmware = scene.server.publish(&builder.sign(&scene.key)).await;
        scene.start(&firmware, &[100], |_| ()).await;
        assert!(old.check().await.is_none(), "below min_version");
        assert!(no_radio.check().await.is_none(), "without what it depends on");
        assert!(old_radio.check().await.is_none(), "with too old a version of what it depends on");
        assert_eq!(fits.check().await.expect("an offer").version, firmware.version);
        // Too new is as wrong as too old.
        let second = ReleaseBuilder::new("2.1.0", 21).dependency("radio", "1.0.0", Some("3.1.0")).sign(&scene.key);
        let second = scene.server.publish(&second).await;
        let rollout = scene.start(&second, &[100], |_| ()).await;
        let told: Vec<_> = scene.sessions(rollout.id).await.into_iter().map(|session| session.hardware_id).collect();
        assert_eq!(told, [old_radio.hardware_id.as_str()]);
    }
}
