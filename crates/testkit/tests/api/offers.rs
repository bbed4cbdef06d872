//! Offers: what a device is told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_testkit::{Profile, ReleaseBuilder, answer, on_both_profiles};
use drover_trust::{sha256, verify_digest, verify_manifest};
use drover_types::SessionState;

use crate::scene::Scene;

on_both_profiles! {
    async fn an_offer_has_all_that_is_needed_to_check_it(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let release =
            ReleaseBuilder::new("2.0.0", 20).artifact("a.bin", "aaa").artifact("b.bin", "bbbb").sign(&scene.key);
        let firmware = scene.server.publish(&release).await;
        let rollout = scene.start(&firmware, &[100], |_| ()).await;
        let offer = scene.devices[0].check().await.expect("an offer");
        assert_eq!((offer.rollout_id, offer.firmware_id), (rollout.id, firmware.id));
        assert_eq!((&offer.version, &offer.component), (&firmware.version, &firmware.component));
        let keys = [scene.key.public_key()];
        let manifest = STANDARD.decode(&offer.manifest).unwrap();
        let verified = verify_manifest(&manifest, offer.manifest_bundle.as_bytes(), &keys).expect("it is signed");
        assert_eq!((&verified.value, &manifest), (&release.manifest, &release.manifest_bytes));
        for (offered, (name, bytes)) in offer.artifacts.iter().zip(release.artifacts()) {
            assert_eq!((offered.name.as_str(), offered.size_bytes), (name, bytes.len() as u64));
            // The address needs no credential.
            let fetched = answer(scene.server.raw().get(&offered.url)).await;
            assert_eq!((fetched.status, fetched.body.as_slice()), (200, bytes));
            assert_eq!(offered.checksum, sha256(&fetched.body));
            verify_digest(&offered.checksum, offered.signature.as_bytes(), &keys).expect("it is signed");
        }
        assert_eq!(offer.artifacts.len(), 2);
    }

    async fn a_lost_answer_is_asked_for_again(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        let device = &scene.devices[0];
        let first = device.check().await.expect("an offer");
        let again = device.check().await.expect("the same offer");
        assert_eq!(first.session_id, again.session_id);
        device.proceed(&again, SessionState::Downloading).await;
        let resumed = device.check().await.expect("still the same, for instance after a restart");
        assert_eq!(resumed.session_id, first.session_id);
        assert_eq!(answer(scene.server.raw().get(&resumed.artifacts[0].url)).await.status, 200);
        assert_eq!(scene.sessions(rollout.id).await.len(), 1);
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().counts.in_flight, 1);
        device.proceed(&resumed, SessionState::Installing).await;
        device.commit(&resumed).await;
        assert!(device.check().await.is_none());
    }

    async fn components_are_updated_one_at_a_time(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let radio = scene.server.publish(&ReleaseBuilder::new("5.0.0", 1).component("radio").sign(&scene.key)).await;
        let main = scene.publish("1.1.0", 2).await;
        scene.start(&radio, &[100], |_| ()).await;
        scene.start(&main, &[100], |_| ()).await;
        let device = &scene.devices[0];
        let offer = device.check().await.expect("an offer");
        assert_eq!(offer.component, radio.component);
        device.install(&offer).await;
        let offer = device.check().await.expect("the other component");
        assert_eq!(offer.component, main.component);
        device.install(&offer).await;
        let view = scene.admin.device(device.id).await.unwrap();
        let versions: Vec<_> = view.components.iter().map(|one| one.version.as_ref().unwrap().to_string()).collect();
        assert_eq!(versions, ["1.1.0", "5.0.0"]);
    }
}
