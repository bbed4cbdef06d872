//! What was true when a device was chosen, or given up on, is looked at again.

use std::time::Duration;

use drover_api::{Rollout, RolloutFilter, RolloutRollback};
use drover_protocol::Offer;
use drover_store::{rollouts, tenants};
use drover_testkit::{Profile, eventually, on_both_profiles};
use drover_types::{DeviceStatus, RolloutId, RolloutState, SessionState};

use crate::scene::{Scene, assert_refused};

impl Scene {
    /// Waits until the driver has nothing more to do with a rollout and made no appointment.
    async fn rests(&self, id: RolloutId) {
        let tenant = tenants::by_name(self.server.db().db(), "default").await.unwrap().unwrap().tenant_id;
        eventually("the driver to rest", async || {
            let row = rollouts::get(self.server.db().db(), tenant, id).await.unwrap().unwrap();
            row.next_tick_at.is_none().then_some(())
        })
        .await;
    }

    /// Two devices got a rollout that is taken back. One has it; the other fell silent while it installed.
    async fn taken_back(profile: Profile) -> (Self, Rollout, Rollout, Offer) {
        let (scene, clock) = Self::with_clock(profile, 2).await;
        let rollout = scene.roll_out(&[100], |plan| plan.session_timeout_ms = Some(600_000)).await;
        let [quick, silent] = &scene.devices[..] else { panic!("two devices") };
        let (offer, lost) = (quick.check().await.unwrap(), silent.check().await.unwrap());
        quick.install(&offer).await;
        silent.proceed(&lost, SessionState::Installing).await;
        scene.admin.roll_back_rollout(rollout.id, &RolloutRollback::default()).await.unwrap();
        clock.advance(Duration::from_mins(11));
        let filter = RolloutFilter { parent_id: Some(rollout.id), ..RolloutFilter::default() };
        let child =
            eventually("the way back", async || scene.admin.rollouts(&filter, 2).await.unwrap().items.pop()).await;
        let child = scene.running(child.id, 0).await;
        (scene, rollout, child, lost)
    }
}

