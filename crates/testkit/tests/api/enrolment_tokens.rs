//! Tokens with which devices register.

use std::sync::Arc;
use std::time::Duration;

use drover_api::{DeviceFilter, EnrolmentTokenCreate};
use drover_db::run;
use drover_protocol::{RegisterReply, RegisterRequest};
use drover_testkit::{
    DEVICE_TYPE, Profile, ServerOptions, SimClock, TestServer, eventually, on_both_profiles, on_the_local_profile,
    private_key,
};
use drover_types::{Clock as _, KeyAlgorithm, SystemClock};
use drover_uplink::CallError;

use crate::scene::assert_refused;

fn token() -> EnrolmentTokenCreate {
    EnrolmentTokenCreate { name: "line 1".to_owned(), device_type: None, max_uses: None, expires_at: None }
}

async fn register(server: &TestServer, token: &str, id: &str, kind: &str) -> Result<RegisterReply, CallError> {
    let (hardware_id, device_type) = (id.to_owned(), kind.to_owned());
    server.register(token, &RegisterRequest { hardware_id, device_type, components: Vec::new() }).await
}

fn is_spent(result: &Result<RegisterReply, CallError>) -> bool {
    matches!(result, Err(CallError::Unauthenticated { .. }))
}

fn refused_with(result: Result<RegisterReply, CallError>) -> u16 {
    match result {
        Err(CallError::Refused { status, .. }) => status,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

on_both_profiles! {
    async fn a_token_serves_so_many_devices(profile: Profile) {
        let server = TestServer::start(profile).await;
        let admin = server.admin();
        let created =
            admin.create_enrolment_token(&EnrolmentTokenCreate { max_uses: Some(2), ..token() }).await.unwrap();
        let one = register(&server, &created.token, "A", DEVICE_TYPE).await.unwrap();
        // The answer was lost: the same device asks once more, which uses nothing up and ends the first token.
        let again = register(&server, &created.token, "A", DEVICE_TYPE).await.unwrap();
        assert_eq!(one.device_id, again.device_id);
        assert!(server.device_client(&one.token).check().await.is_err());
        assert!(server.device_client(&again.token).check().await.is_ok());
        // Heard of with its token, it is in use.
        assert_eq!(refused_with(register(&server, &created.token, "A", DEVICE_TYPE).await), 409);

        register(&server, &created.token, "B", DEVICE_TYPE).await.unwrap();
        assert!(is_spent(&register(&server, &created.token, "C", DEVICE_TYPE).await));
        let listed = admin.enrolment_tokens(10).await.unwrap().items;
        let listed = listed.iter().find(|listed| listed.id == created.enrolment_token.id).unwrap();
        assert_eq!((listed.uses, listed.max_uses), (2, Some(2)));
        assert_eq!(admin.devices(&DeviceFilter::default(), 10).await.unwrap().items.len(), 2);
    }

    async fn a_token_expires_and_is_revoked(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let admin = server.admin();
        let hour = Duration::from_hours(1);
        let expires_at = Some(clock.now().plus(hour));
        let short = admin.create_enrolment_token(&EnrolmentTokenCreate { expires_at, ..token() }).await.unwrap();
        let long = admin.create_enrolment_token(&token()).await.unwrap();
        register(&server, &short.token, "A", DEVICE_TYPE).await.unwrap();
        clock.advance(hour + Duration::from_secs(1));
        assert!(is_spent(&register(&server, &short.token, "B", DEVICE_TYPE).await));

        let device = register(&server, &long.token, "C", DEVICE_TYPE).await.unwrap();
        admin.revoke_enrolment_token(long.enrolment_token.id).await.unwrap();
        assert!(is_spent(&register(&server, &long.token, "D", DEVICE_TYPE).await));
        assert!(server.device_client(&device.token).check().await.is_ok(), "devices that registered stay");
        assert_refused!(admin.revoke_enrolment_token(long.enrolment_token.id).await, 404, "not_found");
    }

    async fn a_token_can_be_for_one_device_type(profile: Profile) {
        let server = TestServer::start(profile).await;
        let device_type = Some(DEVICE_TYPE.to_owned());
        let body = EnrolmentTokenCreate { device_type, ..token() };
        let created = server.admin().create_enrolment_token(&body).await.unwrap();
        assert_eq!(refused_with(register(&server, &created.token, "A", "robot").await), 403);
        register(&server, &created.token, "A", DEVICE_TYPE).await.unwrap();
    }

    async fn a_new_device_gets_the_keys_to_pin(profile: Profile) {
        let server = TestServer::start(profile).await;
        let [good, revoked] = [(); 2].map(|()| private_key(KeyAlgorithm::EcdsaP256));
        server.trust(&good).await;
        let view = server.trust(&revoked).await;
        server.admin().revoke_release_key(view.id).await.unwrap();
        let reply = register(&server, &server.first_start().enrolment_token, "A", DEVICE_TYPE).await.unwrap();
        assert_eq!(reply.release_keys, [good.public_key().to_pem()]);
    }
}

on_the_local_profile! {
    async fn what_a_device_says_of_itself_is_checked(profile: Profile) {
        let server = TestServer::start(profile).await;
        let token = &server.first_start().enrolment_token;
        for (hardware_id, device_type) in [("", "truck"), ("a b", "truck"), ("A", "Truck"), ("A", ""), ("é", "truck")]
        {
            assert_eq!(refused_with(register(&server, token, hardware_id, device_type).await), 422, "{hardware_id:?}");
        }
        assert_eq!(refused_with(register(&server, token, &"x".repeat(129), "truck").await), 422);
        // Neither a login nor a token with another secret registers anything.
        assert!(is_spent(&register(&server, server.admin_token(), "A", "truck").await));
        let (head, _) = token.rsplit_once('.').unwrap();
        assert!(is_spent(&register(&server, &format!("{head}.{}", "A".repeat(43)), "A", "truck").await));
    }

    async fn a_token_that_serves_nobody_is_refused(profile: Profile) {
        let clock = Arc::new(SimClock::default());
        let server = ServerOptions::new(profile).clock(&clock).start().await;
        let admin = server.admin();
        let bad = [
            EnrolmentTokenCreate { name: String::new(), ..token() },
            EnrolmentTokenCreate { max_uses: Some(0), ..token() },
            EnrolmentTokenCreate { device_type: Some("No Type".to_owned()), ..token() },
            EnrolmentTokenCreate { expires_at: Some(clock.now()), ..token() },
        ];
        for body in bad {
            assert_refused!(admin.create_enrolment_token(&body).await, 422, "invalid");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_contact_that_comes_while_the_device_asks_once_more_counts() {
    let server = TestServer::start(Profile::Cluster).await;
    let created = server.admin().create_enrolment_token(&token()).await.unwrap();
    let first = register(&server, &created.token, "A", DEVICE_TYPE).await.unwrap();
    let db = server.db().db();
    let mut contact = db.begin().await.unwrap();
    let tenant = first.tenant_id;
    let seen = SystemClock.now().plus(Duration::from_secs(1));
    drover_store::devices::seen(&mut contact, tenant, first.device_id, None, seen).await.unwrap();
    let waits =
        "SELECT COUNT(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let commit = async {
        eventually("the registration to wait", async || {
            let waiting: Result<bool, sqlx::Error> =
                async { run!(db, |c| sqlx::query_scalar(waits).fetch_one(c).await) }.await;
            waiting.unwrap().then_some(())
        })
        .await;
        contact.commit().await.unwrap();
    };
    let (again, ()) = tokio::join!(register(&server, &created.token, "A", DEVICE_TYPE), commit);
    assert_eq!(refused_with(again), 409);
    assert!(server.device_client(&first.token).check().await.is_ok(), "its token is in use");
}
