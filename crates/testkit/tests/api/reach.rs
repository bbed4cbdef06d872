//! Random grants and keys over random groups, against a model: what is listed is exactly what can be looked at, and
//! changed is only what a grant with that very permission covers.

use std::collections::BTreeSet;

use drover_testkit::{Profile, TestServer, on_both_profiles};
use drover_types::{Permission, Role};
use reqwest::Method;
use serde_json::{Value, json};

use crate::person::Person;
use crate::scene::Scene;

const DEVICES: usize = 4;
const GROUPS: usize = 5;
const ROLLOUTS: usize = 4;

/// Numbers that look drawn and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    fn some(&mut self, bound: usize) -> BTreeSet<usize> {
        (0..=self.below(2)).map(|_| self.below(bound)).collect()
    }
}

/// What there is, in the order in which it was made.
struct World {
    child: String,
    devices: Vec<String>,
    groups: Vec<(String, Option<usize>)>,
    members: Vec<BTreeSet<usize>>,
    rollouts: Vec<(String, BTreeSet<usize>)>,
}

/// A role over the tenant or a group.
type Held = (Role, Option<usize>);

/// What a credential may do: grants, and what a key cuts them to.
#[derive(Debug, Default)]
struct Model {
    grants: Vec<Held>,
    scopes: Option<Vec<Permission>>,
    group: Option<usize>,
}

/// How far a permission goes, as the model sees it.
struct Covered {
    /// Over the tenant as a whole.
    whole: bool,
    groups: BTreeSet<usize>,
}

impl World {
    async fn new(scene: &Scene, draw: &mut Draw) -> Self {
        let admin = Person::admin(&scene.server);
        let devices: Vec<String> = scene.devices.iter().map(|device| device.id.to_string()).collect();
        let mut groups: Vec<(String, Option<usize>)> = Vec::new();
        let mut members = Vec::new();
        for n in 0..GROUPS {
            let parent = (n > 0 && draw.below(3) > 0).then(|| draw.below(n));
            let parent_id = parent.map(|parent| groups[parent].0.clone());
            let id = admin.make("groups", json!({ "name": format!("group-{n}"), "parent_id": parent_id })).await;
            let inside = draw.some(devices.len());
            let ids: Vec<&String> = inside.iter().map(|device| &devices[*device]).collect();
            let added = admin.call(Method::POST, &format!("groups/{id}/devices"), json!({ "device_ids": ids })).await;
            assert!(added.status < 300, "{}", added.text());
            groups.push((id, parent));
            members.push(inside);
        }
        let mut rollouts = Vec::new();
        for n in 0..ROLLOUTS {
            // The first one is for the whole fleet.
            let targets = if n == 0 { BTreeSet::new() } else { draw.some(GROUPS) };
            let ids = targets.iter().map(|group| groups[*group].0.parse().expect("an id")).collect();
            let draft = scene.draft(&scene.first, &[100], |plan| plan.target_groups = ids).await;
            rollouts.push((draft.id.to_string(), targets));
        }
        let child = admin.make("tenants", json!({ "name": "child" })).await;
        Self { child, devices, groups, members, rollouts }
    }

    fn is_within(&self, group: usize, top: usize) -> bool {
        std::iter::successors(Some(group), |group| self.groups[*group].1).any(|group| group == top)
    }
}

impl Model {
    fn lets(&self, role: Role, permission: Permission) -> bool {
        role.permissions().contains(permission)
            && self.scopes.as_ref().is_none_or(|scopes| scopes.contains(&permission))
    }

    /// None when no grant allows it at all.
    fn covered(&self, world: &World, permission: Permission) -> Option<Covered> {
        let mut covered = Covered { whole: false, groups: BTreeSet::new() };
        for (_, top) in self.grants.iter().filter(|(role, _)| self.lets(*role, permission)) {
            covered.whole |= top.is_none() && self.group.is_none();
            let both = [*top, self.group];
            let inside = |group: &usize| both.iter().flatten().all(|top| world.is_within(*group, *top));
            covered.groups.extend((0..GROUPS).filter(inside));
        }
        (covered.whole || !covered.groups.is_empty()).then_some(covered)
    }

    /// What a tenant below answers to `GET /devices`: grants over groups end here.
    fn in_child(&self) -> u16 {
        let mut inherited = self.grants.iter().filter(|(_, top)| top.is_none() && self.group.is_none());
        let any =
            Permission::ALL.iter().any(|permission| inherited.clone().any(|(role, _)| self.lets(*role, *permission)));
        match (any, inherited.any(|(role, _)| self.lets(*role, Permission::DevicesRead))) {
            (false, _) => 404,
            (true, false) => 403,
            (true, true) => 200,
        }
    }

    fn draw(draw: &mut Draw) -> Vec<Held> {
        let held = |draw: &mut Draw| {
            let role = Role::ALL[draw.below(Role::ALL.len())];
            // Over the whole tenant now and then: else most would see everything.
            (role, (draw.below(5) > 0).then(|| draw.below(GROUPS)))
        };
        (0..=draw.below(3)).map(|_| held(draw)).collect()
    }

    fn draw_limits(&mut self, draw: &mut Draw) {
        self.group = (draw.below(2) == 0).then(|| draw.below(GROUPS));
        let names = [
            Permission::DevicesRead,
            Permission::DevicesWrite,
            Permission::GroupsRead,
            Permission::RolloutsRead,
            Permission::RolloutsWrite,
            Permission::UsersRead,
        ];
        self.scopes = (draw.below(2) == 0).then(|| (0..4).map(|_| names[draw.below(names.len())]).collect());
    }
}

impl Covered {
    fn device(&self, world: &World, device: usize) -> bool {
        self.whole || self.groups.iter().any(|group| world.members[*group].contains(&device))
    }

