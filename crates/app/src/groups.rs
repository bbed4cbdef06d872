//! Groups: static by list, dynamic by condition.

use std::collections::HashMap;

use drover_api::{Device, DeviceFilter, Group, GroupMembers, GroupWrite, Page, PageQuery};
use drover_db::{Conn, Tx};
use drover_rules::GroupIds;
use drover_store::groups::{self, Added, GroupRow};
use drover_store::{condition_groups, devices, rollouts};
use drover_types::{DeviceId, ErrorKind, GroupId, Permission, TenantId};

use crate::audit::Entry;
use crate::context::new_id;
use crate::grants::going_with;
use crate::idempotency::Created;
use crate::page::Paging;
use crate::{Access, App, Caller, Error, IdempotencyKey, Reach, Result, conditions, group_tree, validate};

/// Devices that can be put into a group with one call.
const MEMBERS_MAX: usize = 1_000;

/// How many of those who use a group are named.
const USERS_SHOWN: usize = 5;

impl App {
    /// The tenant's groups, newest first.
    pub async fn group_list(&self, caller: &Caller, query: &PageQuery) -> Result<Page<Group>> {
        let Access { tenant, reach } = caller.authorize(Permission::GroupsRead)?;
        let paging = Paging::new(query.limit, query.cursor.as_deref())?;
        let rows = groups::page(&self.db, tenant, &reach, paging.after, paging.rows()).await?;
        let mut page = paging.page(rows, |row| row.id, view);
        self.count_members(tenant, &reach, &mut page.items).await?;
        Ok(page)
    }

    /// One group.
    pub async fn group_view(&self, caller: &Caller, id: GroupId) -> Result<Group> {
        let access = caller.authorize(Permission::GroupsRead)?;
        access.check_group(&self.db, id).await?;
        let group = group(&self.db, access.tenant, id).await?;
        self.counted(caller, access.tenant, group).await
    }

    /// The group with the number of its devices at this moment; of a dynamic one, of those that the caller may see.
    pub(crate) async fn counted(&self, caller: &Caller, tenant: TenantId, mut group: Group) -> Result<Group> {
        if group.condition.is_none() {
            self.count_members(tenant, &Reach::Tenant, std::slice::from_mut(&mut group)).await?;
            return Ok(group);
        }
        let Ok(Access { tenant, reach }) = caller.authorize(Permission::DevicesRead) else { return Ok(group) };
        let count = async {
            let Some(condition) = self.group_condition(tenant, group.id, self.now()).await? else { return Ok(None) };
            let filter = devices::Filter { conditions: vec![condition], ..devices::Filter::default() };
            let turn = self.turn(tenant).await?;
            Ok(Some(devices::count(self.db.questions(&turn), tenant, &reach, &filter).await?))
        };
        let count = if_told(count.await)?.flatten();
        Ok(Group { device_count: count.and_then(|count| u64::try_from(count).ok()), ..group })
    }

    /// Fills in how many devices the static ones of these groups have. `groups` are a list in this reach, or one.
    async fn count_members(&self, tenant: TenantId, reach: &Reach, groups: &mut [Group]) -> Result<()> {
        let counted = || groups.iter().filter(|group| group.condition.is_none()).map(|group| group.id);
        let (Some(first), Some(last)) = (counted().min(), counted().max()) else { return Ok(()) };
        let counts = async {
            let turn = self.turn(tenant).await?;
            Ok(groups::counts(self.db.questions(&turn), tenant, reach, first, last).await?)
        };
        let counts: HashMap<GroupId, i64> = if_told(counts.await)?.unwrap_or_default().into_iter().collect();
        for group in groups {
            group.device_count = counts.get(&group.id).and_then(|count| u64::try_from(*count).ok());
        }
        Ok(())
    }

    /// The devices in a group of either kind, newest first.
    pub async fn group_devices(&self, caller: &Caller, id: GroupId, query: &PageQuery) -> Result<Page<Device>> {
        let access = caller.authorize(Permission::GroupsRead)?;
        access.check_group(&self.db, id).await?;
        group(&self.db, access.tenant, id).await?;
        let PageQuery { limit, cursor } = query.clone();
        let filter = DeviceFilter { limit, cursor, group_id: Some(id), ..DeviceFilter::default() };
        self.device_list(caller, &filter).await
    }

