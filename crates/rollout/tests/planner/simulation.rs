//! Whole rollouts: random policies, devices and people. The rules are checked in `world` and `driver`.

use drover_rollout::Policy;
use drover_types::{RolloutKind, RolloutState, SessionState, StageState};
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
        2 => (0..60_u32, select(&ENDS[..])).prop_map(|(ticks, end)| Device::Away(ticks, end)),
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

/// Whether each device of a fleet is out of reach for good; a fifth of them is.
fn absences() -> impl Strategy<Value = Vec<bool>> {
    proptest::collection::vec(proptest::bool::weighted(0.2), 0..50)
}

impl World {
    /// Lowers the success threshold to what the absences in the worst stage allow, and brings one device into reach in
    /// each stage. How many stay absent.
    fn allow_absences(&mut self) -> usize {
        let mut first = 0;
        for stage in 0..self.stages.len() {
            let end = self.share(stage);
            let Some(all) = u32::try_from(end - first).ok().filter(|all| *all > 0) else { continue };
            let devices = &mut self.devices[first..end];
            devices[0] = Device::Ends(SessionState::Succeeded, 2);
            let in_reach = devices.iter().map(|device| u32::from(!matches!(device, Device::Absent))).sum::<u32>();
            let share = f64::from(in_reach) / f64::from(all);
            self.policy.success_threshold = self.policy.success_threshold.min(share);
            first = end;
        }
        self.devices.iter().filter(|device| matches!(device, Device::Absent)).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_rollout_keeps_the_rules_and_ends(policy in any::policy(), fleet in fleet(), person in person()) {
        let mut world = World::new(policy, RolloutKind::Update, fleet);
        run(&mut world, &person);
        prop_assert!(world.state.is_final());
    }

    #[test]
    fn devices_that_never_show_up_are_all_that_is_waited_for(
        policy in any::policy(),
        fleet in proptest::collection::vec(prop_oneof![4 => device(), 1 => Just(Device::Absent)], 0..50),
        person in person(),
    ) {
        let mut world = World::new(policy, RolloutKind::Update, fleet);
        run(&mut world, &person);
        // It rested, unless it ended before.
        if !world.state.is_final() {
            run(&mut world, &[(0, Person::Cancels)]);
            prop_assert_eq!(world.state, RolloutState::Cancelled);
        }
    }

    #[test]
    fn those_in_reach_get_it_when_the_threshold_allows(
        policy in any::policy_by_percentage(),
        is_absent in absences(),
    ) {
        let device = |absent| if absent { Device::Absent } else { Device::Ends(SessionState::Succeeded, 2) };
        let mut world = World::new(policy, RolloutKind::Update, is_absent.iter().copied().map(device).collect());
        // Long enough that nobody in reach is given up on.
        world.policy.session_timeout_ms += 60_000;
        let absent_count = world.allow_absences();
        run(&mut world, &[]);
        let in_state = |world: &World, state| world.sessions.iter().filter(|s| s.state == state).count();
        prop_assert!(world.stages.iter().all(|(state, _)| *state == StageState::Passed), "{world:?}");
        prop_assert_eq!(in_state(&world, SessionState::Succeeded), world.devices.len() - absent_count);
        prop_assert_eq!(in_state(&world, SessionState::Pending), absent_count);
        let expected = if absent_count > 0 { RolloutState::Active } else { RolloutState::Completed };
        prop_assert_eq!(world.state, expected);
        if absent_count > 0 {
            run(&mut world, &[(0, Person::Cancels)]);
            prop_assert_eq!(world.state, RolloutState::Cancelled);
            prop_assert_eq!(in_state(&world, SessionState::Cancelled), absent_count);
        }
    }

    #[test]
    fn taking_back_reaches_everyone(
        fleet in fleet(),
        cap in proptest::option::of(1..8_u32),
        timeout_ms in 1_000..300_000_u64,
    ) {
        let mut world = World::new(Policy::for_rollback(cap, timeout_ms), RolloutKind::Rollback, fleet);
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
