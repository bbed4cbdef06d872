//! Users, their logins, and keys and tokens of every kind.

use drover_db::{Writer, on_both, unique_violation};
use drover_types::{ApiKeyId, EnrolmentTokenId, KeyAlgorithm, LoginId, ReleaseKeyId, TenantId, UserId};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::fixture::{Scope, acme, at, commit, digest, refused, uuid};
use crate::api_keys::ApiKeyRow;
use crate::enrolment_tokens::EnrolmentTokenRow;
use crate::logins::NewLogin;
use crate::release_keys::ReleaseKeyRow;
use crate::users::UserRow;
use crate::{api_keys, device_tokens, devices, enrolment_tokens, logins, release_keys, tenants, users};

pub(super) fn user(n: u16, name: &str) -> UserRow {
    UserRow {
        id: UserId(uuid(n)),
        username: name.to_owned(),
        password_hash: format!("$argon2id${n}"),
        created_at: at(n.into()),
        disabled_at: None,
    }
}

pub(super) fn api_key(n: u16) -> ApiKeyRow {
    ApiKeyRow {
        id: ApiKeyId(uuid(n)),
        name: format!("key-{n}"),
        secret_sha256: digest(7),
        user_id: Some(UserId(uuid(1))),
        scopes: Some("devices:read groups:read".to_owned()),
        group_id: None,
        addresses: Some("10.0.0.0/8".to_owned()),
        created_at: at(n.into()),
        expires_at: Some(at(500)),
        last_used_at: None,
        revoked_at: None,
    }
}

fn release_key(n: u8) -> ReleaseKeyRow {
    ReleaseKeyRow {
        id: ReleaseKeyId(uuid(n.into())),
        name: format!("release-{n}"),
        algorithm: KeyAlgorithm::EcdsaP256,
        fingerprint: digest(n),
        public_key: "-----BEGIN PUBLIC KEY-----".to_owned(),
        created_at: at(n.into()),
        revoked_at: None,
    }
}

fn enrolment_token(n: u16, max_uses: Option<i64>) -> EnrolmentTokenRow {
    EnrolmentTokenRow {
        id: EnrolmentTokenId(uuid(n)),
        name: format!("token-{n}"),
        secret_sha256: digest(8),
        device_type: Some("robot".to_owned()),
        max_uses,
        uses: 0,
        created_at: at(n.into()),
        expires_at: Some(at(100)),
        revoked_at: None,
    }
}

async fn use_at(acme: Scope<'_>, id: EnrolmentTokenId, second: i64) -> bool {
    commit!(acme.db, |tx| enrolment_tokens::use_once(tx, acme.tenant, id, at(second)))
}

