//! Every way an update can go, cut off before and after every effect, against a disk in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use drover_protocol::Offer;
use drover_types::{ComponentName, FirmwareId, RolloutId, Timestamp, UpdateSessionId, Version};
use uuid::Uuid;

use super::*;

const NEWER: Sha256Digest = Sha256Digest::from_bytes([1; 32]);
const RUNNING: Sha256Digest = Sha256Digest::from_bytes([2; 32]);
const OLDER: Sha256Digest = Sha256Digest::from_bytes([3; 32]);

/// What survives a power cut. The journal is compared by its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Device {
    update: Option<Update>,
    world: World,
    reports: BTreeSet<String>,
}

impl Device {
    fn key(&self) -> String {
        format!("{self:?}")
    }

    /// The disk decides what is litter.
    fn settled(mut self) -> Self {
        let world = &mut self.world;
        let named = [world.new, world.current, world.old];
        let stray_slot = world.slots.iter().any(|slot| !named.contains(&Some(*slot)));
        let useless_old = world.old.is_some_and(|old| world.current == Some(old) || !world.slots.contains(&old));
        world.litter = stray_slot || useless_old || world.downloaded;
        self
    }

    fn with_world(&self, change: impl FnOnce(&mut World)) -> Self {
        let mut next = self.clone();
        change(&mut next.world);
        next.settled()
    }

    fn with_ending(&self, ending: Ending) -> Self {
        let mut next = self.clone();
        next.update = self.update.as_ref().map(|update| conclude(update, ending));
        next
    }
}

fn offer(previous: Option<Sha256Digest>) -> Update {
    let offer = Offer {
        session_id: UpdateSessionId(Uuid::nil()),
        rollout_id: RolloutId(Uuid::nil()),
        firmware_id: FirmwareId(Uuid::nil()),
        component: ComponentName::main(),
        version: Version::new(2, 0, 0),
        manifest: String::new(),
        manifest_bundle: String::new(),
        artifacts: Vec::new(),
        expires_at: Timestamp::from_micros(0),
    };
    Update {
        session_id: offer.session_id,
        offer,
        release: NEWER,
        artifacts: Vec::new(),
        previous,
        step: Step::Downloading,
        attempt: 0,
        stops: 0,
        reactivations: 0,
        reported: false,
        accepted_at: Timestamp::from_micros(0),
    }
}

fn start(slots: &[Sha256Digest], current: Option<Sha256Digest>, old: Option<Sha256Digest>) -> Device {
    let world = World { current, old, slots: slots.iter().copied().collect(), ..World::default() };
    let update = Some(offer(previous(NEWER, &world)));
    Device { update, world, reports: BTreeSet::new() }.settled()
}

fn some_failure() -> Failure {
    failure(FailureClass::Other, "model", "the model says so")
}

