//! What a device that asks is told.

mod open_stages;
mod published;
mod set;
#[cfg(test)]
mod set_tests;
mod withdraw;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_blob::{ObjectKey, PresignMethod};
use drover_db::{Conn, SetWriter};
use drover_protocol::{CheckReply, Offer, OfferedArtifact};
use drover_store::offers::{self, CandidateRow};
use drover_store::rollouts::{self, RolloutRow};
use drover_store::session_changes::Move;
use drover_store::{counters, stages};
use drover_types::{DeviceId, Exclusion, FailureClass, RolloutKind, RolloutState, SessionState, TenantId, Timestamp};

use crate::conditions::is_unusable;
use crate::error::retry;
use crate::feed::Look;
use crate::targets::RolloutTarget;
use crate::transitions::Change;
use crate::{App, Caller, Error, Result, rollout_preview};

pub(crate) use open_stages::OpenStages;
use open_stages::{OpenStage, Place};
pub(crate) use published::PublishedFirmware;
pub(crate) use set::make_all;
use set::room;

/// Sessions that one check looks at: a device waits in few rollouts at once. Those that come first are looked at each
/// time, the others in turn, so that no rollout waits behind others that have no room.
const CANDIDATES_MAX: usize = 8;
const CANDIDATES_FIRST: usize = 4;

/// The queue of offers to be made.
pub(crate) type OfferWriter = SetWriter<Attempt, Verdict, Error>;

/// One try to make an offer.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    tenant: TenantId,
    device: DeviceId,
    candidate: CandidateRow,
    /// Whom the rollout is for; none for a way back, which is for those that it updated.
    target: Option<Arc<RolloutTarget>>,
    now: Timestamp,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The device is told.
    Offered,
    /// It must not have that firmware (any more).
    Skipped,
    /// Not this device, not now.
    Refused,
    /// No device now: the stage has no room, or the rollout is for others than was thought.
    Closed,
}

impl Attempt {
    /// What ends the session, for a reason that a short code and a sentence name.
    fn skip(&self, (code, message): (&str, &str)) -> Change {
        let message = format!("left out when it came for the update: {message}");
        Change {
            session: self.candidate.id,
            rollout: self.candidate.rollout_id,
            stage: self.candidate.stage,
            device: self.device,
            class_before: None,
            step: Move {
                from: self.candidate.state,
                to: SessionState::Skipped,
                progress: 0,
                failure: Some((FailureClass::Precondition, code.to_owned(), message)),
                next_action_at: None,
            },
        }
    }
}

/// Code and sentence of a reason.
fn said(reason: Exclusion) -> (&'static str, &'static str) {
    (reason.as_str(), rollout_preview::explain(reason))
}

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
        let place = (tenant, candidate.rollout_id, candidate.stage);
        if let Some(stage) = self.open_stages.get(place, self.now()) {
            match self.attempt(tenant, device, candidate, stage).await? {
                Verdict::Offered => return Ok(true),
                Verdict::Skipped | Verdict::Refused => return Ok(false),
                Verdict::Closed => self.open_stages.forget(place),
            }
        }
        // A look without a lock first: a fleet that waits for a free place must not queue up for the writer.
        let Some(stage) = self.open_stage(place).await? else { return Ok(false) };
        self.open_stages.keep(place, stage.clone(), self.now());
        Ok(self.attempt(tenant, device, candidate, stage).await? == Verdict::Offered)
    }

    /// The stage, if it has room.
    async fn open_stage(&self, (tenant, rollout, stage): Place) -> Result<Option<OpenStage>> {
        let now = self.now();
        let Some(rollout) = rollouts::get(&self.db, tenant, rollout).await? else { return Ok(None) };
        let stages = stages::of_rollout(&self.db, tenant, rollout.id).await?;
        let counters = counters::of_rollout(&self.db, tenant, rollout.id).await?;
        if room(&rollout, &stages, &counters, stage)?.slots == 0 {
            return Ok(None);
        }
        if rollout.kind == RolloutKind::Rollback {
            return Ok(Some(OpenStage { target: None }));
        }
        let target = self.target_or_pause(tenant, &rollout, now).await?;
        Ok(target.map(|target| OpenStage { target: Some(Arc::new(target)) }))
    }

    async fn attempt(
        &self,
        tenant: TenantId,
        device: DeviceId,
        candidate: &CandidateRow,
        stage: OpenStage,
    ) -> Result<Verdict> {
        let (candidate, target) = (candidate.clone(), stage.target);
        let attempt = Attempt { tenant, device, candidate, target, now: self.now() };
        let verdict = match retry(|| self.offers.write(attempt.clone())).await {
            // Another check of the same device was faster: one session per component is in flight.
            Err(error) if is_component_busy(&error) => Verdict::Refused,
            verdict => verdict?,
        };
        if verdict == Verdict::Skipped {
            self.poke.notify_one();
        }
        Ok(verdict)
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
        if withdraw::reason(Conn::from(&self.db), &target, device).await?.is_none() {
            return Ok(true);
        }
        let attempt = Attempt { tenant, device, candidate: candidate.clone(), target: Some(Arc::new(target)), now };
        let verdict = retry(|| {
            let attempt = attempt.clone();
            // With others: each in a transaction of its own, thousands would take all connections while they wait.
            self.writer.write_batched(move |tx| Box::pin(async move { withdraw::run(tx, &attempt).await }))
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
        let published = self.published(tenant, candidate.firmware_id).await?;
        let (now, ttl) = (self.now(), self.settings.offer_ttl);
        let mut expires_at = now.plus(ttl);
        let mut offered = Vec::new();
        for artifact in &published.artifacts {
            let key = ObjectKey::content(tenant, artifact.sha256);
            let url = self.blobs.presign(PresignMethod::Get, &key, ttl, now, None).await;
            let url = url.map_err(|error| Error::internal("sign an address", error))?;
            expires_at = expires_at.min(url.expires_at);
            offered.push(OfferedArtifact {
                name: artifact.name.clone(),
                url: url.url,
                checksum: artifact.sha256,
                size_bytes: u64::try_from(artifact.size_bytes).unwrap_or(0),
                signature: artifact.bundle.clone().unwrap_or_default(),
            });
        }
        let row = &published.row;
        Ok(Offer {
            session_id: candidate.id,
            rollout_id: candidate.rollout_id,
            firmware_id: row.id,
            component: row.component.clone(),
            version: row.version.clone(),
            manifest: STANDARD.encode(&row.manifest),
            manifest_bundle: row.manifest_bundle.clone(),
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

/// Whether the database refused a second session in flight of one component.
fn is_component_busy(error: &Error) -> bool {
    let source = error.source.as_deref().and_then(|source| source.downcast_ref());
    source.and_then(drover_db::unique_violation).is_some()
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