on_both! {
    async fn tenants_are_found_by_name(test: TestDb) {
        let acme = acme(&test).await;
        let second = Scope::new(acme.db, 2, "second").await;
        let found = tenants::by_name(acme.db, "second").await.unwrap().unwrap();
        assert_eq!((found.tenant_id, found.name.as_str()), (second.tenant, "second"));
        assert!(tenants::by_name(acme.db, "Second").await.unwrap().is_none());
        let all: Vec<_> = tenants::all(acme.db, 10).await.unwrap().into_iter().map(|row| row.tenant_id).collect();
        assert_eq!(all, [acme.tenant, second.tenant]);
        assert_eq!(tenants::all(acme.db, 1).await.unwrap().len(), 1);
        let error = refused!(acme.db, |tx| tenants::insert(tx, drover_types::TenantId(uuid(3)), None, "acme", at(1)));
        assert_eq!(unique_violation(&error).as_deref(), Some("tenants_name_key"));
    }

    async fn users_and_their_logins(test: TestDb) {
        let acme = acme(&test).await;
        let (admin, id) = (user(10, "admin"), LoginId(uuid(11)));
        commit!(acme.db, |tx| users::insert(tx, acme.tenant, &admin));
        let error = refused!(acme.db, |tx| users::insert(tx, acme.tenant, &user(12, "admin")));
        assert_eq!(unique_violation(&error).as_deref(), Some("users_tenant_id_username_key"));
        let found = users::by_username(acme.db, acme.tenant, "admin").await.unwrap().unwrap();
        assert_eq!((found.id, found.password_hash), (admin.id, admin.password_hash));
        assert!(users::by_username(acme.db, acme.tenant, "root").await.unwrap().is_none());

        let login = NewLogin { id, user_id: admin.id, secret_sha256: digest(3), expires_at: at(100), address: None };
        commit!(acme.db, |tx| logins::insert(tx, acme.tenant, &login, at(20)));
        let found = logins::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((found.user_id, found.username.as_str()), (admin.id, "admin"));
        assert_eq!((found.secret_sha256, found.expires_at, found.revoked_at), (digest(3), at(100), None));
        for second in [30, 40] {
            commit!(acme.db, |tx| logins::revoke(tx, acme.tenant, id, at(second)));
        }
        let found = logins::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!(found.revoked_at, Some(at(30)), "the first revocation stands");

        commit!(acme.db, |tx| logins::delete_expired(tx, acme.tenant, at(100)));
        assert!(logins::get(acme.db, acme.tenant, id).await.unwrap().is_some());
        commit!(acme.db, |tx| logins::delete_expired(tx, acme.tenant, at(101)));
        assert!(logins::get(acme.db, acme.tenant, id).await.unwrap().is_none());
    }

    async fn api_keys_in_pages(test: TestDb) {
        let acme = acme(&test).await;
        for n in [12, 10, 11] {
            commit!(acme.db, |tx| api_keys::insert(tx, acme.tenant, &api_key(n)));
        }
        let first = api_keys::page(acme.db, acme.tenant, None, 2).await.unwrap();
        assert_eq!(first.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["key-12", "key-11"]);
        let rest = api_keys::page(acme.db, acme.tenant, Some(first[1].id), 2).await.unwrap();
        assert_eq!(rest.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["key-10"]);

        let id = rest[0].id;
        assert!(commit!(acme.db, |tx| api_keys::revoke(tx, acme.tenant, id, at(90))));
        assert!(!commit!(acme.db, |tx| api_keys::revoke(tx, acme.tenant, id, at(91))));
        let found = api_keys::get(acme.db, acme.tenant, id).await.unwrap().unwrap();
        assert_eq!((found.secret_sha256, found.created_at), (digest(7), at(10)));
        assert_eq!((found.expires_at, found.revoked_at), (Some(at(500)), Some(at(90))));
        assert!(!commit!(acme.db, |tx| api_keys::revoke(tx, acme.tenant, ApiKeyId(uuid(99)), at(91))));
    }

    async fn release_keys_that_are_valid(test: TestDb) {
        let acme = acme(&test).await;
        for n in [10, 11, 12] {
            commit!(acme.db, |tx| release_keys::insert(tx, acme.tenant, &release_key(n)));
        }
        let twin = ReleaseKeyRow { id: ReleaseKeyId(uuid(13)), ..release_key(10) };
        let error = refused!(acme.db, |tx| release_keys::insert(tx, acme.tenant, &twin));
        assert_eq!(unique_violation(&error).as_deref(), Some("release_keys_tenant_id_fingerprint_key"));

        let revoked = release_key(11).id;
        assert!(commit!(acme.db, |tx| release_keys::revoke(tx, acme.tenant, revoked, at(90))));
        assert!(!commit!(acme.db, |tx| release_keys::revoke(tx, acme.tenant, revoked, at(91))));
        let valid = release_keys::valid(acme.db, acme.tenant, 10).await.unwrap();
        assert_eq!(valid.iter().map(|key| key.fingerprint).collect::<Vec<_>>(), [digest(10), digest(12)]);
        let page = release_keys::page(acme.db, acme.tenant, Some(release_key(12).id), 10).await.unwrap();
        assert_eq!(page.iter().map(|key| key.fingerprint).collect::<Vec<_>>(), [digest(11), digest(10)]);
        let found = release_keys::get(acme.db, acme.tenant, revoked).await.unwrap().unwrap();
        assert_eq!((found.algorithm, found.revoked_at), (KeyAlgorithm::EcdsaP256, Some(at(90))));
    }

    async fn device_tokens_until_revoked(test: TestDb) {
        let acme = acme(&test).await;
        let (device, other) = (acme.device(10, 0).await, acme.device(11, 0).await);
        for (n, owner) in [(20, device), (21, device), (22, other)] {
            let id = uuid(n);
            commit!(acme.db, |tx| device_tokens::insert(tx, acme.tenant, id, owner, digest(4), at(20)));
        }
        let found = device_tokens::get(acme.db, acme.tenant, uuid(20)).await.unwrap().unwrap();
        assert_eq!((found.device_id, found.device_type.as_str()), (device, "robot"));
        assert_eq!((found.secret_sha256, found.last_seen_at, found.revoked_at), (digest(4), None, None));
        commit!(acme.db, |tx| device_tokens::revoke_all(tx, acme.tenant, device, at(30)));
        for (n, revoked_at) in [(20, Some(at(30))), (21, Some(at(30))), (22, None)] {
            let found = device_tokens::get(acme.db, acme.tenant, uuid(n)).await.unwrap().unwrap();
            assert_eq!(found.revoked_at, revoked_at, "token {n}");
        }
    }

    async fn device_tokens_in_use(test: TestDb) {
        let acme = acme(&test).await;
        for n in 10..16 {
            let device = acme.device(n, 0).await;
            commit!(acme.db, |tx| device_tokens::insert(tx, acme.tenant, uuid(n + 10), device, digest(4), at(20)));
            if n != 12 {
                commit!(acme.db, |tx| devices::seen(tx, acme.tenant, device, None, at(50)));
            }
            if n == 13 {
                commit!(acme.db, |tx| device_tokens::revoke_all(tx, acme.tenant, device, at(60)));
            }
        }
        let page = device_tokens::in_use(acme.db, (TenantId(Uuid::nil()), Uuid::nil()), 3).await.unwrap();
        assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [20, 21, 24].map(uuid));
        assert!(page.iter().all(|row| (row.tenant_id, row.secret_sha256) == (acme.tenant, digest(4))));
        let page = device_tokens::in_use(acme.db, (acme.tenant, uuid(24)), 3).await.unwrap();
        assert_eq!(page.iter().map(|row| row.id).collect::<Vec<_>>(), [25].map(uuid));
        assert_eq!(device_tokens::in_use(acme.db, (acme.tenant, uuid(25)), 3).await.unwrap(), []);
    }

    async fn enrolment_tokens_end(test: TestDb) {
        let acme = acme(&test).await;
        for (n, max_uses) in [(10, None), (11, Some(1)), (12, None)] {
            commit!(acme.db, |tx| enrolment_tokens::insert(tx, acme.tenant, &enrolment_token(n, max_uses)));
        }
        let [free, once, revoked] = [10, 11, 12].map(|n| EnrolmentTokenId(uuid(n)));
        assert!(use_at(acme, free, 20).await && use_at(acme, free, 99).await);
        assert!(!use_at(acme, free, 100).await, "expired");
        assert!(use_at(acme, once, 20).await);
        assert!(!use_at(acme, once, 20).await, "used up");
        assert!(commit!(acme.db, |tx| enrolment_tokens::revoke(tx, acme.tenant, revoked, at(30))));
        assert!(!commit!(acme.db, |tx| enrolment_tokens::revoke(tx, acme.tenant, revoked, at(31))));
        assert!(!use_at(acme, revoked, 40).await, "revoked");
        assert!(!use_at(acme, EnrolmentTokenId(uuid(99)), 40).await, "unknown");

        let found = enrolment_tokens::get(acme.db, acme.tenant, free).await.unwrap().unwrap();
        assert_eq!((found.uses, found.max_uses, found.device_type.as_deref()), (2, None, Some("robot")));
        let page = enrolment_tokens::page(acme.db, acme.tenant, Some(revoked), 10).await.unwrap();
        assert_eq!(page.iter().map(|token| token.id).collect::<Vec<_>>(), [once, free]);
    }

    async fn of_parallel_uses_exactly_the_allowed_ones_win(test: TestDb) {
        let acme = acme(&test).await;
        let token = enrolment_token(10, Some(7));
        commit!(acme.db, |tx| enrolment_tokens::insert(tx, acme.tenant, &token));
        let (writer, tenant, id) = (Writer::start(acme.db.clone()), acme.tenant, token.id);
        let mut uses = JoinSet::new();
        for n in 0..50 {
            let writer = writer.clone();
            uses.spawn(async move {
                if n % 2 == 0 {
                    writer.write(move |tx| Box::pin(enrolment_tokens::use_once(tx, tenant, id, at(20)))).await
                } else {
                    writer.write_batched(move |tx| Box::pin(enrolment_tokens::use_once(tx, tenant, id, at(20)))).await
                }
            });
        }
        let answers: Vec<bool> = uses.join_all().await.into_iter().map(|answer| answer.expect("an answer")).collect();
        assert_eq!((answers.len(), answers.iter().filter(|won| **won).count()), (50, 7));
        assert_eq!(enrolment_tokens::get(acme.db, tenant, id).await.unwrap().unwrap().uses, 7);
        writer.close().await;
    }
}
