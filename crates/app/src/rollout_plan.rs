//! What a plan says, checked: firmware, target groups, conditions and the groups that those ask for.

use std::collections::BTreeSet;

use drover_api::{RolloutCreate, RolloutUpdate, StageCreate};
use drover_db::Tx;
use drover_rules::GroupIds;
use drover_store::condition_groups::{self, Part};
use drover_store::firmware::FirmwareRow;
use drover_store::groups::{self, NamedRow};
use drover_store::rollouts;
use drover_types::{FirmwareState, GroupId, RolloutId, TenantId};

use crate::conditions::hold_groups;
use crate::{Access, App, Error, Reach, Result, rollout_policy, validate};

/// Groups that a rollout can target.
const GROUPS_MAX: usize = 100;

/// Dynamic ones among them: each makes every question about the target longer.
const DYNAMIC_GROUPS_MAX: usize = 10;

/// The groups that the conditions of a plan ask for. None where the plan has nothing to say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// By the condition on the target.
    pub(crate) target: Option<GroupIds>,
    /// By those of stages.
    pub(crate) stages: Option<GroupIds>,
}

impl Asked {
    /// All of them.
    pub(crate) fn all(&self) -> GroupIds {
        self.target.iter().chain(&self.stages).flatten().map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// Notes in the transaction of the change what the rollout asks for.
    pub(crate) async fn set(&self, tx: &mut Tx, tenant: TenantId, rollout: RolloutId) -> Result<()> {
        hold_groups(tx, tenant, &self.all()).await?;
        for (part, groups) in [(Part::Target, &self.target), (Part::Stages, &self.stages)] {
            if let Some(groups) = groups {
                condition_groups::set_of_rollout(tx, tenant, rollout, part, groups).await?;
            }
        }
        Ok(())
    }
}

/// A plan that can be created.
pub(crate) struct CheckedPlan {
    pub(crate) firmware: FirmwareRow,
    /// The target groups, each once.
    pub(crate) groups: Vec<NamedRow>,
    pub(crate) asked: Asked,
}

/// A change of a plan.
pub(crate) struct CheckedChange {
    /// The new target groups, each once.
    groups: Option<Vec<NamedRow>>,
    pub(crate) asked: Asked,
}

impl App {
    /// Whether a plan can be created: its firmware, its groups and what its conditions ask for, if so.
    pub(crate) async fn check_plan(&self, access: &Access, body: &RolloutCreate) -> Result<CheckedPlan> {
        let tenant = access.tenant;
        validate::text("name", &body.name, 100)?;
        if body.target_groups.is_empty() && access.reach != Reach::Tenant {
            return Err(needs_group());
        }
        let groups = self.check_target_groups(access, &body.target_groups).await?;
        let policy = rollout_policy::from_request(body)?;
        let asked = Asked {
            target: Some(self.check_target_condition(access, body.target_condition.as_deref()).await?),
            stages: Some(self.check_stage_conditions(access, &body.stages).await?),
        };
        self.check_plan_size(body.target_condition.as_deref(), &groups, &policy).await?;
        let firmware = drover_store::firmware::get(&self.db, tenant, body.firmware_id).await?;
        let firmware = firmware.ok_or_else(|| Error::field("firmware_id", "there is no such firmware"))?;
        if firmware.state != FirmwareState::Published {
            return Err(Error::conflict("firmware_not_published", "publish the firmware before it is rolled out"));
        }
        self.check_signing_key(tenant, firmware.signed_by).await?;
        Ok(CheckedPlan { firmware, groups, asked })
    }

    /// The same of what a change brings. What the rollout has already was checked when it came.
    pub(crate) async fn check_change(&self, access: &Access, body: &RolloutUpdate) -> Result<CheckedChange> {
        if let Some(name) = &body.name {
            validate::text("name", name, 100)?;
        }
        if body.remove_target_condition && body.target_condition.is_some() {
            return Err(Error::field("remove_target_condition", "either remove the condition or give a new one"));
        }
        let groups = match &body.target_groups {
            None => None,
            Some(groups) => Some(self.check_target_groups(access, groups).await?),
        };
        let target = if body.remove_target_condition || body.target_condition.is_some() {
            Some(self.check_target_condition(access, body.target_condition.as_deref()).await?)
        } else {
            None
        };
        let stages = match &body.stages {
            None => None,
            Some(stages) => Some(self.check_stage_conditions(access, stages).await?),
        };
        Ok(CheckedChange { groups, asked: Asked { target, stages } })
    }

    /// Whether the conditions of a draft stay within their bound with what a change brings. Looked at beside the
    /// transaction, which waits for nothing but its statements; two changes at once may go beyond it together.
    pub(crate) async fn check_changed_size(
        &self,
        tenant: TenantId,
        id: RolloutId,
        body: &RolloutUpdate,
        change: &CheckedChange,
    ) -> Result<()> {
        if body.stages.is_none() && body.target_condition.is_none() && change.groups.is_none() {
            return Ok(());
        }
        let row = rollouts::get(&self.db, tenant, id).await?.ok_or_else(|| Error::not_found("rollout", id))?;
        let policy = rollout_policy::with_update(rollout_policy::parse(&row.policy)?, body)?;
        let condition = changed_condition(body, row.target_condition);
        let groups = match &change.groups {
            Some(groups) => groups.clone(),
            None => rollouts::target_groups(&self.db, tenant, id).await?,
        };
        self.check_plan_size(condition.as_deref(), &groups, &policy).await
    }

    async fn check_target_condition(&self, access: &Access, condition: Option<&str>) -> Result<GroupIds> {
        let Some(condition) = condition else { return Ok(GroupIds::new()) };
        Ok(self.condition(access, "target_condition", condition).await?.into_groups())
    }

    async fn check_stage_conditions(&self, access: &Access, stages: &[StageCreate]) -> Result<GroupIds> {
        let mut asked = GroupIds::new();
        for (index, stage) in stages.iter().enumerate() {
            if let Some(condition) = &stage.condition {
                let field = format!("stages[{index}].condition");
                asked.extend(self.condition(access, &field, condition).await?.into_groups());
            }
        }
        Ok(asked)
    }

    async fn check_target_groups(&self, access: &Access, ids: &[GroupId]) -> Result<Vec<NamedRow>> {
        validate::at_most("target_groups", ids, GROUPS_MAX)?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids.iter().collect::<BTreeSet<_>>() {
            let there = access.reach.has_group(&self.db, access.tenant, *id).await?;
            let row = groups::get(&self.db, access.tenant, *id).await?.filter(|_| there);
            let row = row.ok_or_else(|| Error::field("target_groups", format!("there is no group {id}")))?;
            rows.push(NamedRow { id: row.id, condition: row.condition });
        }
        let dynamic = rows.iter().filter(|row| row.condition.is_some()).count();
        if dynamic > DYNAMIC_GROUPS_MAX {
            let detail = format!("must have at most {DYNAMIC_GROUPS_MAX} dynamic groups, has {dynamic}");
            return Err(Error::field("target_groups", detail));
        }
        Ok(rows)
    }
}

/// The target condition as a change leaves it.
pub(crate) fn changed_condition(body: &RolloutUpdate, before: Option<String>) -> Option<String> {
    if body.remove_target_condition { None } else { body.target_condition.clone().or(before) }
}

/// Whoever reaches only groups has to name some, and only those.
pub(crate) fn needs_group() -> Error {
    Error::field("target_groups", "name at least one: your right to roll out covers only groups")
}