    /// Makes a group.
    pub async fn group_create(
        &self,
        caller: &Caller,
        body: GroupWrite,
        idempotency: Option<IdempotencyKey>,
    ) -> Result<Group> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        check(&body)?;
        let asked = self.asked(&access, &body).await?;
        let now = self.now();
        let id = new_id!(self, GroupId);
        let (mut audit, maker) = (self.audit(caller, tenant), caller.clone());
        let created = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = IdempotencyKey::claim(idempotency.as_ref(), tx, &maker, id.0, now).await?;
                    if let Some(before) = before {
                        return Ok::<_, Error>(Created::Before(before));
                    }
                    let inserted = groups::insert(tx, tenant, id, &body.name, &body.description, now).await;
                    inserted.map_err(|error| name_taken(error, &body.name))?;
                    if let Some(condition) = &body.condition {
                        set_condition(tx, tenant, id, condition, &asked).await?;
                    }
                    group_tree::place(tx, &access, id, body.parent_id).await?;
                    let made = group(&mut *tx, tenant, id).await?;
                    audit.record(tx, Entry::created("group", id, &made)?.with("name", body.name)).await?;
                    Ok(Created::Now)
                })
            })
            .await?;
        let id = match created {
            Created::Now => id,
            Created::Before(before) => GroupId(before),
        };
        let group = group(&self.db, tenant, id).await?;
        self.counted(caller, tenant, group).await
    }

    /// Changes a group.
    pub async fn group_update(&self, caller: &Caller, id: GroupId, body: GroupWrite) -> Result<Group> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        check(&body)?;
        if body.parent_id.is_some() {
            return Err(Error::field("parent_id", "move the group with PUT /api/v1/groups/{id}/parent"));
        }
        let asked = self.asked(&access, &body).await?;
        let now = self.now();
        let mut audit = self.audit(caller, tenant);
        let after = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, &access, id).await?;
                    if let Some(condition) = &body.condition {
                        if before.condition.is_none() {
                            return Err(stays_static());
                        }
                        if before.condition.as_ref() != Some(condition) {
                            check_untargeted(tx, &access, id).await?;
                        }
                        set_condition(tx, tenant, id, condition, &asked).await?;
                    }
                    if body.name != before.name {
                        check_unasked(tx, &access, id, "rename").await?;
                    }
                    let updated = groups::update(tx, tenant, id, &body.name, &body.description, now).await;
                    updated.map_err(|error| name_taken(error, &body.name))?;
                    let after = group(&mut *tx, tenant, id).await?;
                    let entry = Entry::changed("group", "update", id, &before, &after)?;
                    audit.record(tx, entry.with("name", body.name)).await?;
                    Ok::<_, Error>(after)
                })
            })
            .await?;
        self.counted(caller, tenant, after).await
    }

    /// Removes a group; its devices stay.
    pub async fn group_delete(&self, caller: &Caller, id: GroupId) -> Result<()> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    let before = locked(tx, &access, id).await?;
                    group_tree::check_leaf(tx, tenant, id).await?;
                    check_unasked(tx, &access, id, "delete").await?;
                    rollouts::leave_ended(tx, tenant, id).await?;
                    condition_groups::leave_ended(tx, tenant, id).await?;
                    let grants = going_with(tx, &mut audit, tenant, Some(id)).await?;
                    groups::delete(tx, tenant, id).await.map_err(in_use)?;
                    let entry = Entry::deleted("group", id, &before)?.with("name", before.name);
                    audit.record(tx, entry.with_ids("grants", &grants)).await
                })
            })
            .await
    }

    /// Puts devices into a group: all of them, or none when one does not exist.
    pub async fn group_add(&self, caller: &Caller, id: GroupId, body: GroupMembers) -> Result<Group> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        if body.device_ids.is_empty() {
            return Err(Error::field("device_ids", "must not be empty"));
        }
        validate::at_most("device_ids", &body.device_ids, MEMBERS_MAX)?;
        let mut audit = self.audit(caller, tenant);
        let group = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    let group = locked(tx, &access, id).await?;
                    is_static(&group)?;
                    let mut new: Vec<String> = Vec::new();
                    for device in &body.device_ids {
                        // Whoever may change a group may not draw in what he has no right over.
                        let there = access.reach.has_device(&mut *tx, tenant, *device).await?;
                        let added = if there { groups::add(tx, tenant, id, *device).await? } else { None };
                        match added {
                            Some(Added::Now) => new.push(device.to_string()),
                            Some(Added::Before) => {}
                            None => return Err(Error::field("device_ids", format!("there is no device {device}"))),
                        }
                    }
                    if !new.is_empty() {
                        audit.record(tx, Entry::new("group", "add_devices", id).with("device_ids", new)).await?;
                    }
                    Ok::<_, Error>(group)
                })
            })
            .await?;
        self.counted(caller, tenant, group).await
    }

    /// Takes a device out of a group.
    pub async fn group_remove(&self, caller: &Caller, id: GroupId, device: DeviceId) -> Result<()> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        let mut audit = self.audit(caller, tenant);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    is_static(&locked(tx, &access, id).await?)?;
                    if !groups::remove(tx, tenant, id, device).await? {
                        return Err(Error::not_found("device in this group", device));
                    }
                    let entry = Entry::new("group", "remove_device", id);
                    audit.record(tx, entry.with("device_id", device.to_string())).await
                })
            })
            .await
    }
}

