//! Offers that stand and must not.

use drover_db::{Conn, Tx};
use drover_store::{rollouts, targets};
use drover_types::{DeviceId, Exclusion};

use super::{Attempt, Verdict, said};
use crate::Result;
use crate::targets::RolloutTarget;
use crate::transitions;

/// Ends the session, unless the device has begun or the target holds after all.
pub(super) async fn run(tx: &mut Tx, attempt: &Attempt) -> Result<Verdict> {
    let Attempt { tenant, device, candidate, target, now } = attempt;
    let epoch = rollouts::lock(tx, *tenant, candidate.rollout_id).await?;
    let Some(target) = target else { return Ok(Verdict::Offered) };
    if !target.stands(tx, *tenant, candidate.rollout_id, epoch).await? {
        return Ok(Verdict::Closed);
    }
    let Some(reason) = reason(Conn::from(&mut *tx), target, *device).await? else { return Ok(Verdict::Offered) };
    // Not when it has begun in this moment: then it is at work.
    transitions::apply(tx, *tenant, &[attempt.skip(said(reason))], *now).await?;
    Ok(Verdict::Skipped)
}

/// Why an offer does not stand any more, if so. That the device runs the firmware is no reason: it may have installed it
/// on this very offer and be about to say so.
pub(super) async fn reason(conn: Conn<'_>, target: &RolloutTarget, device: DeviceId) -> Result<Option<Exclusion>> {
    let reason = targets::why_not(conn, &target.target, &[device], target.asked_at).await?.remove(&device);
    Ok(reason.filter(|reason| *reason != Exclusion::SameVersion))
}
