//! The tree of groups. It decides how far rights go, so it is moved only within one's own rights.

use drover_api::{Group, GroupMove};
use drover_db::Tx;
use drover_store::{group_tree, tenants};
use drover_types::{GroupId, Permission, TenantId};

use crate::audit::Entry;
use crate::groups::{group, locked};
use crate::{Access, App, Caller, Error, Reach, Result};

/// Levels of groups, and of tenants.
pub(crate) const LEVELS_MAX: i64 = 8;

impl App {
    /// Moves a group with all below it. Both places and the group have to be in reach.
    pub async fn group_move(&self, caller: &Caller, id: GroupId, body: GroupMove) -> Result<Group> {
        let access = caller.authorize(Permission::GroupsWrite)?;
        let tenant = access.tenant;
        let mut audit = self.audit(caller, tenant);
        let after = self
            .writer
            .write(move |tx| {
                Box::pin(async move {
                    tenants::hold(tx, tenant).await?;
                    let before = locked(tx, &access, id).await?;
                    if let Some(parent) = before.parent_id {
                        // Taking it away takes it from whoever has rights over the parent.
                        let there = access.reach.has_group(&mut *tx, tenant, parent).await?;
                        if !there {
                            let message = "the group that it is part of now is out of your reach";
                            return Err(Error::field("parent_id", message));
                        }
                    }
                    group_tree::detach(tx, tenant, id).await?;
                    place(tx, &access, id, body.parent_id).await?;
                    let after = group(&mut *tx, tenant, id).await?;
                    audit.record(tx, Entry::changed("group", "move", id, &before, &after)?).await?;
                    Ok::<_, Error>(after)
                })
            })
            .await?;
        self.counted(caller, tenant, after).await
    }
}

/// Puts a group that is at the top where it belongs. Whoever reaches only groups can put it only below one of those.
pub(crate) async fn place(tx: &mut Tx, access: &Access, group: GroupId, parent: Option<GroupId>) -> Result<()> {
    let tenant = access.tenant;
    let Some(parent) = parent else {
        if access.reach == Reach::Tenant {
            return Ok(());
        }
        return Err(Error::field(
            "parent_id",
            "name a group: your right to change groups does not cover the whole tenant",
        ));
    };
    if crate::groups::group(&mut *tx, tenant, group).await?.condition.is_some() {
        // Rights over a group are rights over its devices, and a condition chooses among all of the tenant.
        return Err(Error::field("parent_id", "a dynamic group is part of no other"));
    }
    tenants::hold(tx, tenant).await?;
    let there = access.reach.has_group(&mut *tx, tenant, parent).await?;
    let level = group_tree::level(&mut *tx, tenant, parent).await?;
    if !there || level == 0 {
        return Err(Error::field("parent_id", format!("there is no group {parent}")));
    }
    if group_tree::is_within(&mut *tx, tenant, group, parent).await? {
        return Err(Error::field("parent_id", "a group cannot be part of itself"));
    }
    if level + 1 + group_tree::height(&mut *tx, tenant, group).await? > LEVELS_MAX {
        return Err(Error::field("parent_id", format!("groups lie at most {LEVELS_MAX} deep")));
    }
    Ok(group_tree::attach(tx, tenant, group, parent).await?)
}

/// Refuses to remove a group that others are part of.
pub(crate) async fn check_leaf(tx: &mut Tx, tenant: TenantId, group: GroupId) -> Result<()> {
    if group_tree::height(tx, tenant, group).await? == 0 {
        return Ok(());
    }
    Err(Error::conflict("group_not_empty", "other groups are part of this one; move or delete those first"))
}
