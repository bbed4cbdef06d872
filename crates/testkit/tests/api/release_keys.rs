//! Public keys that may sign firmware.

use drover_api::ReleaseKeyCreate;
use drover_testkit::{Profile, TestServer, on_both_profiles, on_the_local_profile, private_key};
use drover_types::KeyAlgorithm;

use crate::scene::assert_refused;

on_both_profiles! {
    async fn keys_of_every_algorithm_are_added_once(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        for algorithm in KeyAlgorithm::ALL {
            let key = private_key(*algorithm);
            let view = server.trust(&key).await;
            assert_eq!((view.algorithm, view.fingerprint), (*algorithm, key.public_key().fingerprint()));
            assert_eq!((view.public_key, view.revoked_at), (key.public_key().to_pem(), None));
            let body = ReleaseKeyCreate { name: "again".to_owned(), public_key: key.public_key().to_pem() };
            assert_refused!(admin.add_release_key(&body).await, 409, "key_exists");
        }
        assert_eq!(admin.release_keys(10).await.unwrap().items.len(), KeyAlgorithm::ALL.len());
    }

    async fn a_revoked_key_stays_revoked(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        let key = private_key(KeyAlgorithm::EcdsaP256);
        let view = server.trust(&key).await;
        admin.revoke_release_key(view.id).await.unwrap();
        assert!(admin.release_keys(10).await.unwrap().items[0].revoked_at.is_some());
        assert_refused!(admin.revoke_release_key(view.id).await, 404, "not_found");
        let body = ReleaseKeyCreate { name: "again".to_owned(), public_key: key.public_key().to_pem() };
        assert_refused!(admin.add_release_key(&body).await, 409, "key_exists");
    }
}

on_the_local_profile! {
    async fn only_public_keys_are_keys(profile: Profile) {
        let server = TestServer::start(profile).await;
        let private = private_key(KeyAlgorithm::EcdsaP256).to_pem();
        for public_key in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &private] {
            let body = ReleaseKeyCreate { name: "x".to_owned(), public_key: public_key.to_owned() };
            assert_refused!(server.admin().add_release_key(&body).await, 422, "invalid");
        }
    }
}