/// Every state of the disk that this action may lead to: cut off before it, after it, after the journal knows of it.
fn outcomes(device: &Device, action: &Action) -> Vec<Device> {
    let failed = || device.with_ending(Ending::Failed(some_failure()));
    match action {
        Action::Idle => vec![],
        Action::Record(step) => {
            let mut next = device.clone();
            next.update = device.update.clone().map(|update| Update { step: step.clone(), ..update });
            vec![next]
        }
        Action::CheckSlot => {
            vec![device.with_ending(Ending::SlotHolds), device.with_world(|world| _ = world.slots.remove(&NEWER))]
        }
        Action::Download => {
            let there = device.with_world(|world| world.downloaded = true);
            vec![there.with_ending(Ending::Downloaded), there, device.with_ending(Ending::Stopped), failed()]
        }
        Action::Unpack => {
            let there = device.with_world(|world| _ = world.slots.insert(NEWER));
            vec![there.with_ending(Ending::Unpacked), there, failed()]
        }
        Action::PointNew => vec![device.with_world(|world| world.new = Some(NEWER))],
        Action::Confirm => {
            let damaged = device.with_world(|world| _ = world.slots.remove(&NEWER));
            let damaged_and_known = damaged.with_ending(Ending::Failed(some_failure()));
            let go = device.with_ending(Ending::Confirmed);
            vec![go, device.with_ending(Ending::Stopped), damaged, damaged_and_known]
        }
        Action::PointOld(slot) => vec![device.with_world(|world| world.old = Some(*slot))],
        Action::PointCurrent(slot) => vec![device.with_world(|world| world.current = Some(*slot))],
        Action::RemoveCurrent => vec![device.with_world(|world| world.current = None)],
        Action::Test => {
            let mut begun = device.clone();
            begun.update = device.update.as_ref().map(begin_test);
            let refuted = begun.with_ending(Ending::Refuted(some_failure()));
            let mut stopped = device.clone();
            stopped.update = device.update.as_ref().map(stop_test);
            // What passed was activated: no debt is left.
            let passed = begun.with_world(|world| world.owes_activation = false).with_ending(Ending::Passed);
            vec![passed, refuted, begun, stopped]
        }
        Action::Reactivate => {
            let mut begun = device.clone();
            begun.update = device.update.as_ref().map(begin_reactivation);
            let started = begun.with_world(|world| world.owes_activation = false).with_ending(Ending::Reactivated);
            // Begun and no more: it was cut off, or the command failed.
            vec![started, begun]
        }
        Action::OweActivation => vec![device.with_world(|world| world.owes_activation = true)],
        // Or it does not start, and it is tried again later.
        Action::Activate => vec![device.with_world(|world| world.owes_activation = false), device.clone()],
        Action::Report => {
            let mut queued = device.clone();
            queued.reports.insert(format!("{:?}", device.update.as_ref().map(|update| &update.step)));
            vec![queued.with_ending(Ending::Reported), queued]
        }
        Action::RemoveNew => vec![device.with_world(|world| world.new = None)],
        Action::CleanUp => vec![device.with_world(|world| {
            world.downloaded = false;
            if world.old == world.current || world.old.is_some_and(|old| !world.slots.contains(&old)) {
                world.old = None;
            }
            let named = [world.new, world.current, world.old];
            world.slots.retain(|slot| named.contains(&Some(*slot)));
        })],
        Action::Forget => {
            let mut next = device.clone();
            next.update = None;
            vec![next]
        }
    }
}

/// Visits everything that can be reached, and gives each state with the states after it.
fn explore(start: Device) -> BTreeMap<String, (Device, Vec<String>)> {
    let mut seen = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(device) = open.pop_front() {
        if seen.contains_key(&device.key()) {
            continue;
        }
        let after = outcomes(&device, &next(device.update.as_ref(), &device.world));
        seen.insert(device.key(), (device, after.iter().map(Device::key).collect()));
        open.extend(after);
        assert!(seen.len() < 100_000, "the model has no bound");
    }
    seen
}

fn starts() -> Vec<Device> {
    vec![
        start(&[], None, None),
        start(&[RUNNING], Some(RUNNING), None),
        start(&[RUNNING, OLDER], Some(RUNNING), Some(OLDER)),
        // Back to what OLD still holds.
        start(&[RUNNING, NEWER], Some(RUNNING), Some(NEWER)),
        // What runs came back and never started.
        start(&[RUNNING], Some(RUNNING), None).with_world(|world| world.owes_activation = true),
    ]
}

#[test]
fn a_device_runs_the_old_or_the_new_release_at_every_moment() {
    for start in starts() {
        let before = start.world.current;
        for (device, _) in explore(start).values() {
            let current = device.world.current;
            assert!(current == before || current == Some(NEWER), "{device:?}");
            assert!(before.is_none() || current.is_some(), "CURRENT is missing: {device:?}");
            assert!(current.is_none_or(|current| device.world.slots.contains(&current)), "CURRENT dangles: {device:?}");
        }
    }
}

#[test]
fn every_way_ends_clean_and_reported_once() {
    for start in starts() {
        let graph = explore(start);
        let is_end = |(device, _): &&(Device, Vec<String>)| {
            device.update.is_none() && !device.world.litter && !device.world.owes_activation
        };
        let ends: Vec<_> = graph.values().filter(is_end).collect();
        assert!(!ends.is_empty());
        for (device, after) in &ends {
            assert!(after.is_empty(), "an end goes on: {device:?}");
            assert_eq!(device.reports.len(), 1, "{device:?}");
            assert_eq!(device.world.new, None, "{device:?}");
            assert!(device.world.slots.len() <= 2, "{device:?}");
        }
        assert_nothing_is_stuck(&graph);
    }
}