impl App {
    /// The groups that the condition of a dynamic group asks for.
    async fn asked(&self, access: &Access, body: &GroupWrite) -> Result<GroupIds> {
        let Some(condition) = &body.condition else { return Ok(GroupIds::new()) };
        Ok(self.condition(access, "condition", condition).await?.into_groups())
    }
}

async fn set_condition(tx: &mut Tx, tenant: TenantId, id: GroupId, condition: &str, asked: &GroupIds) -> Result<()> {
    conditions::hold_groups(tx, tenant, asked).await?;
    groups::set_condition(tx, tenant, id, condition).await?;
    Ok(condition_groups::set_of_group(tx, tenant, id, asked).await?)
}

/// Refuses when conditions ask for the group by its name: without it, `!("hold" in device.groups)` would take every device.
async fn check_unasked(tx: &mut Tx, access: &Access, id: GroupId, verb: &str) -> Result<()> {
    let Access { tenant, reach } = access;
    let mut users = Users::default();
    for (rollout, name) in condition_groups::rollouts_asking(&mut *tx, *tenant, id).await? {
        users.add(reach.has_rollout(&mut *tx, *tenant, rollout).await?, "the rollout", &name);
    }
    for (group, name) in condition_groups::groups_asking(&mut *tx, *tenant, id).await? {
        users.add(reach.has_group(&mut *tx, *tenant, group).await?, "the dynamic group", &name);
    }
    let Some(who) = users.named() else { return Ok(()) };
    let detail = format!(
        "this group is asked for by its name, by {who}; {verb} it when the rollout has ended or the condition is another"
    );
    Err(Error::conflict("group_in_use", detail))
}

/// Refuses while a started rollout targets the group: a right to change groups is none to choose whom a rollout takes.
async fn check_untargeted(tx: &mut Tx, access: &Access, id: GroupId) -> Result<()> {
    let Access { tenant, reach } = access;
    let mut users = Users::default();
    for (rollout, name) in rollouts::targeting(&mut *tx, *tenant, id).await? {
        users.add(reach.has_rollout(&mut *tx, *tenant, rollout).await?, "the rollout", &name);
    }
    let Some(who) = users.named() else { return Ok(()) };
    let detail = format!("the group is the target of {who}; its condition can be changed when that has ended");
    Err(Error::conflict("group_in_use", detail))
}

