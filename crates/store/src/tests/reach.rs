//! What is in reach: lists, single objects and a model in memory give one answer.

use std::collections::BTreeSet;

use drover_db::on_both;
use drover_types::{DeviceId, GroupId, RolloutId, RolloutKind, RolloutState};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::fixture::{Scope, at, commit, migrated, new_rollout, uuid};
use crate::rollouts::{self, NewRollout, StateChange};
use crate::{Reach, devices, group_tree, groups, update_sessions};

const WORLDS: u16 = 16;
const DEVICES: usize = 8;
const GROUPS: usize = 7;
const ROLLOUTS: usize = 6;

/// Positions of groups, devices and rollouts in their lists.
#[derive(Debug, Clone)]
struct World {
    /// The parent of each group: one of those before it.
    parents: Vec<Option<usize>>,
    /// Device and group.
    members: BTreeSet<(usize, usize)>,
    /// The target groups of each rollout.
    targets: Vec<BTreeSet<usize>>,
    /// Which rollouts have a way back.
    taken_back: Vec<bool>,
    /// Where the reaches begin.
    roots: Vec<Vec<usize>>,
}

prop_compose! {
    fn world()(
        parents in prop::collection::vec(prop::option::weighted(0.6, any::<prop::sample::Index>()), GROUPS),
        members in prop::collection::btree_set((0..DEVICES, 0..GROUPS), 0..12),
        targets in prop::collection::vec(prop::collection::btree_set(0..GROUPS, 0..4), ROLLOUTS),
        taken_back in prop::collection::vec(any::<bool>(), ROLLOUTS),
        roots in prop::collection::vec(prop::collection::vec(0..GROUPS, 1..5), 4),
    ) -> World {
        let parents = parents.iter().enumerate();
        let parents = parents.map(|(n, parent)| parent.filter(|_| n > 0).map(|parent| parent.index(n))).collect();
        World { parents, members, targets, taken_back, roots }
    }
}

impl World {
    fn is_below(&self, group: usize, roots: &[usize]) -> bool {
        roots.contains(&group) || self.parents[group].is_some_and(|parent| self.is_below(parent, roots))
    }

    fn groups(&self, roots: &[usize]) -> BTreeSet<usize> {
        (0..GROUPS).filter(|group| self.is_below(*group, roots)).collect()
    }

    fn devices(&self, roots: &[usize]) -> BTreeSet<usize> {
        self.members.iter().filter(|(_, group)| self.is_below(*group, roots)).map(|(device, _)| *device).collect()
    }

    fn rollouts(&self, roots: &[usize]) -> BTreeSet<usize> {
        let groups = self.groups(roots);
        (0..ROLLOUTS).filter(|n| !self.targets[*n].is_empty() && self.targets[*n].is_subset(&groups)).collect()
    }
}

fn device(n: usize) -> u16 {
    number(100, n)
}

fn group(n: usize) -> u16 {
    number(200, n)
}

fn rollout(n: usize) -> u16 {
    number(300, n)
}

fn way_back(n: usize) -> u16 {
    number(400, n)
}

fn session(n: usize) -> u16 {
    number(500, n)
}

fn number(first: u16, n: usize) -> u16 {
    first + u16::try_from(n).expect("a small number")
}

async fn build(scope: Scope<'_>, world: &World) {
    let (db, tenant) = (scope.db, scope.tenant);
    for n in 0..DEVICES {
        scope.device(device(n), 0).await;
    }
    for (n, parent) in world.parents.iter().enumerate() {
        let devices = world.members.iter().filter(|(_, of)| *of == n).map(|(one, _)| DeviceId(uuid(device(*one))));
        let id = scope.group(group(n), &devices.collect::<Vec<_>>()).await;
        if let Some(parent) = parent {
            commit!(db, |tx| group_tree::attach(tx, tenant, id, GroupId(uuid(group(*parent)))));
        }
    }
    let firmware = scope.firmware(12, "1.1.0").await;
    for n in 0..ROLLOUTS {
        let id = scope.rollout(rollout(n), &firmware, RolloutState::Active).await;
        for target in &world.targets[n] {
            assert!(commit!(db, |tx| rollouts::add_group(tx, tenant, id, GroupId(uuid(group(*target))))));
        }
        if world.taken_back[n] {
            let kind = RolloutKind::Rollback;
            let back =
                NewRollout { kind, parent_id: Some(id), ..new_rollout(way_back(n), &firmware, RolloutState::Active) };
            commit!(db, |tx| rollouts::insert(tx, tenant, &back, at(9)));
        }
    }
    for n in 0..DEVICES {
        scope.pending(session(n), RolloutId(uuid(rollout(0))), DeviceId(uuid(device(n))), firmware.id).await;
    }
}

fn ids(numbers: &BTreeSet<usize>, id: impl Fn(usize) -> u16) -> BTreeSet<Uuid> {
    numbers.iter().map(|n| uuid(id(*n))).collect()
}