/// From everywhere an end can be reached.
fn assert_nothing_is_stuck(graph: &BTreeMap<String, (Device, Vec<String>)>) {
    let mut good: BTreeSet<&String> =
        graph.iter().filter(|(_, (_, after))| after.is_empty()).map(|(key, _)| key).collect();
    loop {
        let leads_there = |after: &[String]| after.iter().any(|next| good.contains(next));
        let more: Vec<_> = graph
            .iter()
            .filter(|(key, (_, after))| !good.contains(key) && leads_there(after))
            .map(|(key, _)| key)
            .collect();
        if more.is_empty() {
            break;
        }
        good.extend(more);
    }
    let stuck: Vec<_> = graph.keys().filter(|key| !good.contains(key)).collect();
    assert!(stuck.is_empty(), "something is stuck: {stuck:?}");
}

#[test]
fn a_damaged_device_never_goes_back_to_what_it_cannot_run() {
    let starts = [
        // What is offered is what CURRENT names, and its slot is not whole.
        start(&[], Some(NEWER), None),
        start(&[OLDER], Some(NEWER), Some(OLDER)),
        start(&[], Some(NEWER), Some(NEWER)),
        // What runs is not whole.
        start(&[], Some(RUNNING), None),
        start(&[OLDER], Some(RUNNING), Some(OLDER)),
        start(&[NEWER], Some(RUNNING), Some(NEWER)),
    ];
    for start in starts {
        let before = start.world.clone();
        let graph = explore(start);
        assert_nothing_is_stuck(&graph);
        for (device, after) in graph.values() {
            let world = &device.world;
            assert!(world.old == before.old || world.old.is_none_or(|old| world.slots.contains(&old)), "{device:?}");
            let runs = world.current.is_some_and(|current| world.slots.contains(&current));
            if after.is_empty() && before.slots.contains(&OLDER) {
                assert!(runs, "the way back was not used: {device:?}");
            }
            assert!(runs || world.current.is_none() || world.current == before.current, "{device:?}");
        }
    }
}

#[test]
fn the_way_back_never_leads_to_the_release_itself() {
    let cause = some_failure();
    let update = Update { step: Step::RollingBack { cause }, ..offer(Some(NEWER)) };
    let mut world = World { current: Some(NEWER), slots: BTreeSet::from([NEWER]), ..World::default() };
    assert_eq!(next(Some(&update), &world), Action::RemoveCurrent);
    world.old = Some(OLDER);
    world.slots.insert(OLDER);
    assert_eq!(next(Some(&update), &world), Action::PointCurrent(OLDER));
}

#[test]
fn without_a_cut_every_update_is_short() {
    // The first outcome of each action is the one where all goes well.
    for start in starts() {
        let mut device = start;
        for step in 0.. {
            assert!(step < 30, "it goes on and on: {device:?}");
            match outcomes(&device, &next(device.update.as_ref(), &device.world)).into_iter().next() {
                Some(after) => device = after,
                None => break,
            }
        }
        assert_eq!(device.world.current, Some(NEWER));
        assert!(device.update.is_none());
    }
}

#[test]
fn a_success_that_was_recorded_never_goes_back() {
    for start in starts() {
        for (device, _) in explore(start).values() {
            let succeeded = Step::Ended { outcome: Outcome::Succeeded };
            if device.update.as_ref().is_some_and(|update| update.step == succeeded) {
                assert_eq!(device.world.current, Some(NEWER), "{device:?}");
                let action = next(device.update.as_ref(), &device.world);
                assert!(!matches!(action, Action::PointCurrent(_) | Action::RemoveCurrent), "{device:?}");
            }
        }
    }
}