/// Who uses a group.
#[derive(Default)]
struct Users {
    seen: Vec<String>,
    /// Some are out of reach: those have no names here, and how many they are is not told either.
    hidden: bool,
}

impl Users {
    fn add(&mut self, there: bool, noun: &str, name: &str) {
        if there { self.seen.push(format!("{noun} {name:?}")) } else { self.hidden = true }
    }

    /// Some of them for a person to read; none when there is nobody.
    fn named(mut self) -> Option<String> {
        let unnamed = self.seen.len().saturating_sub(USERS_SHOWN);
        self.seen.truncate(USERS_SHOWN);
        if unnamed > 0 {
            self.seen.push(format!("{unnamed} more"));
        }
        if self.hidden {
            self.seen.push("something out of your reach".to_owned());
        }
        let last = self.seen.pop()?;
        Some(if self.seen.is_empty() { last } else { format!("{} and {last}", self.seen.join(", ")) })
    }
}

/// What was asked; none when that cannot be told soon, or not at all: what it is about is shown all the same.
fn if_told<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Timeout) => Ok(None),
        Err(error) if conditions::is_unusable(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The group as the API shows it, without the number of its devices: to count them takes long in a transaction.
pub(crate) async fn group(conn: impl Into<Conn<'_>>, tenant: TenantId, id: GroupId) -> Result<Group> {
    groups::get(conn, tenant, id).await?.map(view).ok_or_else(|| Error::not_found("group", id))
}

/// The same, held still until the transaction ends.
pub(crate) async fn locked(tx: &mut Tx, access: &Access, id: GroupId) -> Result<Group> {
    access.check_group(&mut *tx, id).await?;
    groups::lock(tx, access.tenant, id).await?;
    group(tx, access.tenant, id).await
}

fn check(body: &GroupWrite) -> Result<()> {
    validate::text("name", &body.name, 100)?;
    validate::text_or_empty("description", &body.description, 1_000)
}

/// Only people put devices into a static group, and take them out.
fn is_static(group: &Group) -> Result<()> {
    if group.condition.is_none() {
        return Ok(());
    }
    let detail =
        "the group is dynamic: its condition says who is in it; change the condition, or what it asks of the device";
    Err(Error::conflict("group_is_dynamic", detail))
}

fn stays_static() -> Error {
    let detail = "the group is static and stays so; make a new one with this condition";
    Error::conflict("group_is_static", detail)
}

fn name_taken(error: sqlx::Error, name: &str) -> Error {
    match drover_db::unique_violation(&error) {
        Some(_) => Error::conflict("group_exists", format!("there is a group named {name:?} already")),
        None => error.into(),
    }
}

fn in_use(error: sqlx::Error) -> Error {
    if drover_db::is_foreign_key_violation(&error) {
        return Error::conflict(
            "group_in_use",
            "a rollout that has not ended targets this group; delete the group when it has",
        );
    }
    error.into()
}

fn view(row: GroupRow) -> Group {
    Group {
        id: row.id,
        name: row.name,
        description: row.description,
        parent_id: row.parent_id,
        device_count: None,
        condition: row.condition,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

#[cfg(test)]
mod tests {
    use super::Users;

    fn named(seen: usize, hidden: usize) -> Option<String> {
        let mut users = Users::default();
        for number in 0..seen {
            users.add(true, "the rollout", &format!("r{number}"));
        }
        for _ in 0..hidden {
            users.add(false, "the rollout", "secret");
        }
        users.named()
    }

    #[test]
    fn only_those_in_reach_are_named_and_numbered() {
        assert_eq!(named(0, 0), None);
        assert_eq!(named(0, 3).as_deref(), Some("something out of your reach"));
        assert_eq!(named(2, 0).as_deref(), Some("the rollout \"r0\" and the rollout \"r1\""));
        assert_eq!(named(1, 1), named(1, 9), "how many there are is not told");
        assert_eq!(named(1, 9).as_deref(), Some("the rollout \"r0\" and something out of your reach"));
        let many = named(7, 2).unwrap();
        assert!(many.ends_with("the rollout \"r4\", 2 more and something out of your reach"), "{many}");
    }
}
