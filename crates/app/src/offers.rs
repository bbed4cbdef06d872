//! What a device that asks is told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_blob::{ObjectKey, PresignMethod};
use drover_db::{Conn, Tx};
use drover_protocol::{CheckReply, Offer, OfferedArtifact};
use drover_rollout::{Policy, Snapshot, offer_slots};
use drover_store::offers::{self, CandidateRow};
use drover_store::rollouts::{self, RolloutRow};
use drover_store::update_sessions::{self, Move};
use drover_store::{artifacts, counters, device_components, firmware, stages, targets};
use drover_types::{
    DeviceId, Exclusion, FailureClass, FirmwareId, RolloutKind, RolloutState, SessionState, StageState, TenantId,
    Timestamp,
};

use crate::conditions::is_unusable;
use crate::error::retry;
use crate::feed::Look;
use crate::rollouts::stage_snapshots;
use crate::targets::RolloutTarget;
use crate::transitions::{self, Subject};
use crate::{App, Caller, Error, Result, rollout_policy, rollout_preview};

/// Sessions that one check looks at: a device waits in few rollouts at once. Those that come first are looked at each
/// time, the others in turn, so that no rollout waits behind others that have no room.
const CANDIDATES_MAX: usize = 8;
const CANDIDATES_FIRST: usize = 4;

const COMPONENT_BUSY: &str = "component_busy";

impl App {
    /// A device asks for work.
    pub async fn update_check(&self, caller: &Caller) -> Result<CheckReply> {
        let (tenant, device) = caller.authorize_device()?;
        self.note_seen(caller).await?;
        let look = if self.copies_hold().await? { self.feed.work.look(device) } else { Look::Unknown };
        if look == Look::Nothing {
            return Ok(self.nothing());
        }
        let candidates = offers::candidates(&self.db, tenant, device).await?;
        if candidates.is_empty() {
            self.feed.work.settle(device, look);
            return Ok(self.nothing());
        }
        let mut told = None;
        for candidate in to_look_at(candidates, usize::try_from(self.draw(64)).unwrap_or(0)) {
            let is_told = match candidate.state {
                SessionState::Pending => self.try_offer(tenant, device, &candidate).await?,
                SessionState::Offered => self.still_stands(tenant, device, &candidate).await?,
                // It is at work: what it was told stands.
                _ => true,
            };
            if is_told {
                told = Some(candidate);
                break;
            }
        }
        let offer = match told {
            Some(candidate) => Some(self.offer(tenant, &candidate).await?),
            None => None,
        };
        // Who was chosen and must wait comes back sooner than who has nothing to wait for.
        let poll_interval_ms = if offer.is_some() { self.poll_interval_ms() } else { self.poll_soon_ms() };
        Ok(CheckReply { offer, poll_interval_ms })
    }

    fn nothing(&self) -> CheckReply {
        CheckReply { offer: None, poll_interval_ms: self.poll_interval_ms() }
    }

