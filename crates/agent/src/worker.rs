//! The driver: does what [`crate::next::next`] says, journal first.

mod telling;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use drover_protocol::{Directive, Failure};
use drover_trust::Manifest;
use drover_types::{ComponentName, FailureClass, SessionState, Sha256Digest, Version};
use drover_uplink::{CallError, Client, durable};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admit;
use crate::ballast::is_full;
use crate::config::ComponentConfig;
use crate::context::Context;
use crate::effect::Effect;
use crate::error::AgentError;
use crate::failure::{failure, with_causes};
use crate::journal::{self, Outcome, Step, Update};
use crate::layout::{ComponentPaths, Link};
use crate::next::{Action, Ending, MAX_REACTIVATIONS, begin_reactivation, begin_test, conclude, next, stop_test};
use crate::reporter::ReportError;
use crate::slot::{self, Release, SlotError};
use crate::state::LastUpdate;
use crate::transfer::Tries;
use crate::world;

/// Between two tries to activate what came back, no longer than this: the device stands without its application.
const REACTIVATION_MAX_WAIT: Duration = Duration::from_secs(30);
/// Telling the server how a trial goes must not hold the trial up for longer.
const COURTESY_TIMEOUT: Duration = Duration::from_secs(5);

/// One component and the update that it is in.
pub(crate) struct Component {
    pub(crate) name: ComponentName,
    pub(crate) settings: ComponentConfig,
    pub(crate) paths: ComponentPaths,
    pub(crate) update: Option<Update>,
    pub(crate) tries: Tries,
    /// What could not be removed; it is not tried again before the next update.
    pub(crate) stuck: BTreeSet<PathBuf>,
    /// When what runs, and did not start, is to be activated again; at once when there is no time.
    pub(crate) next_activation: Option<Instant>,
}

/// What comes after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// The next action.
    Go,
    /// Nothing is left to do.
    Idle,
    /// Something outside has to change first: try again after so long.
    Wait(Duration),
    /// The agent is told to stop.
    Stopped,
}

/// Works on one component.
pub(crate) struct Worker<'a> {
    pub(crate) context: &'a Context,
    /// None while the device cannot speak to its server, as its identity is missing or damaged. What is on the disk is
    /// brought to its end all the same.
    pub(crate) client: Option<&'a Client>,
    pub(crate) component: &'a mut Component,
    pub(crate) cancel: &'a CancellationToken,
}

