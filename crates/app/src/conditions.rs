//! From the text of a condition to what the store selects devices by.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_db::Tx;
use drover_rollout::Policy;
use drover_rules::{Condition, GroupIds, Unselectable};
use drover_store::conditions::Selection;
use drover_store::{condition_groups, groups};
use drover_types::{GroupId, TenantId, Timestamp};

use crate::{Access, App, Error, Result};

/// Comparisons and values of all conditions of a plan: a preview and the choice of devices ask them of each device.
const PLAN_PARTS_MAX: usize = 512;

/// The code of the error that a stored condition asks for a group that is not there.
pub(crate) const GROUP_GONE: &str = "condition_group_gone";

impl App {
    /// A condition on devices, as a person wrote it in `field`. It may ask for static groups only, so that no group can
    /// depend on itself, and for none that the caller may not see.
    pub(crate) async fn condition(&self, access: &Access, field: &str, text: &str) -> Result<Selection> {
        let condition = self.conditions.cel(text).await?.map_err(|error| Error::field(field, error.to_string()))?;
        self.check_condition(access, field, condition).await
    }

    /// The same in the spelling of RSQL.
    pub(crate) async fn condition_from_rsql(&self, access: &Access, field: &str, text: &str) -> Result<Selection> {
        let condition = self.conditions.rsql(text).await?.map_err(|error| Error::field(field, error.to_string()))?;
        self.check_condition(access, field, condition).await
    }

    async fn check_condition(&self, access: &Access, field: &str, condition: Arc<Condition>) -> Result<Selection> {
        let mut ids = GroupIds::new();
        for name in condition.groups() {
            let group = groups::by_name(&self.db, access.tenant, name).await?;
            let there = match &group {
                Some(group) => access.reach.has_group(&self.db, access.tenant, group.id).await?,
                None => false,
            };
            match group.filter(|_| there) {
                Some(group) if group.condition.is_none() => ids.insert(name.to_owned(), group.id.0),
                Some(_) => {
                    let detail = format!("{name:?} is a dynamic group; write its condition instead");
                    return Err(Error::field(field, detail));
                }
                None => return Err(Error::field(field, format!("there is no group {name:?}"))),
            };
        }
        Selection::new(condition, ids, self.now()).map_err(|error| Error::field(field, error.to_string()))
    }

    /// Whether the conditions of a plan stay within what one question can ask of each device: that of its target, those
    /// of its dynamic groups and of its stages. Each was checked before.
    pub(crate) async fn check_plan_size(
        &self,
        tenant: TenantId,
        target: Option<&str>,
        group_ids: &[GroupId],
        policy: &Policy,
    ) -> Result<()> {
        let mut texts: Vec<String> = target.map(str::to_owned).into_iter().collect();
        texts.extend(policy.stages.iter().filter_map(|stage| stage.condition.clone()));
        for id in group_ids {
            texts.extend(groups::get(&self.db, tenant, *id).await?.and_then(|group| group.condition));
        }
        let mut parts = 0;
        for text in texts {
            let condition = self.conditions.cel(&text).await?;
            parts += condition.map_err(|error| Error::internal("read a stored condition", error))?.parts();
        }
        if parts > PLAN_PARTS_MAX {
            let detail = format!(
                "the conditions of target, dynamic groups and stages have {parts} parts together, at most \
                 {PLAN_PARTS_MAX} are allowed: shorten them, or tag the devices and ask for the tag"
            );
            return Err(Error::unprocessable("plan_too_large", detail));
        }
        Ok(())
    }

    /// A condition that was checked when it was stored, at `now`. A group that it asks for and that is not among `groups`
    /// is an error: taken for one without members, "not in it" would hold for every device.
    pub(crate) async fn stored_condition(&self, text: &str, groups: &GroupIds, now: Timestamp) -> Result<Selection> {
        let broken = |error| Error::internal("read a stored condition", error);
        let condition = self.conditions.cel(text).await?.map_err(broken)?;
        Selection::new(condition, groups.clone(), now).map_err(|error| match error {
            Unselectable::UnknownGroup { name } => {
                let detail =
                    format!("a condition asks for the group {name:?}, which is not there; write the condition anew");
                Error::conflict(GROUP_GONE, detail)
            }
            telemetry @ Unselectable::Telemetry { .. } => Error::internal("use a stored condition", telemetry),
        })
    }

    /// Whether these conditions together ask for more than that many groups; so do those that cannot be read any more.
    pub(crate) async fn asks_for_more(&self, texts: &[String], groups: usize) -> Result<bool> {
        let mut names = BTreeSet::new();
        for text in texts {
            let Ok(condition) = self.conditions.cel(text).await? else { return Ok(true) };
            names.extend(condition.groups().into_iter().map(str::to_owned));
        }
        Ok(names.len() > groups)
    }

    /// The condition of a dynamic group, at `now`.
    pub(crate) async fn group_condition(
        &self,
        tenant: TenantId,
        group: GroupId,
        text: &str,
        now: Timestamp,
    ) -> Result<Selection> {
        let groups = condition_groups::of_group(&self.db, tenant, group).await?;
        self.stored_condition(text, &groups, now).await
    }
}

/// Holds the groups that a condition asks for until the transaction ends, in which that is noted: from then on they keep
/// their names and stay. Refuses when one of them changed since the condition was checked.
pub(crate) async fn hold_groups(tx: &mut Tx, tenant: TenantId, groups: &GroupIds) -> Result<()> {
    for (name, id) in groups {
        let found = groups::lock_by_name(tx, tenant, name).await?;
        if !found.is_some_and(|found| found.id.0 == *id && found.condition.is_none()) {
            let detail = format!("the group {name:?} was renamed or deleted at this moment; look at it and try again");
            return Err(Error::conflict("group_changed", detail));
        }
    }
    Ok(())
}
