//! What decides whether a rollout may take a device.

use drover_db::Conn;
use drover_store::firmware::{self, FirmwareRow};
use drover_store::groups::NamedRow;
use drover_store::rollouts::{self, RolloutRow};
use drover_store::targets::Target;
use drover_types::{RolloutId, TenantId, Timestamp};

use crate::{Error, Result, conditions};

/// The target of a rollout as it is asked for at `now`.
pub(crate) async fn of_rollout(
    mut conn: Conn<'_>,
    tenant: TenantId,
    rollout: &RolloutRow,
    now: Timestamp,
) -> Result<Target> {
    let id = rollout.firmware_id;
    let firmware = firmware::get(conn.reborrow(), tenant, id).await?.ok_or_else(|| Error::not_found("firmware", id))?;
    let groups = rollouts::target_groups(conn, tenant, rollout.id).await?;
    let plan = TargetPlan { rollout: Some(rollout.id), groups, condition: rollout.target_condition.as_deref() };
    plan.target(tenant, firmware, now)
}

/// Whom a rollout is for, besides devices of the firmware's type.
pub(crate) struct TargetPlan<'t> {
    /// None before there is one.
    pub(crate) rollout: Option<RolloutId>,
    pub(crate) groups: Vec<NamedRow>,
    pub(crate) condition: Option<&'t str>,
}

impl TargetPlan<'_> {
    pub(crate) fn target(self, tenant: TenantId, firmware: FirmwareRow, now: Timestamp) -> Result<Target> {
        let (mut groups, mut dynamic_groups) = (Vec::new(), Vec::new());
        for group in self.groups {
            match group.condition {
                None => groups.push(group.id),
                Some(condition) => dynamic_groups.push(conditions::stored(&condition, now)?),
            }
        }
        Ok(Target {
            tenant,
            rollout: self.rollout,
            firmware: firmware.id,
            device_type: firmware.device_type,
            component: firmware.component,
            version: firmware.version,
            release_counter: firmware.release_counter,
            groups,
            dynamic_groups,
            condition: self.condition.map(|condition| conditions::stored(condition, now)).transpose()?,
        })
    }
}

/// ceil(percentage · all).
pub(crate) fn share(percentage: u8, all: i64) -> i64 {
    i64::try_from((i128::from(percentage) * i128::from(all) + 99) / 100).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_share_is_rounded_up_and_never_more_than_all() {
        assert_eq!((share(20, 20), share(1, 20), share(50, 3), share(100, 7), share(33, 0)), (4, 1, 2, 7, 0));
    }
}
