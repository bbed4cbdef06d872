//! From the text of a condition to what the store selects devices by.

use std::collections::BTreeSet;
use std::sync::Arc;

use drover_db::Tx;
use drover_rollout::Policy;
use drover_rules::{Condition, GroupIds, Unselectable};
use drover_store::conditions::Selection;
use drover_store::groups::NamedRow;
use drover_store::{condition_groups, groups};
use drover_types::{GroupId, TenantId, Timestamp};

use crate::{Access, App, Error, Result};

/// Comparisons and values of all conditions of a plan: a preview and the choice of devices ask them of each device.
const PLAN_PARTS_MAX: usize = 512;

/// The code of the error that a stored condition asks for a group that is not there.
const GROUP_GONE: &str = "condition_group_gone";

/// The code of the error that a stored condition is not allowed any more: an older program took it.
const REFUSED: &str = "condition_refused";

/// Whether a stored condition cannot be used until a person has looked: trying again brings nothing.
pub(crate) fn is_unusable(error: &Error) -> bool {
    matches!(error.code, GROUP_GONE | REFUSED)
}

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
        Selection::new(condition, &ids, self.now()).map_err(|error| Error::field(field, error.to_string()))
    }

    /// Whether the conditions of a plan stay within what one question can ask of each device: that of its target, those
    /// of its dynamic groups and of its stages. Each was checked before.
    pub(crate) async fn check_plan_size(
        &self,
        target: Option<&str>,
        groups: &[NamedRow],
        policy: &Policy,
    ) -> Result<()> {
        let stages = policy.stages.iter().filter_map(|stage| stage.condition.as_deref());
        let dynamic = groups.iter().filter_map(|group| group.condition.as_deref());
        let mut parts = 0;
        for text in target.into_iter().chain(stages).chain(dynamic) {
            parts += self.stored(text).await?.parts();
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
        let condition = self.stored(text).await?;
        Selection::new(condition, groups, now).map_err(|error| match error {
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

    async fn stored(&self, text: &str) -> Result<Arc<Condition>> {
        self.conditions.cel(text).await?.map_err(|error| {
            // Without its text: whoever reads this may have no right to the groups in it.
            let (line, column) = (error.line(), error.column());
            let detail = format!(
                "a stored condition is not allowed any more, see its line {line}, column {column}; write the condition anew"
            );
            Error::conflict(REFUSED, detail).with_source(error)
        })
    }

    /// The condition of a group at `now`; none when it is static or not there.
    ///
    /// Its text and the groups that it asks for are read one after the other. When they do not fit, it may have been
    /// changed between the two: a second look tells.
    pub(crate) async fn group_condition(
        &self,
        tenant: TenantId,
        group: GroupId,
        now: Timestamp,
    ) -> Result<Option<Selection>> {
        match self.read_group_condition(tenant, group, now).await {
            Err(error) if error.code == GROUP_GONE => self.read_group_condition(tenant, group, now).await,
            read => read,
        }
    }

    async fn read_group_condition(
        &self,
        tenant: TenantId,
        group: GroupId,
        now: Timestamp,
    ) -> Result<Option<Selection>> {
        let row = groups::get(&self.db, tenant, group).await?;
        let Some(text) = row.and_then(|row| row.condition) else { return Ok(None) };
        let asked = condition_groups::of_group(&self.db, tenant, group).await?;
        self.stored_condition(&text, &asked, now).await.map(Some)
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