    /// Makes a pending session an offered one, if its rollout still allows it at this moment.
    async fn try_offer(&self, tenant: TenantId, device: DeviceId, candidate: &CandidateRow) -> Result<bool> {
        // A look without a lock first: a fleet that waits for a free place must not queue up for the writer.
        let Some(rollout) = rollouts::get(&self.db, tenant, candidate.rollout_id).await? else { return Ok(false) };
        if gate(Conn::from(&self.db), tenant, &rollout, candidate.stage).await?.is_none() {
            return Ok(false);
        }
        let now = self.now();
        let target = match rollout.kind {
            RolloutKind::Rollback => None,
            RolloutKind::Update => match self.target_or_pause(tenant, &rollout, now).await? {
                Some(target) => Some(target),
                None => return Ok(false),
            },
        };
        let attempt = Attempt { tenant, device, candidate: candidate.clone(), target, now };
        let verdict = retry(|| {
            let attempt = attempt.clone();
            self.writer.write_batched(move |tx| Box::pin(async move { attempt.run(tx).await }))
        })
        .await;
        match verdict {
            Ok(Verdict::Offered) => Ok(true),
            Ok(Verdict::Refused) => Ok(false),
            Ok(Verdict::Skipped) => {
                self.poke.notify_one();
                Ok(false)
            }
            // Another check of the same device was faster: one session per component is in flight.
            Err(error) if error.code == COMPONENT_BUSY => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a device that was told and has not begun is told again: its rollout has to go on, and the target to hold for
    /// it still. If it does not hold, the session ends. A way back that goes on stands: it is for those that run what is
    /// taken back, and this one may have installed what it was told and be about to say so.
    async fn still_stands(&self, tenant: TenantId, device: DeviceId, candidate: &CandidateRow) -> Result<bool> {
        let Some(rollout) = rollouts::get(&self.db, tenant, candidate.rollout_id).await? else { return Ok(false) };
        if matches!(rollout.state, RolloutState::Cancelled | RolloutState::RollingBack) {
            return Ok(false);
        }
        if rollout.kind == RolloutKind::Rollback {
            return Ok(true);
        }
        let now = self.now();
        let Some(target) = self.target_or_pause(tenant, &rollout, now).await? else { return Ok(false) };
        // A look without a lock first: nearly always it stands.
        if why_withdraw(Conn::from(&self.db), &target, device, now).await?.is_none() {
            return Ok(true);
        }
        let attempt = Attempt { tenant, device, candidate: candidate.clone(), target: Some(target), now };
        let verdict = retry(|| {
            let attempt = attempt.clone();
            self.writer.write_batched(move |tx| Box::pin(async move { attempt.withdraw(tx).await }))
        })
        .await?;
        self.poke.notify_one();
        Ok(matches!(verdict, Verdict::Offered))
    }

    /// Whom a rollout is for. One whose target asks for a group that is not there, or cannot be read any more, is for
    /// nobody until a person has looked: it pauses.
    async fn target_or_pause(
        &self,
        tenant: TenantId,
        rollout: &RolloutRow,
        now: Timestamp,
    ) -> Result<Option<RolloutTarget>> {
        let reason = match self.rollout_target(tenant, rollout, now).await {
            Err(error) if is_unusable(&error) => error.detail,
            target => return target.map(Some),
        };
        let (mut audit, id) = (self.audit_system(tenant), rollout.id);
        self.writer
            .write(move |tx| {
                Box::pin(async move {
                    crate::rollouts::pause(tx, tenant, id, RolloutState::Active, &reason, &mut audit, now).await
                })
            })
            .await?;
        Ok(None)
    }

    async fn offer(&self, tenant: TenantId, candidate: &CandidateRow) -> Result<Offer> {
        let gone = || Error::not_found("firmware", candidate.firmware_id);
        let row = firmware::get(&self.db, tenant, candidate.firmware_id).await?.ok_or_else(gone)?;
        let (now, ttl) = (self.now(), self.settings.offer_ttl);
        let mut expires_at = now.plus(ttl);
        let mut offered = Vec::new();
        for artifact in artifacts::of_firmware(&self.db, tenant, row.id).await? {
            let key = ObjectKey::content(tenant, artifact.sha256);
            let url = self.blobs.presign(PresignMethod::Get, &key, ttl, now, None).await;
            let url = url.map_err(|error| Error::internal("sign an address", error))?;
            expires_at = expires_at.min(url.expires_at);
            offered.push(OfferedArtifact {
                name: artifact.name,
                url: url.url,
                checksum: artifact.sha256,
                size_bytes: u64::try_from(artifact.size_bytes).unwrap_or(0),
                signature: artifact.bundle.unwrap_or_default(),
            });
        }
        Ok(Offer {
            session_id: candidate.id,
            rollout_id: candidate.rollout_id,
            firmware_id: row.id,
            component: row.component,
            version: row.version,
            manifest: STANDARD.encode(&row.manifest),
            manifest_bundle: row.manifest_bundle,
            artifacts: offered,
            expires_at,
        })
    }
}

/// The candidates of one check; `drawn` decides with which of the later ones it goes on.
fn to_look_at<T>(mut candidates: Vec<T>, drawn: usize) -> Vec<T> {
    if candidates.len() > CANDIDATES_MAX {
        let others = &mut candidates[CANDIDATES_FIRST..];
        others.rotate_left(drawn % others.len());
        candidates.truncate(CANDIDATES_MAX);
    }
    candidates
}

/// Asks the planner whether a rollout makes an offer at this stage now; its policy, if so.
async fn gate(mut conn: Conn<'_>, tenant: TenantId, rollout: &RolloutRow, stage: i64) -> Result<Option<Policy>> {
    if rollout.state != RolloutState::Active {
        return Ok(None);
    }
    let stages = stages::of_rollout(conn.reborrow(), tenant, rollout.id).await?;
    let own = stages.iter().find(|own| own.position == stage);
    if own.is_none_or(|own| matches!(own.state, StageState::Waiting | StageState::Opening)) {
        return Ok(None);
    }
    let counters = counters::of_rollout(conn, tenant, rollout.id).await?;
    let policy = rollout_policy::parse(&rollout.policy)?;
    let snapshot = Snapshot {
        state: rollout.state,
        kind: rollout.kind,
        stages: stage_snapshots(&stages, &counters),
        due: Vec::new(),
        child: None,
        children_needed: false,
    };
    Ok((offer_slots(&policy, &snapshot) > 0).then_some(policy))
}

/// One try to make an offer.
#[derive(Clone)]
struct Attempt {
    tenant: TenantId,
    device: DeviceId,
    candidate: CandidateRow,
    /// Whom the rollout is for; none for a way back, which is for those that it updated.
    target: Option<RolloutTarget>,
    now: Timestamp,
}

enum Verdict {
    /// The device is told.
    Offered,
    /// It must not have that firmware (any more).
    Skipped,
    /// Not now.
    Refused,
}

impl Attempt {
    async fn run(&self, tx: &mut Tx) -> Result<Verdict> {
        let Self { tenant, device, candidate, target, now } = self;
        let (tenant, device, now) = (*tenant, *device, *now);
        // Held still until the offer is made: a pause waits for it, later offers see the pause.
        let Some(rollout) = rollouts::locked(tx, tenant, candidate.rollout_id).await? else {
            return Ok(Verdict::Refused);
        };
        if let Some(target) = target
            && !target.stands(tx, tenant, rollout.id, Some(rollout.epoch)).await?
        {
            return Ok(Verdict::Refused);
        }
        let Some(policy) = gate(Conn::from(&mut *tx), tenant, &rollout, candidate.stage).await? else {
            return Ok(Verdict::Refused);
        };
        let running = device_components::get(&mut *tx, tenant, device, &candidate.component).await?;
        let running_firmware = running.as_ref().and_then(|running| running.firmware_id);
        if let Some((code, message)) = self.why_not(tx, &rollout, running_firmware).await? {
            return self.skip(tx, code, message).await;
        }
        let offer = update_sessions::Offer {
            from_version: running.and_then(|running| running.version),
            from_firmware: running_firmware,
            next_action_at: now.plus(Duration::from_millis(policy.session_timeout_ms)),
        };
        let offered = update_sessions::offer(tx, tenant, candidate.id, &offer, now).await;
        if !offered.map_err(component_busy)? {
            return Ok(Verdict::Refused);
        }
        let (rollout, stage) = (candidate.rollout_id, candidate.stage);
        let offered = (SessionState::Pending, SessionState::Offered);
        counters::shift(tx, (tenant, rollout), stage, (offered.0, None), (offered.1, None), 1).await?;
        transitions::after_change(tx, self.subject(), offered, now).await?;
        // A device that falls silent from here on is noticed in time.
        rollouts::wake(tx, tenant, rollout, offer.next_action_at).await?;
        Ok(Verdict::Offered)
    }

    /// Why the device may not have the firmware any more, if so. Since it was chosen, another rollout may have brought it
    /// further, a dependency may have gone, or the target may not hold for it now.
    async fn why_not(
        &self,
        tx: &mut Tx,
        rollout: &RolloutRow,
        running: Option<FirmwareId>,
    ) -> Result<Option<(&'static str, &'static str)>> {
        let Some(target) = &self.target else {
            let runs_on = running != Some(rollout.firmware_id);
            return Ok(runs_on.then_some(("not_running", "it does not run any more what is taken back")));
        };
        let reason = targets::why_not(tx, &target.target, self.device, self.now).await?;
        Ok(reason.map(|reason| (reason.as_str(), rollout_preview::explain(reason))))
    }

    /// Ends the session, unless the device has begun or the target holds after all.
    async fn withdraw(&self, tx: &mut Tx) -> Result<Verdict> {
        let Self { tenant, device, candidate, target, now } = self;
        let epoch = rollouts::lock(tx, *tenant, candidate.rollout_id).await?;
        let Some(target) = target else { return Ok(Verdict::Offered) };
        if !target.stands(tx, *tenant, candidate.rollout_id, epoch).await? {
            return Ok(Verdict::Refused);
        }
        match why_withdraw(Conn::from(&mut *tx), target, *device, *now).await? {
            Some(reason) => self.skip(tx, reason.as_str(), rollout_preview::explain(reason)).await,
            None => Ok(Verdict::Offered),
        }
    }

    async fn skip(&self, tx: &mut Tx, code: &str, message: &str) -> Result<Verdict> {
        let message = format!("left out when it came for the update: {message}");
        let change = Move {
            from: self.candidate.state,
            to: SessionState::Skipped,
            progress: 0,
            failure: Some((FailureClass::Precondition, code.to_owned(), message)),
            next_action_at: None,
        };
        // Not when it has begun in this moment: then it is at work.
        transitions::apply(tx, self.subject(), &change, self.now).await?;
        Ok(Verdict::Skipped)
    }

    fn subject(&self) -> Subject {
        Subject {
            tenant: self.tenant,
            session: self.candidate.id,
            rollout: self.candidate.rollout_id,
            stage: self.candidate.stage,
            device: self.device,
            class_before: None,
        }
    }
}

/// Why an offer does not stand any more, if so. That the device runs the firmware is no reason: it may have installed it
/// on this very offer and be about to say so.
async fn why_withdraw(
    conn: Conn<'_>,
    target: &RolloutTarget,
    device: DeviceId,
    now: Timestamp,
) -> Result<Option<Exclusion>> {
    let reason = targets::why_not(conn, &target.target, device, now).await?;
    Ok(reason.filter(|reason| *reason != Exclusion::SameVersion))
}

fn component_busy(error: sqlx::Error) -> Error {
    match drover_db::unique_violation(&error) {
        Some(_) => Error::conflict(COMPONENT_BUSY, "another update of this component is under way").with_source(error),
        None => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rollout_has_its_turn_though_the_first_ones_have_no_room() {
        assert_eq!(to_look_at((0..8).collect(), 63), (0..8).collect::<Vec<_>>(), "all of them, in their order");
        let looked: Vec<_> = (0..64).map(|drawn| to_look_at((0..12).collect::<Vec<_>>(), drawn)).collect();
        assert!(looked.iter().all(|one| one.len() == 8 && one[..4] == [0, 1, 2, 3]));
        assert!((4..12).all(|other| looked.iter().any(|one| one.contains(&other))));
        assert_eq!(looked[0], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(looked[7], [0, 1, 2, 3, 11, 4, 5, 6]);
    }
}