async fn compare(scope: Scope<'_>, world: &World, roots: &[usize]) {
    let (db, tenant) = (scope.db, scope.tenant);
    let reach = Reach::Groups(roots.iter().map(|n| GroupId(uuid(group(*n)))).collect());
    let what = format!("{roots:?} of {world:?}");

    let page = groups::page(db, tenant, &reach, None, 99).await.unwrap();
    let listed: BTreeSet<Uuid> = page.iter().map(|row| row.id.0).collect();
    assert_eq!(listed, ids(&world.groups(roots), group), "groups {what}");
    for n in 0..GROUPS {
        let id = GroupId(uuid(group(n)));
        assert_eq!(reach.has_group(db, tenant, id).await.unwrap(), listed.contains(&id.0), "group {n} {what}");
    }

    let page = devices::page(db, tenant, &reach, &devices::Filter::default(), 99).await.unwrap();
    let listed: BTreeSet<Uuid> = page.iter().map(|row| row.id.0).collect();
    assert_eq!(page.len(), listed.len(), "a device is listed once {what}");
    assert_eq!(listed, ids(&world.devices(roots), device), "devices {what}");
    let all: Vec<DeviceId> = (0..DEVICES).map(|n| DeviceId(uuid(device(n)))).collect();
    for id in &all {
        assert_eq!(reach.has_device(db, tenant, *id).await.unwrap(), listed.contains(&id.0), "device {id} {what}");
    }
    let sessions = update_sessions::of_rollout(db, tenant, &reach, RolloutId(uuid(rollout(0))), None, None, 99).await;
    let of_sessions: BTreeSet<Uuid> = sessions.unwrap().iter().map(|row| row.device_id.0).collect();
    assert_eq!(of_sessions, listed, "sessions {what}");

    let members = groups::of_devices(db, tenant, &reach, &all).await.unwrap();
    let seen: BTreeSet<(Uuid, Uuid)> = members.iter().map(|row| (row.device_id.0, row.group_id.0)).collect();
    let reached = world.members.iter().filter(|(_, of)| world.is_below(*of, roots));
    let expected = reached.map(|(one, of)| (uuid(device(*one)), uuid(group(*of)))).collect();
    assert_eq!(seen, expected, "memberships {what}");

    let page = rollouts::page(db, tenant, &reach, &rollouts::Filter::default(), 99).await.unwrap();
    let listed: BTreeSet<Uuid> = page.iter().map(|row| row.id.0).collect();
    let reached = world.rollouts(roots);
    let back = reached.iter().copied().filter(|n| world.taken_back[*n]).collect();
    let expected: BTreeSet<Uuid> = ids(&reached, rollout).union(&ids(&back, way_back)).copied().collect();
    assert_eq!(listed, expected, "rollouts {what}");
    for id in (0..ROLLOUTS).flat_map(|n| [rollout(n), way_back(n)]).map(|n| RolloutId(uuid(n))) {
        assert_eq!(reach.has_rollout(db, tenant, id).await.unwrap(), listed.contains(&id.0), "rollout {id} {what}");
    }
}

on_both! {
    async fn lists_and_single_objects_agree_on_what_is_in_reach(test: TestDb) {
        let db = migrated(&test).await;
        let mut runner = TestRunner::deterministic();
        for n in 1..=WORLDS {
            let world = world().new_tree(&mut runner).expect("a world").current();
            let scope = Scope::new(db, n, &format!("tenant-{n}")).await;
            build(scope, &world).await;
            for roots in &world.roots {
                compare(scope, &world, roots).await;
            }
        }
    }

    async fn the_whole_tenant_and_no_group_at_all(test: TestDb) {
        let scope = Scope::new(migrated(&test).await, 1, "acme").await;
        let id = scope.device(10, 0).await;
        let group = scope.group(20, &[id]).await;
        let (db, tenant) = (scope.db, scope.tenant);
        let filter = devices::Filter::default();
        for (reach, expected) in [(Reach::Tenant, 1), (Reach::Groups(vec![group]), 1), (Reach::Groups(vec![]), 0)] {
            let page = devices::page(db, tenant, &reach, &filter, 9).await.unwrap();
            assert_eq!(page.len(), expected, "{reach:?}");
            assert_eq!(reach.has_device(db, tenant, id).await.unwrap(), expected == 1, "{reach:?}");
        }
        // Another tenant's group of the same id reaches nothing here.
        let other = Scope::new(db, 2, "other").await;
        let stranger = other.device(11, 0).await;
        assert!(!Reach::Groups(vec![group]).has_device(db, other.tenant, stranger).await.unwrap());
    }

    /// What is left of the targets of an ended rollout does not tell who may see it.
    async fn a_rollout_that_lost_a_group_is_the_tenants(test: TestDb) {
        let scope = Scope::new(migrated(&test).await, 1, "acme").await;
        let (db, tenant) = (scope.db, scope.tenant);
        let (kept, gone) = (scope.group(20, &[]).await, scope.group(21, &[]).await);
        let firmware = scope.firmware(12, "1.1.0").await;
        let id = scope.rollout(30, &firmware, RolloutState::Active).await;
        for target in [kept, gone] {
            assert!(commit!(db, |tx| rollouts::add_group(tx, tenant, id, target)));
        }
        let change = StateChange { from: RolloutState::Active, to: RolloutState::Cancelled, reason: None };
        assert!(commit!(db, |tx| rollouts::set_state(tx, tenant, id, &change, at(9))));
        let reach = Reach::Groups(vec![kept]);
        for _ in 0..2 {
            let page = rollouts::page(db, tenant, &reach, &rollouts::Filter::default(), 9).await.unwrap();
            assert!(page.is_empty() && !reach.has_rollout(db, tenant, id).await.unwrap());
            commit!(db, |tx| rollouts::leave_ended(tx, tenant, gone));
        }
        assert!(Reach::Tenant.has_rollout(db, tenant, id).await.unwrap());
    }

    async fn a_device_leaves_only_groups_in_reach(test: TestDb) {
        let scope = Scope::new(migrated(&test).await, 1, "acme").await;
        let id = scope.device(10, 0).await;
        let (own, others) = (scope.group(20, &[id]).await, scope.group(21, &[id]).await);
        commit!(scope.db, |tx| groups::leave_all(tx, scope.tenant, &Reach::Groups(vec![own]), id));
        let left = groups::of_device(scope.db, scope.tenant, id).await.unwrap();
        assert_eq!(left.iter().map(|row| row.group_id).collect::<Vec<_>>(), [others]);
    }
}
