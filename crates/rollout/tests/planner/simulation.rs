//! Whole rollouts: random policies, devices and people. The rules are checked in `world` and `driver`.

use drover_rollout::Policy;
use drover_types::{RolloutKind, RolloutState, SessionState};
use proptest::prelude::*;
use proptest::sample::select;

use crate::any;
use crate::driver::{Person, run};
use crate::world::{Device, World};

const ENDS: [SessionState; 5] = [
    SessionState::Succeeded,
    SessionState::Failed,
    SessionState::RolledBack,
    SessionState::Rejected,
    SessionState::Skipped,
];

fn device() -> impl Strategy<Value = Device> {
    prop_oneof![
        12 => (0..6_u32).prop_map(|ticks| Device::Ends(SessionState::Succeeded, ticks)),
        4 => (select(&ENDS[..]), 0..6_u32).prop_map(|(end, ticks)| Device::Ends(end, ticks)),
        1 => any::<bool>().prop_map(|after_switch| Device::Silent { after_switch }),
        1 => select(&ENDS[..4]).prop_map(Device::Late),
    ]
}

fn fleet() -> impl Strategy<Value = Vec<Device>> {
    proptest::collection::vec(device(), 0..50)
}

fn person() -> impl Strategy<Value = Vec<(u32, Person)>> {
    let act = prop_oneof![
        3 => Just(Person::Pauses),
        3 => Just(Person::Resumes),
        1 => Just(Person::Cancels),
        1 => Just(Person::RollsBack),
    ];
    proptest::collection::vec((0..120_u32, act), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_rollout_keeps_the_rules_and_ends(policy in any::policy(), fleet in fleet(), person in person()) {
        let mut world = World::new(policy, RolloutKind::Update, fleet);
        run(&mut world, &person);
    }

    #[test]
    fn taking_back_reaches_everyone(fleet in fleet(), cap in proptest::option::of(1..8_u32), timeout in 1_000..300_000_u64) {
        let mut world = World::new(Policy::for_rollback(cap, timeout), RolloutKind::Rollback, fleet);
        run(&mut world, &[]);
        prop_assert_eq!(world.state, RolloutState::Completed);
    }
}

/// The demo: 20 devices, every second one fails its self-test.
#[test]
fn the_demo_stops_in_its_canary() {
    let text = r#"{
        "stages": [
            {"name": "canary", "percentage": 20},
            {"name": "half", "percentage": 50},
            {"name": "all", "percentage": 100}
        ],
        "rollback_threshold": 0.5, "min_sample": 4, "on_breach": "rollback"
    }"#;
    let policy: Policy = serde_json::from_str(text).unwrap();
    let every_second = |number| if number % 2 == 0 { SessionState::Succeeded } else { SessionState::RolledBack };
    let fleet = (0..20).map(|number| Device::Ends(every_second(number), 3)).collect();
    let mut world = World::new(policy.clone(), RolloutKind::Update, fleet);
    run(&mut world, &[]);
    assert_eq!(world.state, RolloutState::RolledBack);
    assert_eq!((world.sessions.len(), world.child), (4, Some(RolloutState::Completed)));

    let good = vec![Device::Ends(SessionState::Succeeded, 3); 20];
    let mut world = World::new(policy, RolloutKind::Update, good);
    run(&mut world, &[]);
    assert_eq!((world.state, world.sessions.len()), (RolloutState::Completed, 20));
}
