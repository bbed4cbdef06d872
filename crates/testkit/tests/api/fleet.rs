//! Real agents against the server, in short; the long story has tests of its own.

use std::sync::Arc;

use drover_cli::Progress;
use drover_cli::release::{self, PackOptions};
use drover_sim::{ComponentConfig, FleetOptions};
use drover_testkit::{DEVICE_TYPE, Profile, TestFleet, TestServer, eventually, on_both_profiles, private_key};
use drover_types::{Clock, ComponentName, KeyAlgorithm, RolloutState, SystemClock, Version};

on_both_profiles! {
    async fn real_agents_install_what_is_rolled_out(profile: Profile) {
        let server = TestServer::start(profile).await;
        let key = private_key(KeyAlgorithm::EcdsaP256);
        server.trust(&key).await;
        let content = server.folder().join("content");
        std::fs::create_dir(&content).unwrap();
        std::fs::write(content.join("version"), "1.0.0").unwrap();
        let options = PackOptions {
            inputs: vec![content],
            raw: Vec::new(),
            name: "app".to_owned(),
            version: Version::new(1, 0, 0),
            device_type: DEVICE_TYPE.to_owned(),
            component: ComponentName::main(),
            release_counter: 1,
            rollback_floor: 1,
            min_version: None,
            dependencies: Vec::new(),
            release_notes: None,
            metadata: std::collections::BTreeMap::new(),
            out: server.folder().join("release"),
        };
        release::pack(&options).unwrap();
        release::sign(&options.out, &key).unwrap();
        let firmware =
            release::publish(&server.admin(), &options.out, &mut |_| {}, &|_| Progress::none()).await.unwrap();
        let fleet = start_fleet(&server);
        let filter = drover_api::DeviceFilter::default();
        eventually("the devices to register", async || {
            (server.admin().devices(&filter, 10).await.unwrap().items.len() == 3).then_some(())
        })
        .await;
        let rollout = server.admin().create_rollout(&crate::scene::plan(&firmware, &[34, 100])).await.unwrap();
        server.admin().start_rollout(rollout.id).await.unwrap();
        let ended =
            server.rollout_when("the end", rollout.id, |rollout| rollout.status == RolloutState::Completed).await;
        assert_eq!(ended.counts.succeeded, 3);
        for device in fleet.devices() {
            assert_eq!(std::fs::read_to_string(device.running_root().join("version")).unwrap(), "1.0.0");
        }
        fleet.stop().await;
    }
}

fn start_fleet(server: &TestServer) -> TestFleet {
    let options = FleetOptions {
        server: server.url(),
        folder: server.folder().join("devices"),
        devices: 3,
        hardware_prefix: "SIM".to_owned(),
        device_type: DEVICE_TYPE.to_owned(),
        enrolment_token: server.first_start().enrolment_token.clone(),
        poll_interval_ms: 100,
        main: ComponentConfig::default(),
    };
    let http = drover_sim::http_client().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: drover_sim::Random = Arc::new(|| 0.5);
    TestFleet::start(&options, &http, &clock, &random).unwrap()
}
