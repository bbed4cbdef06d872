//! Devices that come back late.

use drover_db::Tx;
use drover_store::rollouts::{self, RolloutRow, StateChange};
use drover_store::update_sessions::{self, Chosen, PendingStage, UpdateSessionRow};
use drover_store::{Result, changes, counters};
use drover_types::{RolloutState, SessionState, TenantId, Timestamp, UpdateSessionId};

/// A device that was given up on succeeded after all, in a rollout that is taken back or was: it goes back as well.
/// While there is no way back yet, the driver makes one and finds the device by itself. Says whether the device has work
/// now.
pub(crate) async fn follow(
    tx: &mut Tx,
    tenant: TenantId,
    rollout: &RolloutRow,
    session: &UpdateSessionRow,
    return_id: UpdateSessionId,
    now: Timestamp,
) -> Result<bool> {
    let taken_back = matches!(rollout.state, RolloutState::RollingBack | RolloutState::RolledBack);
    let (true, Some(firmware)) = (taken_back, session.from_firmware_id) else { return Ok(false) };
    let Some(child) = rollouts::child(&mut *tx, tenant, rollout.id).await? else {
        if rollout.state == RolloutState::RolledBack {
            // There was nobody to take back. Now there is, and the driver has to begin once more.
            let (from, to) = (RolloutState::RolledBack, RolloutState::RollingBack);
            rollouts::set_state(tx, tenant, rollout.id, &StateChange { from, to, reason: rollout.reason.clone() }, now)
                .await?;
        }
        return Ok(false);
    };
    rollouts::lock(tx, tenant, child.id).await?;
    let Some(child) = rollouts::get(&mut *tx, tenant, child.id).await? else { return Ok(false) };
    // A person who cancelled the way back decided for this device too.
    if child.state == RolloutState::Cancelled {
        return Ok(false);
    }
    let stage = PendingStage { rollout: child.id, stage: 0, component: session.component.clone() };
    let chosen = Chosen { id: return_id, device: session.device_id, firmware };
    if update_sessions::exists(&mut *tx, tenant, child.id, session.device_id).await? {
        return Ok(false);
    }
    update_sessions::insert_pending(tx, tenant, &stage, &[chosen], now).await?;
    counters::add(tx, tenant, child.id, 0, SessionState::Pending, None, 1).await?;
    if child.state == RolloutState::Completed {
        let reason = Some("a device came back late".to_owned());
        let change = StateChange { from: RolloutState::Completed, to: RolloutState::Active, reason };
        rollouts::set_state(tx, tenant, child.id, &change, now).await?;
    }
    changes::push_device(tx, tenant, session.device_id).await?;
    Ok(true)
}