    fn group(&self, group: usize) -> bool {
        self.whole || self.groups.contains(&group)
    }

    fn rollout(&self, world: &World, rollout: usize) -> bool {
        let targets = &world.rollouts[rollout].1;
        self.whole || (!targets.is_empty() && targets.is_subset(&self.groups))
    }
}

/// 403 for what nothing allows, 404 for what is out of reach.
fn status(covered: Option<&Covered>, is_in_reach: impl FnOnce(&Covered) -> bool) -> u16 {
    match covered {
        None => 403,
        Some(covered) if is_in_reach(covered) => 200,
        Some(_) => 404,
    }
}

/// The list of a noun, and each of them looked at and changed, is as the model says.
async fn check_noun(
    person: &Person<'_>,
    noun: &str,
    ids: &[&String],
    (reads, writes): (Option<&Covered>, Option<&Covered>),
    change: Value,
    has: impl Fn(&Covered, usize) -> bool,
    what: &str,
) {
    let list = person.get(&format!("{noun}?limit=500")).await;
    assert_eq!(list.status, if reads.is_some() { 200 } else { 403 }, "{noun} of {what}");
    if reads.is_some() {
        let seen = ids.iter().enumerate().filter(|(n, _)| reads.is_some_and(|reads| has(reads, *n)));
        let seen: BTreeSet<String> = seen.map(|(_, id)| (*id).clone()).collect();
        assert_eq!(person.listed(&format!("{noun}?limit=500")).await, seen, "{noun} of {what}");
    }
    for (n, id) in ids.iter().enumerate() {
        let path = format!("{noun}/{id}");
        assert_eq!(person.get(&path).await.status, status(reads, |reads| has(reads, n)), "{noun} {n} of {what}");
        if change.is_null() {
            continue;
        }
        let changed = person.call(Method::PUT, &path, change.clone()).await;
        // Never the permission of one grant with the scope of another.
        let expected = status(writes, |writes| has(writes, n));
        assert_eq!(changed.status, expected, "{noun} {n} of {what}: {}", changed.text());
    }
}

async fn check(world: &World, person: &Person<'_>, model: &Model) {
    let what = format!("{model:?} of {:?} with {:?}", world.groups, world.members);
    let reach = |permission| model.covered(world, permission);
    let (reads, writes) = (reach(Permission::DevicesRead), reach(Permission::DevicesWrite));
    let ids: Vec<&String> = world.devices.iter().collect();
    let has = |covered: &Covered, n| covered.device(world, n);
    let change = json!({ "metadata": { "seen": "yes" } });
    check_noun(person, "devices", &ids, (reads.as_ref(), writes.as_ref()), change, has, &what).await;
    let count = person.get("devices/count").await;
    assert_eq!(count.status, if reads.is_some() { 200 } else { 403 }, "{what}");
    if let Some(reads) = &reads {
        let seen = (0..DEVICES).filter(|device| reads.device(world, *device)).count();
        assert_eq!(count.json::<Value>()["count"], json!(seen), "{what}");
    }

    let groups: Vec<&String> = world.groups.iter().map(|(id, _)| id).collect();
    let has = |covered: &Covered, n| covered.group(n);
    let reads = reach(Permission::GroupsRead);
    check_noun(person, "groups", &groups, (reads.as_ref(), None), Value::Null, has, &what).await;

    let rollouts: Vec<&String> = world.rollouts.iter().map(|(id, _)| id).collect();
    let has = |covered: &Covered, n| covered.rollout(world, n);
    let (reads, writes) = (reach(Permission::RolloutsRead), reach(Permission::RolloutsWrite));
    let change = json!({ "name": "seen" });
    check_noun(person, "rollouts", &rollouts, (reads.as_ref(), writes.as_ref()), change, has, &what).await;

    let may_see_users = reach(Permission::UsersRead).is_some_and(|reads| reads.whole);
    assert_eq!(person.get("users").await.status, if may_see_users { 200 } else { 403 }, "{what}");
    assert_eq!(person.within(&world.child).get("devices").await.status, model.in_child(), "{what}");
}

async fn holds_for(profile: Profile, seed: u64, people: usize) {
    let mut draw = Draw(seed);
    let scene = Scene::on(TestServer::start(profile).await, DEVICES).await;
    let world = World::new(&scene, &mut draw).await;
    let admin = Person::admin(&scene.server);
    for n in 0..people {
        // Who makes keys for the tenant may do so; what he may do later is what counts.
        let (user, person) = admin.add(&format!("user-{n}"), &[crate::person::role("owner")]).await;
        let mut of_key = Model::default();
        of_key.draw_limits(&mut draw);
        let scopes = of_key.scopes.as_ref().map(|scopes| scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>());
        let group = of_key.group.map(|group| &world.groups[group].0);
        let key = person.key(json!({ "scopes": scopes, "group_id": group })).await;
        for grant in admin.grants_of(&user).await {
            assert_eq!(admin.delete(&format!("users/{user}/grants/{grant}")).await.status, 204);
        }
        let mut model = Model { grants: Model::draw(&mut draw), ..Model::default() };
        for (role, top) in &model.grants {
            let scope = json!({ "group_id": top.map(|top| &world.groups[top].0) });
            admin.make(&format!("users/{user}/grants"), json!({ "role": role.as_str(), "scope": scope })).await;
        }
        check(&world, &person, &model).await;
        of_key.grants = std::mem::take(&mut model.grants);
        check(&world, &key, &of_key).await;
    }
}

on_both_profiles! {
    async fn what_is_listed_shown_and_changed_is_what_grants_cover(profile: Profile) {
        for seed in [4, 11] {
            holds_for(profile, seed, 5).await;
        }
    }
}
