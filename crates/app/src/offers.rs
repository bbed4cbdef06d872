//! What a device that asks is told.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drover_blob::{ObjectKey, PresignMethod};
use drover_db::Tx;
use drover_protocol::{CheckReply, Offer, OfferedArtifact};
use drover_rollout::{Policy, Snapshot, offer_slots};
use drover_store::offers::{self, CandidateRow};
use drover_store::update_sessions::{self, Move};
use drover_store::{artifacts, counters, device_components, firmware, rollouts, stages};
use drover_types::{DeviceId, RolloutState, SessionState, StageState, TenantId, Timestamp};

use crate::rollouts::stage_snapshots;
use crate::transitions::{self, Subject};
use crate::{App, Caller, Error, Result, rollout_policy};

impl App {
    /// A device asks for work.
    pub async fn update_check(&self, caller: &Caller) -> Result<CheckReply> {
        let (tenant, device) = caller.authorize_device()?;
        self.note_seen(caller).await?;
        let mut told = None;
        for candidate in offers::candidates(&self.db, tenant, device).await? {
            if candidate.state.is_in_flight() || self.try_offer(tenant, device, &candidate).await? {
                told = Some(candidate);
                break;
            }
        }
        let offer = match told {
            Some(candidate) => Some(self.offer(tenant, &candidate).await?),
            None => None,
        };
        Ok(CheckReply { offer, poll_interval_ms: self.poll_interval_ms() })
    }

    /// Makes a pending session an offered one, if its rollout still allows it at this moment.
    async fn try_offer(&self, tenant: TenantId, device: DeviceId, candidate: &CandidateRow) -> Result<bool> {
        let attempt = Attempt { tenant, device, candidate: candidate.clone(), now: self.now() };
        let verdict = self.writer.write_batched(move |tx| Box::pin(async move { attempt.run(tx).await })).await?;
        if let Verdict::Skipped = verdict {
            self.poke.notify_one();
        }
        Ok(matches!(verdict, Verdict::Offered))
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

/// One try to make an offer.
struct Attempt {
    tenant: TenantId,
    device: DeviceId,
    candidate: CandidateRow,
    now: Timestamp,
}

enum Verdict {
    /// The device is told.
    Offered,
    /// It has that firmware already.
    Skipped,
    /// Not now.
    Refused,
}

impl Attempt {
    async fn run(&self, tx: &mut Tx) -> Result<Verdict> {
        let Self { tenant, device, candidate, now } = self;
        let (tenant, device, now) = (*tenant, *device, *now);
        let Some(policy) = self.offering_policy(tx).await? else { return Ok(Verdict::Refused) };
        let running = device_components::get(&mut *tx, tenant, device, &candidate.component).await?;
        if running.as_ref().and_then(|running| running.firmware_id) == Some(candidate.firmware_id) {
            return self.skip(tx).await;
        }
        let offer = update_sessions::Offer {
            from_version: running.as_ref().and_then(|running| running.version.clone()),
            from_firmware: running.and_then(|running| running.firmware_id),
            next_action_at: now.plus(Duration::from_millis(policy.session_timeout_ms)),
        };
        if !update_sessions::offer(tx, tenant, candidate.id, &offer, now).await? {
            return Ok(Verdict::Refused);
        }
        let (rollout, stage) = (candidate.rollout_id, candidate.stage);
        counters::add(tx, tenant, rollout, stage, SessionState::Pending, None, -1).await?;
        counters::add(tx, tenant, rollout, stage, SessionState::Offered, None, 1).await?;
        transitions::after_change(tx, self.subject(), SessionState::Offered, now).await?;
        Ok(Verdict::Offered)
    }

    /// The rollout's policy, if the planner lets it make an offer at this stage now. The rollout is held still until
    /// the transaction ends: a pause waits for offers that are being made, later ones see the pause.
    async fn offering_policy(&self, tx: &mut Tx) -> Result<Option<Policy>> {
        let (tenant, id) = (self.tenant, self.candidate.rollout_id);
        if rollouts::lock(tx, tenant, id).await?.is_none() {
            return Ok(None);
        }
        let Some(rollout) = rollouts::get(&mut *tx, tenant, id).await? else { return Ok(None) };
        let stages = stages::of_rollout(&mut *tx, tenant, id).await?;
        let own = stages.iter().find(|stage| stage.position == self.candidate.stage);
        let is_open = own.is_some_and(|own| !matches!(own.state, StageState::Waiting | StageState::Opening));
        if rollout.state != RolloutState::Active || !is_open {
            return Ok(None);
        }
        let counters = counters::of_rollout(&mut *tx, tenant, id).await?;
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

    async fn skip(&self, tx: &mut Tx) -> Result<Verdict> {
        let change = Move {
            from: SessionState::Pending,
            to: SessionState::Skipped,
            progress: 100,
            failure: None,
            next_action_at: None,
        };
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