impl Worker<'_> {
    /// Goes on until nothing is left to do, something has to be waited for, or the agent is told to stop.
    pub(crate) async fn work(&mut self) -> Result<Flow, AgentError> {
        if let Some(update) = &self.component.update {
            self.publish(update, None);
        }
        loop {
            if self.cancel.is_cancelled() {
                return Ok(Flow::Stopped);
            }
            let paths = &self.component.paths;
            let mut world = world::observe(paths, self.component.update.as_ref(), &self.component.stuck)
                .map_err(|source| AgentError::io(paths.root(), source))?;
            world.owes_activation &= self.component.next_activation.is_none_or(|due| due <= Instant::now());
            let action = next(self.component.update.as_ref(), &world);
            let flow = match self.component.update.clone() {
                Some(update) => self.perform(action, &update).await?,
                None if action == Action::Activate => self.activate_as_noted().await?,
                None => self.tidy(&action)?,
            };
            if flow != Flow::Go {
                return Ok(flow);
            }
        }
    }

    async fn perform(&mut self, action: Action, update: &Update) -> Result<Flow, AgentError> {
        match action {
            Action::Record(step) => self.record(Update { step, ..update.clone() }),
            // Only the server can let these go on.
            Action::Download | Action::Confirm if self.client.is_none() => {
                Ok(Flow::Wait(self.component.tries.next_wait(self.context)))
            }
            // Boxed: the state of all of them together would take much of a thread's stack.
            Action::CheckSlot => Box::pin(self.check_slot(update)).await,
            Action::Download => Box::pin(self.download(update)).await,
            Action::Unpack => Box::pin(self.unpack(update)).await,
            Action::PointNew => self.point(Effect::PointNew, Link::New, update.release),
            Action::PointOld(release) => self.point(Effect::PointOld, Link::Old, release),
            Action::Confirm => Box::pin(self.confirm(update)).await,
            Action::Test => Box::pin(self.test(update)).await,
            Action::Reactivate => Box::pin(self.reactivate(update)).await,
            Action::Report => self.report_end(update),
            Action::Forget => self.forget(update),
            other => self.tidy(&other),
        }
    }

    /// What needs no journal.
    fn tidy(&mut self, action: &Action) -> Result<Flow, AgentError> {
        let paths = &self.component.paths;
        let failed = |source| AgentError::io(paths.root(), source);
        match action {
            Action::PointCurrent(release) => return self.point(Effect::PointCurrent, Link::Current, *release),
            Action::RemoveCurrent => {
                self.context.effect(Effect::RemoveCurrent, || paths.unlink(Link::Current)).map_err(failed)?;
            }
            Action::RemoveNew => {
                self.context.effect(Effect::RemoveNew, || paths.unlink(Link::New)).map_err(failed)?;
            }
            Action::OweActivation => {
                let path = paths.reactivate();
                let note = || self.context.with_room(|| durable::replace_file(&path, b"", 0o600));
                self.context.effect(Effect::WriteJournal, note).map_err(failed)?;
                self.component.next_activation = None;
            }
            Action::CleanUp => {
                for path in world::litter(paths, &self.component.stuck).map_err(failed)? {
                    // What cannot be removed is in nobody's way.
                    if let Err(error) = self.context.effect(Effect::Remove, || slot::discard(&path)) {
                        tracing::warn!(%error, path = %path.display(), "it cannot be removed and stays for now");
                        self.component.stuck.insert(path);
                    }
                }
            }
            _ => return Ok(Flow::Idle),
        }
        Ok(Flow::Go)
    }

    fn point(&self, effect: Effect, link: Link, release: Sha256Digest) -> Result<Flow, AgentError> {
        let paths = &self.component.paths;
        self.context
            .effect(effect, || self.context.with_room(|| paths.point(link, release)))
            .map_err(|source| AgentError::io(&paths.link(link), source))?;
        Ok(Flow::Go)
    }

    /// Writes the journal, then takes its word.
    pub(crate) fn record(&mut self, update: Update) -> Result<Flow, AgentError> {
        let path = self.component.paths.journal();
        // Until the switch, waiting for space costs nothing but time, and what was downloaded is worth keeping.
        let may_wait = matches!(update.step, Step::Downloading | Step::Unpacking | Step::Staging | Step::Confirming);
        let store = || journal::store(&path, &update);
        let write = || if may_wait { store() } else { self.context.with_room(store) };
        self.context.effect(Effect::WriteJournal, write)?;
        self.publish(&update, None);
        self.component.update = Some(update);
        Ok(Flow::Go)
    }

    pub(crate) fn conclude(&mut self, update: &Update, ending: Ending) -> Result<Flow, AgentError> {
        if let Ending::Failed(cause) | Ending::Refuted(cause) = &ending {
            let Failure { code, message, .. } = cause;
            let (session, component) = (update.session_id, &self.component.name);
            tracing::warn!(%session, %component, %code, %message, "the update did not work");
        }
        self.record(conclude(update, ending))
    }

    async fn check_slot(&mut self, update: &Update) -> Result<Flow, AgentError> {
        match self.verify_slot(Effect::CheckSlot, update).await? {
            Ok(()) => self.conclude(update, Ending::SlotHolds),
            Err(error) => {
                tracing::warn!(%error, "a slot that was there already is not whole and is made again");
                match self.discard_slot(update) {
                    Ok(()) => Ok(Flow::Go),
                    Err(error) => self.conclude(update, Ending::Failed(slot_failure(&error))),
                }
            }
        }
    }

    fn discard_slot(&self, update: &Update) -> Result<(), SlotError> {
        let path = self.component.paths.slot(update.release);
        self.context.effect(Effect::Remove, || slot::discard(&path)).map_err(|source| SlotError::Io { path, source })
    }

    async fn verify_slot(&self, effect: Effect, update: &Update) -> Result<Result<(), SlotError>, AgentError> {
        let (paths, release) = (self.component.paths.clone(), update.release);
        self.context.observer.before(effect);
        let verified = tokio::task::spawn_blocking(move || slot::verify(&paths, release)).await?;
        self.context.observer.after(effect);
        Ok(verified)
    }

    async fn unpack(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let (manifest, manifest_bytes) = match read_manifest(update) {
            Ok(read) => read,
            Err(cause) => return self.conclude(update, Ending::Failed(cause)),
        };
        let (paths, bundle) = (self.component.paths.clone(), update.offer.manifest_bundle.clone());
        self.context.observer.before(Effect::Unpack);
        let built =
            tokio::task::spawn_blocking(move || slot::build(&paths, &manifest, &manifest_bytes, &bundle)).await?;
        self.context.observer.after(Effect::Unpack);
        if let Err(error) = built {
            return self.conclude(update, Ending::Failed(slot_failure(&error)));
        }
        let paths = &self.component.paths;
        if let Err(error) = self.context.effect(Effect::NameSlot, || slot::name(paths, update.release)) {
            return self.conclude(update, Ending::Failed(slot_failure(&error)));
        }
        self.conclude(update, Ending::Unpacked)
    }

    /// The server has the last word before the switch. Offline, an offer that has not expired is word enough.
    async fn confirm(&mut self, update: &Update) -> Result<Flow, AgentError> {
        self.push_status(update, SessionState::Installing, 100, None)?;
        match self.flush(update).await {
            Ok(Some(Directive::Stop)) => return self.conclude(update, Ending::Stopped),
            Ok(_) => {}
            Err(ReportError::Call(error)) if error.is_temporary() => {
                let now = self.context.clock.now();
                let offer_holds = update.accepted_at <= now && now < update.offer.expires_at;
                // A server that answers is not out of reach: its word is to be had.
                if !offer_holds || !matches!(error, CallError::Transport { .. }) {
                    tracing::info!(session = %update.session_id, %error, "the server's word is waited for");
                    return Ok(Flow::Wait(self.component.tries.next_wait(self.context)));
                }
                tracing::info!(session = %update.session_id, %error, "offline: going on, the offer has not expired");
            }
            Err(error) => return Err(error.into()),
        }
        // Right before the switch: nobody may have touched the slot while the server was asked.
        if let Err(error) = self.verify_slot(Effect::CheckSlot, update).await? {
            if let Err(error) = self.discard_slot(update) {
                tracing::warn!(%error, "a slot that is not right cannot be removed");
            }
            return self.conclude(update, Ending::Failed(slot_failure(&error)));
        }
        self.conclude(update, Ending::Confirmed)
    }

    async fn test(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let begun = begin_test(update);
        self.record(begun.clone())?;
        self.tell(update, SessionState::Validating, 100);
        if let Ok(Err(error)) = tokio::time::timeout(COURTESY_TIMEOUT, self.flush(update)).await {
            tracing::debug!(%error, "the server hears of the trial later");
        }
        match self.try_out(&begun).await {
            Ok(()) => {
                self.forget_activation();
                self.conclude(&begun, Ending::Passed)
            }
            // Told to stop: this try was not cut off, so it does not count as one.
            Err(None) => self.record(stop_test(update)).map(|_| Flow::Stopped),
            Err(Some(cause)) => self.conclude(&begun, Ending::Refuted(cause)),
        }
    }

    async fn reactivate(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let Step::RollingBack { cause } = &update.step else { return Ok(Flow::Go) };
        let begun = begin_reactivation(update);
        self.record(begun.clone())?;
        let second = match self.activate_current().await {
            Ok(()) => {
                self.forget_activation();
                return self.conclude(&begun, Ending::Reactivated);
            }
            // Told to stop: this try was not cut off, so it does not count as one.
            Err(None) => return self.record(update.clone()).map(|_| Flow::Stopped),
            Err(Some(second)) => second,
        };
        let tries = begun.reactivations;
        let Failure { code, message, .. } = &second;
        tracing::error!(component = %self.component.name, tries, %code, %message, "what came back does not start");
        if tries < MAX_REACTIVATIONS {
            let wait = self.context.backoff().delay(tries - 1, self.context.random());
            return Ok(Flow::Wait(wait.min(REACTIVATION_MAX_WAIT)));
        }
        let message = format!("{}; going back: tried {tries} times: {message}; trying on", cause.message);
        let cause = failure(cause.class, &cause.code, &message);
        self.record(Update { step: Step::RollingBack { cause }, ..begun })
    }

    /// Activates what came back, for as long as it takes: there is no other way from here, but a new update.
    async fn activate_as_noted(&mut self) -> Result<Flow, AgentError> {
        match self.activate_current().await {
            Ok(()) => self.forget_activation(),
            Err(None) => return Ok(Flow::Stopped),
            Err(Some(Failure { code, message, .. })) => {
                let wait = Duration::from_millis(self.context.config.retry_max_ms);
                tracing::error!(component = %self.component.name, %code, %message, next_try_ms = wait.as_millis(),
                    "what came back does not start");
                self.component.next_activation = Some(Instant::now() + wait);
            }
        }
        Ok(Flow::Go)
    }

    /// What runs was activated: no debt is left.
    fn forget_activation(&mut self) {
        self.component.next_activation = None;
        let path = self.component.paths.reactivate();
        if path.symlink_metadata().is_err() {
            return;
        }
        if let Err(error) = self.context.effect(Effect::RemoveJournal, || durable::remove_file(&path)) {
            // Otherwise the application would be started again and again.
            tracing::warn!(%error, path = %path.display(), "it cannot be removed and stays for now");
            self.component.stuck.insert(path);
        }
    }

    fn forget(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let path = self.component.paths.journal();
        self.context.effect(Effect::RemoveJournal, || journal::remove(&path))?;
        let (state, failure) = ended_as(&update.step);
        tracing::info!(session = %update.session_id, component = %self.component.name, version = %update.offer.version,
            outcome = %state, "the update ended");
        let last = LastUpdate { session_id: update.session_id, version: update.offer.version.clone(), state, failure };
        self.publish(update, Some(last));
        self.component.update = None;
        self.component.tries = Tries::default();
        Ok(Flow::Go)
    }

    /// The environment of the commands of a release.
    pub(crate) fn environment<'e>(
        &'e self,
        content: &'e std::path::Path,
        version: &'e str,
    ) -> [(&'e str, &'e OsStr); 4] {
        [
            ("DROVER_SLOT", content.as_os_str()),
            ("DROVER_VERSION", OsStr::new(version)),
            ("DROVER_COMPONENT", OsStr::new(self.component.name.as_str())),
            ("DROVER_DEVICE_DIR", self.context.layout.root().as_os_str()),
        ]
    }
}

