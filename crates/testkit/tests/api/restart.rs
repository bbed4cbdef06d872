//! A server that is killed in the middle of its work.

use drover_api::GroupWrite;
use drover_testkit::{Profile, answer, on_both_profiles};
use drover_types::{RolloutState, SessionState};
use reqwest::Method;

use crate::scene::Scene;

on_both_profiles! {
    async fn what_was_acknowledged_is_there_and_the_rollout_goes_on(profile: Profile) {
        let mut scene = Scene::new(profile, 4).await;
        let group = GroupWrite { name: "lab".into(), ..GroupWrite::default() };
        let group = scene.admin.create_group(&group).await.unwrap();
        let put = scene.server.admin_request(Method::PUT, "/api/v1/objects/a.bin").body("kept");
        assert_eq!(answer(put).await.status, 201);
        let rollout = scene.roll_out(&[50, 100], |_| ()).await;
        let told: Vec<_> = scene.offers().await.into_iter().map(|(device, offer)| (device.id, offer)).collect();
        assert_eq!(told.len(), 2);
        let find = |scene: &Scene, id| scene.devices.iter().position(|device| device.id == id).expect("one of them");
        let (first, second) = (find(&scene, told[0].0), find(&scene, told[1].0));
        scene.devices[first].install(&told[0].1).await;
        scene.devices[second].proceed(&told[1].1, SessionState::Installing).await;

        scene.server.kill_and_restart().await;

        // Logins, tokens and addresses that were handed out still hold.
        assert_eq!(scene.admin.group(group.id).await.unwrap(), group);
        assert_eq!(answer(scene.server.raw().get(&told[1].1.artifacts[0].url)).await.status, 200);
        let sessions = scene.sessions(rollout.id).await;
        let state = |id| sessions.iter().find(|session| session.device_id == id).expect("its session").state;
        assert_eq!((state(told[0].0), state(told[1].0)), (SessionState::Succeeded, SessionState::Installing));
        scene.devices[second].proceed(&told[1].1, SessionState::Validating).await;
        scene.devices[second].commit(&told[1].1).await;
        scene.running(rollout.id, 1).await;
        let offers = scene.offers().await;
        assert_eq!(offers.len(), 2);
        for (device, offer) in offers {
            device.install(&offer).await;
        }
        let done = scene.becomes(rollout.id, RolloutState::Completed).await;
        assert_eq!(done.counts.succeeded, 4);
        let again = scene.server.admin_request(Method::PUT, "/api/v1/objects/a.bin").body("other");
        answer(again).await.problem(409, "object_exists");
    }
}