on_both_profiles! {
    async fn who_asks_first_after_a_pause_is_told(profile: Profile) {
        // A clock that stands still: what this server looked up before the pause is not old.
        let (scene, _clock) = Scene::with_clock(profile, 2).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        assert!(scene.devices[0].check().await.is_some());
        scene.admin.pause_rollout(rollout.id).await.unwrap();
        assert!(scene.devices[1].check().await.is_none());
        scene.admin.resume_rollout(rollout.id).await.unwrap();
        assert!(scene.devices[1].check().await.is_some());
    }

    async fn a_device_that_falls_silent_long_after_the_stage_opened_is_noticed(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 1).await;
        let rollout = scene.roll_out(&[100], |plan| plan.session_timeout_ms = Some(600_000)).await;
        scene.rests(rollout.id).await;
        let offer = scene.devices[0].check().await.expect("an offer");
        clock.advance(Duration::from_mins(11));
        scene.server.rollout_when("the time-out", rollout.id, |rollout| rollout.counts.failed == 1).await;
        let reply = scene.devices[0].report(offer.session_id, SessionState::Downloading).await.unwrap();
        assert_eq!(reply.state, SessionState::TimedOut);
    }

    async fn an_older_rollout_never_takes_a_device_down(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        let older = scene.roll_out(&[100], |_| ()).await;
        scene.admin.pause_rollout(older.id).await.unwrap();
        let newer = scene.publish("1.2.0", 3).await;
        let rollout = scene.start(&newer, &[100], |_| ()).await;
        let offer = scene.devices[0].check().await.expect("the newer one");
        assert_eq!(offer.version, newer.version);
        scene.devices[0].install(&offer).await;
        scene.becomes(rollout.id, RolloutState::Completed).await;
        scene.admin.resume_rollout(older.id).await.unwrap();
        assert!(scene.devices[0].check().await.is_none(), "1.1.0 lies behind");
        let ended = scene.becomes(older.id, RolloutState::Completed).await;
        assert_eq!((ended.counts.skipped, ended.counts.succeeded), (1, 0));
    }

    async fn a_device_that_succeeds_after_all_was_taken_back_goes_back_too(profile: Profile) {
        let (scene, rollout, child, lost) = Scene::taken_back(profile).await;
        let [quick, silent] = &scene.devices[..] else { panic!("two devices") };
        let back = quick.check().await.expect("the way back");
        quick.install(&back).await;
        scene.becomes(child.id, RolloutState::Completed).await;
        scene.becomes(rollout.id, RolloutState::RolledBack).await;

        assert_eq!(silent.commit(&lost).await.state, SessionState::Succeeded);
        scene.becomes(child.id, RolloutState::Active).await;
        let back = silent.check().await.expect("the way back, late");
        assert_eq!(back.firmware_id, scene.first.id);
        silent.install(&back).await;
        let ended = scene.becomes(child.id, RolloutState::Completed).await;
        assert_eq!(ended.counts.succeeded, 2);
        let view = scene.admin.device(silent.id).await.unwrap();
        assert_eq!(view.current_version.as_ref(), Some(&scene.first.version));
    }

    async fn the_first_device_that_comes_back_after_the_end_goes_back_too(profile: Profile) {
        let (scene, clock) = Scene::with_clock(profile, 1).await;
        let rollout = scene.roll_out(&[100], |plan| plan.session_timeout_ms = Some(600_000)).await;
        let silent = &scene.devices[0];
        let lost = silent.check().await.unwrap();
        silent.proceed(&lost, SessionState::Installing).await;
        scene.admin.roll_back_rollout(rollout.id, &RolloutRollback::default()).await.unwrap();
        clock.advance(Duration::from_mins(11));
        scene.becomes(rollout.id, RolloutState::RolledBack).await;

        assert_eq!(silent.commit(&lost).await.state, SessionState::Succeeded);
        let filter = RolloutFilter { parent_id: Some(rollout.id), ..RolloutFilter::default() };
        let child =
            eventually("the way back", async || scene.admin.rollouts(&filter, 2).await.unwrap().items.pop()).await;
        scene.running(child.id, 0).await;
        silent.install(&silent.check().await.expect("the way back")).await;
        scene.becomes(rollout.id, RolloutState::RolledBack).await;
        let view = scene.admin.device(silent.id).await.unwrap();
        assert_eq!(view.current_version.as_ref(), Some(&scene.first.version));
    }

    async fn a_device_that_comes_back_while_the_way_back_opens_holds_nobody_up(profile: Profile) {
        let (scene, _, child, lost) = Scene::taken_back(profile).await;
        let [quick, silent] = &scene.devices[..] else { panic!("two devices") };
        // As it was before the first device was chosen, and with nobody to drive it.
        scene.server.sql("UPDATE leases SET token = token + 1, holder = 'nobody', \
            expires_at = expires_at + 3600000000 WHERE name = 'rollout-driver'").await;
        scene.server.sql("DELETE FROM update_sessions WHERE rollout_id IN \
            (SELECT id FROM rollouts WHERE kind = 'rollback')").await;
        scene.server.sql("DELETE FROM rollout_counters WHERE rollout_id IN \
            (SELECT id FROM rollouts WHERE kind = 'rollback')").await;
        scene.server.sql("UPDATE rollout_stages SET state = 'opening', remaining = 1, cursor_bucket = NULL, \
            cursor_device = NULL WHERE rollout_id IN (SELECT id FROM rollouts WHERE kind = 'rollback')").await;
        scene.server.sql("UPDATE rollouts SET next_tick_at = 1 WHERE kind = 'rollback'").await;
        assert_eq!(silent.commit(&lost).await.state, SessionState::Succeeded);
        assert_eq!(scene.sessions(child.id).await.len(), 1, "the late one");
        scene.server.sql("UPDATE leases SET expires_at = 0 WHERE name = 'rollout-driver'").await;
        scene.running(child.id, 0).await;
        for device in [quick, silent] {
            device.install(&device.check().await.expect("the way back")).await;
        }
        assert_eq!(scene.becomes(child.id, RolloutState::Completed).await.counts.succeeded, 2);
    }

    async fn a_revoked_key_stops_what_it_signed(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let rollout = scene.roll_out(&[50, 100], |_| ()).await;
        let key = scene.admin.release_keys(10).await.unwrap().items.remove(0);
        scene.admin.revoke_release_key(key.id).await.unwrap();
        let paused = scene.becomes(rollout.id, RolloutState::Paused).await;
        assert!(paused.reason.is_some_and(|reason| reason.contains("was revoked")));
        assert!(scene.offers().await.is_empty());
        assert_refused!(scene.admin.resume_rollout(rollout.id).await, 409, "release_key_revoked");
        let body = crate::scene::plan(&scene.first, &[100]);
        assert_refused!(scene.admin.create_rollout(&body).await, 409, "release_key_revoked");
    }

    async fn an_offer_that_nobody_began_is_withdrawn_when_the_target_does_not_hold_any_more(profile: Profile) {
        let scene = Scene::new(profile, 3).await;
        let condition = "!(\"hold\" in device.tags)";
        let rollout = scene.roll_out(&[100], |plan| plan.target_condition = Some(condition.into())).await;
        let [told, begun, free] = &scene.devices[..] else { panic!("three devices") };
        told.check().await.expect("an offer");
        let offer = begun.check().await.expect("an offer");
        begun.proceed(&offer, SessionState::Downloading).await;
        free.check().await.expect("an offer");
        for device in [told, begun] {
            scene.admin.add_device_tag(device.id, "hold").await.unwrap();
        }
        assert!(told.check().await.is_none(), "it has not begun");
        assert_eq!(begun.check().await.map(|offer| offer.session_id), Some(offer.session_id), "it is at work");
        assert!(free.check().await.is_some(), "for it the target holds");
        let sessions = scene.sessions(rollout.id).await;
        let skipped = sessions.iter().find(|session| session.device_id == told.id).unwrap();
        assert_eq!((skipped.state, skipped.failure_code.as_deref()), (SessionState::Skipped, Some("condition")));
        let counts = scene.admin.rollout(rollout.id).await.unwrap().counts;
        assert_eq!((counts.skipped, counts.in_flight), (1, 2));
        assert_eq!(scene.admin.device(told.id).await.unwrap().status, DeviceStatus::Idle);
        scene.admin.remove_device_tag(told.id, "hold").await.unwrap();
        assert!(told.check().await.is_none(), "once left out, it stays so in this rollout");
    }

    async fn who_is_left_out_unasked_stays_as_he_was(profile: Profile) {
        let scene = Scene::new(profile, 2).await;
        let first = scene.roll_out(&[100], |_| ()).await;
        let [failed, other] = &scene.devices[..] else { panic!("two devices") };
        let offer = failed.check().await.expect("an offer");
        failed.report(offer.session_id, SessionState::Failed).await.unwrap();
        scene.admin.cancel_rollout(first.id).await.unwrap();
        let repair = scene.publish("1.2.0", 3).await;
        let condition = Some("!(\"hold\" in device.tags)".to_owned());
        let rollout = scene.start(&repair, &[100], |plan| plan.target_condition = condition).await;
        scene.admin.add_device_tag(failed.id, "hold").await.unwrap();
        assert!(failed.check().await.is_none());
        assert_eq!(scene.admin.rollout(rollout.id).await.unwrap().counts.skipped, 1);
        assert_eq!(scene.admin.device(failed.id).await.unwrap().status, DeviceStatus::Failed);
        assert_eq!(scene.admin.device(other.id).await.unwrap().status, DeviceStatus::Idle);
    }

    async fn firmware_that_runs_somewhere_stays(profile: Profile) {
        let scene = Scene::new(profile, 1).await;
        assert_refused!(scene.admin.delete_firmware(scene.first.id).await, 409, "firmware_in_use");
    }
}
