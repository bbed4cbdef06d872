//! What decides whether a rollout may take a device.

use drover_db::Tx;
use drover_rules::GroupIds;
use drover_store::condition_groups;
use drover_store::firmware::FirmwareRow;
use drover_store::groups::NamedRow;
use drover_store::rollouts::{self, RolloutRow};
use drover_store::targets::Target;
use drover_types::{RolloutId, TenantId, Timestamp};

use crate::{App, Result};

/// The target of a rollout as it was at one moment.
#[derive(Debug, Clone)]
pub(crate) struct RolloutTarget {
    epoch: i64,
    groups: Vec<NamedRow>,
    /// The moment that its conditions ask about.
    pub(crate) asked_at: Timestamp,
    pub(crate) target: Target,
}

impl RolloutTarget {
    /// Without target groups.
    #[cfg(test)]
    pub(crate) const fn of(epoch: i64, target: Target, asked_at: Timestamp) -> Self {
        Self { epoch, groups: Vec::new(), asked_at, target }
    }

    /// Whether the rollout, whose epoch is `epoch` now, is still for the same devices.
    pub(crate) async fn stands(
        &self,
        tx: &mut Tx,
        tenant: TenantId,
        rollout: RolloutId,
        epoch: Option<i64>,
    ) -> Result<bool> {
        let groups =
            if self.asks_for_groups() { rollouts::target_groups(tx, tenant, rollout).await? } else { Vec::new() };
        Ok(self.is_of(epoch, &groups))
    }

    /// Whether its groups have to be read to know whether it stands.
    pub(crate) const fn asks_for_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Whether it stands while the rollout has that epoch and those target groups: it does not change but with its
    /// rollout's state and its dynamic groups.
    pub(crate) fn is_of(&self, epoch: Option<i64>, groups: &[NamedRow]) -> bool {
        epoch == Some(self.epoch) && groups == self.groups
    }
}

impl App {
    /// The target of a rollout as it is asked for at `now`.
    pub(crate) async fn rollout_target(
        &self,
        tenant: TenantId,
        rollout: &RolloutRow,
        now: Timestamp,
    ) -> Result<RolloutTarget> {
        let firmware = self.published(tenant, rollout.firmware_id).await?;
        let groups = rollouts::target_groups(&self.db, tenant, rollout.id).await?;
        let condition = rollout.target_condition.as_deref();
        let asks = condition.is_some() || groups.iter().any(|group| group.condition.is_some());
        let asked = if asks {
            condition_groups::of_rollout(&self.db, tenant, rollout.id).await?
        } else {
            // Every offer comes here, and most rollouts have no condition.
            GroupIds::new()
        };
        let plan = TargetPlan { rollout: Some(rollout.id), groups: groups.clone(), condition, asked: &asked };
        let target = plan.target(self, tenant, &firmware.row, now).await?;
        Ok(RolloutTarget { epoch: rollout.epoch, groups, asked_at: now, target })
    }
}

/// Whom a rollout is for, besides devices of the firmware's type.
pub(crate) struct TargetPlan<'t> {
    /// None before there is one.
    pub(crate) rollout: Option<RolloutId>,
    pub(crate) groups: Vec<NamedRow>,
    pub(crate) condition: Option<&'t str>,
    /// The groups that the condition and those of dynamic groups ask for.
    pub(crate) asked: &'t GroupIds,
}

impl TargetPlan<'_> {
    pub(crate) async fn target(
        self,
        app: &App,
        tenant: TenantId,
        firmware: &FirmwareRow,
        now: Timestamp,
    ) -> Result<Target> {
        let (mut groups, mut dynamic_groups) = (Vec::new(), Vec::new());
        for group in self.groups {
            match group.condition {
                None => groups.push(group.id),
                Some(condition) => dynamic_groups.push(app.stored_condition(&condition, self.asked, now).await?),
            }
        }
        let condition = match self.condition {
            Some(condition) => Some(app.stored_condition(condition, self.asked, now).await?),
            None => None,
        };
        Ok(Target {
            tenant,
            rollout: self.rollout,
            firmware: firmware.id,
            device_type: firmware.device_type.clone(),
            component: firmware.component.clone(),
            version: firmware.version.clone(),
            release_counter: firmware.release_counter,
            groups,
            dynamic_groups,
            condition,
        })
    }
}

/// ceil(percentage · all).
pub(crate) fn share(percentage: u8, all: i64) -> i64 {
    i64::try_from((i128::from(percentage) * i128::from(all) + 99) / 100).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use drover_types::{ComponentName, FirmwareId, GroupId, TenantId};
    use uuid::Uuid;

    use super::{NamedRow, RolloutTarget, Target, Timestamp, share};

    #[test]
    fn a_target_that_was_read_before_holds_until_its_rollout_or_a_group_changes() {
        let group = |condition: &str| NamedRow { id: GroupId(Uuid::max()), condition: Some(condition.to_owned()) };
        let target = Target {
            tenant: TenantId(Uuid::nil()),
            rollout: None,
            firmware: FirmwareId(Uuid::nil()),
            device_type: "truck".to_owned(),
            component: ComponentName::main(),
            version: "1.0.0".parse().unwrap(),
            release_counter: 1,
            groups: Vec::new(),
            dynamic_groups: Vec::new(),
            condition: None,
        };
        let read =
            RolloutTarget { groups: vec![group("true")], ..RolloutTarget::of(3, target, Timestamp::from_micros(0)) };
        assert!(read.is_of(Some(3), &[group("true")]));
        assert!(!read.is_of(Some(3), &[group("false")]), "the group has others now");
        assert!(!read.is_of(Some(3), &[]));
        assert!(!read.is_of(Some(4), &[group("true")]), "it was paused and resumed");
        assert!(!read.is_of(None, &[group("true")]));
    }

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_all() {
        assert_eq!((share(20, 20), share(1, 20), share(50, 3), share(100, 7), share(33, 0)), (4, 1, 2, 7, 0));
    }
}
