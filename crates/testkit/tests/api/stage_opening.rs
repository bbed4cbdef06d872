//! A stage is opened in many small steps, and each device is taken once.

use std::collections::BTreeSet;

use drover_testkit::{Profile, ServerOptions, eventually, on_both_profiles};
use drover_types::{DeviceId, RolloutId, RolloutState};

use crate::scene::Scene;

/// Devices, and few of them at once.
async fn scene(profile: Profile, devices: usize) -> Scene {
    let mut options = ServerOptions::new(profile);
    (options.settings.stage_batch, options.settings.stage_look) = (2, 3);
    Scene::on(options.start().await, devices).await
}

/// Whom a rollout took, by id. Each once, and as the counters say.
async fn taken(scene: &Scene, id: RolloutId) -> Vec<DeviceId> {
    let sessions = scene.sessions(id).await;
    let devices: BTreeSet<DeviceId> = sessions.iter().map(|session| session.device_id).collect();
    assert_eq!(devices.len(), sessions.len(), "a device was taken twice");
    let counts = scene.admin.rollout(id).await.unwrap().counts;
    assert_eq!(usize::try_from(counts.pending).unwrap(), devices.len());
    devices.into_iter().collect()
}

fn all(scene: &Scene) -> Vec<DeviceId> {
    let devices: BTreeSet<DeviceId> = scene.devices.iter().map(|device| device.id).collect();
    devices.into_iter().collect()
}

/// Has the one stage open once more, from where `changes` say that another driver left it; no driver is there meanwhile.
async fn open_anew(scene: &Scene, changes: &'static str) {
    scene
        .server
        .sql(
            "UPDATE leases SET token = token + 1, holder = 'nobody', \
        expires_at = expires_at + 3600000000 WHERE name = 'rollout-driver'",
        )
        .await;
    scene
        .server
        .sql(
            "DELETE FROM update_sessions; DELETE FROM rollout_counters; \
        UPDATE rollout_stages SET state = 'opening', remaining = 1000",
        )
        .await;
    scene.server.sql(changes).await;
    scene
        .server
        .sql(
            "UPDATE rollouts SET next_tick_at = 1; \
        UPDATE leases SET expires_at = 0 WHERE name = 'rollout-driver'",
        )
        .await;
}

on_both_profiles! {
    async fn a_stage_of_many_steps_takes_everybody_once(profile: Profile) {
        let scene = scene(profile, 11).await;
        let whole = scene.roll_out(&[100], |_| ()).await;
        assert_eq!(taken(&scene, whole.id).await, all(&scene));
        scene.admin.cancel_rollout(whole.id).await.unwrap();
        scene.becomes(whole.id, RolloutState::Cancelled).await;
        let firmware = scene.publish("1.2.0", 3).await;
        let share = scene.start(&firmware, &[50, 100], |_| ()).await;
        assert_eq!(taken(&scene, share.id).await.len(), 6, "half of them, rounded up");
    }

    async fn a_condition_that_few_meet_is_asked_step_by_step(profile: Profile) {
        let scene = scene(profile, 11).await;
        let devices = all(&scene);
        let canaries = [devices[0], devices[3], devices[9], devices[10]];
        for device in canaries {
            scene.admin.add_device_tag(device, "canary").await.unwrap();
        }
        let condition = "\"canary\" in device.tags".to_owned();
        let rollout = scene.roll_out(&[100], |plan| plan.target_condition = Some(condition)).await;
        assert_eq!(taken(&scene, rollout.id).await, canaries);
    }

    async fn a_stage_goes_on_behind_its_cursor(profile: Profile) {
        let scene = scene(profile, 11).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        // As if the driver had ended behind the fourth device.
        open_anew(&scene, "UPDATE rollout_stages SET cursor_bucket = NULL, \
            cursor_device = (SELECT id FROM devices ORDER BY id LIMIT 1 OFFSET 3)").await;
        scene.running(rollout.id, 0).await;
        assert_eq!(taken(&scene, rollout.id).await, all(&scene)[4..]);
    }

    async fn a_stage_around_the_ring_goes_on_behind_its_cursor(profile: Profile) {
        let scene = scene(profile, 11).await;
        let rollout = scene.roll_out(&[100], |_| ()).await;
        // A release that knew the ring alone had come to the last bucket.
        open_anew(&scene, "UPDATE rollout_stages SET cursor_bucket = 50000, \
                cursor_device = (SELECT id FROM devices ORDER BY id LIMIT 1); \
            UPDATE rollouts SET shift = 30000; UPDATE devices SET bucket = 40000; \
            UPDATE devices SET bucket = 20000 WHERE id IN (SELECT id FROM devices ORDER BY id LIMIT 5)").await;
        scene.running(rollout.id, 0).await;
        assert_eq!(taken(&scene, rollout.id).await, all(&scene)[..5]);
    }

    async fn a_server_that_is_killed_while_a_stage_opens_takes_nobody_twice(profile: Profile) {
        let mut scene = scene(profile, 11).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[100], |_| ()).await;
        scene.admin.start_rollout(draft.id).await.unwrap();
        eventually("the first devices to be taken", async || {
            (scene.server.count("update_sessions").await > 0).then_some(())
        })
        .await;
        scene.server.kill_and_restart().await;
        scene.admin = scene.server.admin();
        scene.running(draft.id, 0).await;
        assert_eq!(taken(&scene, draft.id).await, all(&scene));
    }

    async fn a_stage_that_is_paused_while_it_opens_goes_on_where_it_was(profile: Profile) {
        let scene = scene(profile, 11).await;
        let firmware = scene.publish("1.1.0", 2).await;
        let draft = scene.draft(&firmware, &[100], |_| ()).await;
        scene.admin.start_rollout(draft.id).await.unwrap();
        scene.admin.pause_rollout(draft.id).await.unwrap();
        scene.admin.resume_rollout(draft.id).await.unwrap();
        scene.running(draft.id, 0).await;
        assert_eq!(taken(&scene, draft.id).await, all(&scene));
    }
}