/// What a component runs, as its slot says.
pub(crate) fn running_release(paths: &ComponentPaths) -> Option<Release> {
    let current = paths.target(Link::Current).unwrap_or_else(|error| {
        tracing::warn!(%error, "CURRENT cannot be read");
        None
    });
    slot::read_release(paths, current?)
}

/// The version that a component runs and the digest of its manifest.
pub(crate) fn running(paths: &ComponentPaths) -> (Option<Version>, Option<Sha256Digest>) {
    running_release(paths).map(|release| (release.version, release.manifest_sha256)).unzip()
}

/// The signed manifest in the journal. It was verified when the offer was accepted; its digest names the slot.
pub(crate) fn read_manifest(update: &Update) -> Result<(Manifest, Vec<u8>), Failure> {
    let bytes = admit::manifest_bytes(&update.offer)?;
    let wrong = |message: &str| failure(FailureClass::Verification, "manifest_not_trusted", message);
    if Manifest::digest(&bytes) != update.release {
        return Err(wrong("the manifest in the journal is not the one that was accepted"));
    }
    let manifest = Manifest::parse(&bytes).map_err(|error| wrong(&error.to_string()))?;
    Ok((manifest, bytes))
}

fn slot_failure(error: &SlotError) -> Failure {
    let (class, code) = match error {
        SlotError::Unpack(error) => error.code(),
        SlotError::Io { source, .. } if is_full(source) => (FailureClass::Space, "no_space"),
        SlotError::Io { .. } => (FailureClass::Install, "write_failed"),
        SlotError::Altered { .. } => (FailureClass::Verification, "slot_altered"),
    };
    failure(class, code, &with_causes(error))
}

fn ended_as(step: &Step) -> (SessionState, Option<Failure>) {
    let cause = match step {
        Step::Ended { outcome: Outcome::RolledBack { cause } | Outcome::Failed { cause } } => Some(cause.clone()),
        _ => None,
    };
    (state_of(step), cause)
}

/// The step in the words of the protocol.
pub(crate) const fn state_of(step: &Step) -> SessionState {
    match step {
        Step::Downloading => SessionState::Downloading,
        Step::Unpacking | Step::Staging | Step::Confirming => SessionState::Downloaded,
        Step::Switching => SessionState::Installing,
        Step::Testing | Step::RollingBack { .. } => SessionState::Validating,
        Step::Ended { outcome: Outcome::Succeeded } => SessionState::Succeeded,
        Step::Ended { outcome: Outcome::RolledBack { .. } } => SessionState::RolledBack,
        Step::Ended { outcome: Outcome::Failed { .. } } => SessionState::Failed,
        Step::Ended { outcome: Outcome::Cancelled } => SessionState::Cancelled,
    }
}