#[test]
fn an_agent_that_is_always_cut_off_while_it_tests_goes_back() {
    let mut update = Update { step: Step::Testing, ..offer(Some(RUNNING)) };
    let world = World {
        new: Some(NEWER),
        current: Some(NEWER),
        old: Some(RUNNING),
        slots: BTreeSet::from([NEWER, RUNNING]),
        ..World::default()
    };
    for _ in 0..MAX_ATTEMPTS {
        assert_eq!(next(Some(&update), &world), Action::Test);
        update = begin_test(&update);
    }
    let Action::Record(Step::RollingBack { cause }) = next(Some(&update), &world) else { panic!("it goes on") };
    assert_eq!(cause.code, "interrupted");
    let mut update = Update { step: Step::Testing, ..offer(Some(RUNNING)) };
    for _ in 0..MAX_STOPS {
        assert_eq!(next(Some(&update), &world), Action::Test);
        update = stop_test(&update);
    }
    let Action::Record(Step::RollingBack { cause }) = next(Some(&update), &world) else { panic!("it goes on") };
    assert_eq!(cause.code, "interrupted");
}

#[test]
fn what_does_not_start_is_tried_some_times_then_reported_then_tried_on() {
    let cause = some_failure();
    let step = Step::RollingBack { cause: cause.clone() };
    let mut device = start(&[NEWER, RUNNING], Some(RUNNING), None);
    device.update = device.update.map(|update| Update { step, ..update });
    for _ in 0..MAX_REACTIVATIONS {
        assert_eq!(next(device.update.as_ref(), &device.world), Action::Reactivate);
        device.update = device.update.as_ref().map(begin_reactivation);
    }
    // The debt is written down before the end is: otherwise a cut between the two would forget it.
    assert_eq!(next(device.update.as_ref(), &device.world), Action::OweActivation);
    device.world.owes_activation = true;
    let end = Step::Ended { outcome: Outcome::RolledBack { cause } };
    assert_eq!(next(device.update.as_ref(), &device.world), Action::Record(end.clone()));
    device.update = device.update.map(|update| Update { step: end, ..update });
    while device.update.is_some() {
        let action = next(device.update.as_ref(), &device.world);
        device = outcomes(&device, &action).into_iter().next().expect("it goes on to its end");
    }
    assert_eq!(device.reports.len(), 1);
    assert_eq!(next(None, &device.world), Action::Activate);
}

#[test]
fn a_new_version_that_runs_pays_the_debt() {
    let owing = start(&[RUNNING], Some(RUNNING), None).with_world(|world| world.owes_activation = true);
    for (device, _) in explore(owing).values() {
        let succeeded = Step::Ended { outcome: Outcome::Succeeded };
        if device.update.as_ref().is_some_and(|update| update.step == succeeded) {
            assert!(!device.world.owes_activation, "{device:?}");
        }
    }
}

#[test]
fn without_a_journal_the_disk_decides() {
    let slots = BTreeSet::from([NEWER, RUNNING]);
    let unproven =
        World { new: Some(NEWER), current: Some(NEWER), old: Some(RUNNING), slots: slots.clone(), ..World::default() };
    let missing = World { old: Some(RUNNING), slots: slots.clone(), ..World::default() };
    for world in [unproven, missing] {
        // What comes back is activated, also when the agent is cut off on the way.
        assert_eq!(next(None, &world), Action::OweActivation);
        let noted = World { owes_activation: true, ..world };
        assert_eq!(next(None, &noted), Action::PointCurrent(RUNNING));
        assert_eq!(next(None, &World { current: Some(RUNNING), ..noted.clone() }), Action::Activate);
        // What is not the agent's is not replaced.
        let foreign = World { current: None, foreign_current: true, owes_activation: false, ..noted };
        assert!(!matches!(next(None, &foreign), Action::OweActivation | Action::PointCurrent(_)));
    }
    let proven = World { current: Some(NEWER), old: Some(RUNNING), slots, ..World::default() };
    assert_eq!(next(None, &proven), Action::Idle);
}

#[test]
fn a_journal_lost_at_any_moment_leaves_something_that_runs() {
    for start in starts() {
        let before = start.world.current;
        for (device, _) in explore(start).values() {
            let mut survivor = Device { update: None, ..device.clone() };
            for step in 0.. {
                assert!(step < 10, "it goes on and on: {device:?}");
                let action = next(None, &survivor.world);
                let Some(after) = outcomes(&survivor, &action).into_iter().next() else { break };
                survivor = after;
            }
            let current = survivor.world.current;
            assert!(before.is_none() || current.is_some_and(|current| survivor.world.slots.contains(&current)));
            assert!(!survivor.world.litter && survivor.world.new.is_none(), "{survivor:?}");
        }
    }
}
