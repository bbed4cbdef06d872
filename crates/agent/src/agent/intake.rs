//! What becomes of an offer: accepted into the journal, rejected, or done already.

use drover_protocol::{Failure, Offer, StatusReport, ValidationOutcome, ValidationReport};
use drover_trust::Manifest;
use drover_types::{ComponentName, FailureClass, SessionState, Version};
use drover_uplink::Report;

use super::Agent;
use crate::admit::{self, Rules};
use crate::blacklist::Blacklist;
use crate::effect::Effect;
use crate::error::AgentError;
use crate::failure::failure;
use crate::journal::{self, Step, Update};
use crate::layout::Link;
use crate::next::previous;
use crate::state::LastUpdate;
use crate::transfer::Tries;
use crate::worker::{running, running_release};
use crate::world;

impl Agent {
    /// Accepts or rejects an offer. An accepted one is in the journal.
    pub(super) fn take(&mut self, offer: Offer) -> Result<(), AgentError> {
        let index = self.components.iter().position(|component| component.name == offer.component);
        if index.is_some_and(|index| self.components[index].update.is_some()) {
            // It is under way, whatever keeps it.
            return Ok(());
        }
        if let Some(index) = index
            && self.runs_already(index, &offer)?
        {
            return Ok(());
        }
        match (self.admit(index, &offer)?, index) {
            (Ok(admitted), Some(index)) => {
                let component = &self.components[index];
                let paths = &component.paths;
                let world = world::observe(paths, None, &component.stuck)
                    .map_err(|source| AgentError::io(paths.root(), source))?;
                if world.foreign_current {
                    let cause = foreign_current(&paths.link(Link::Current));
                    return self.reject(&offer, cause);
                }
                let update = Update {
                    session_id: offer.session_id,
                    previous: previous(admitted.release, &world),
                    release: admitted.release,
                    artifacts: admitted.manifest.artifacts.iter().map(|artifact| artifact.sha256).collect(),
                    step: Step::Downloading,
                    attempt: 0,
                    stops: 0,
                    reactivations: 0,
                    reported: false,
                    accepted_at: self.context.clock.now(),
                    offer,
                };
                tracing::info!(session = %update.session_id, version = %update.offer.version, "an offer is accepted");
                let path = paths.journal();
                self.context.effect(Effect::WriteJournal, || journal::store(&path, &update))?;
                self.components[index].tries = Tries::default();
                self.components[index].stuck.clear();
                self.components[index].update = Some(update);
                Ok(())
            }
            (Err(cause), _) => self.reject(&offer, cause),
            // Without the component, `admit` refuses.
            (Ok(_), None) => Ok(()),
        }
    }

    /// What runs already needs no update: that is said at once.
    fn runs_already(&self, index: usize, offer: &Offer) -> Result<bool, AgentError> {
        let (version, current) = running(&self.components[index].paths);
        let offered = admit::manifest_bytes(offer).ok().map(|bytes| Manifest::digest(&bytes));
        if current.is_none() || current != offered {
            return Ok(false);
        }
        let report = ValidationReport {
            session_id: offer.session_id,
            outcome: ValidationOutcome::Succeeded,
            component: offer.component.clone(),
            version,
            manifest_sha256: current,
            failure: None,
            device_time: Some(self.context.clock.now()),
        };
        self.context.reporter.push(&Report::Validation(report), &*self.context.observer)?;
        Ok(true)
    }

    fn admit(&self, index: Option<usize>, offer: &Offer) -> Result<Result<admit::Admitted, Failure>, AgentError> {
        let blacklist = Blacklist::load(&self.context.layout.blacklist())?;
        let running_release = index.and_then(|index| running_release(&self.components[index].paths));
        let installed = |name: &ComponentName| -> Option<Version> {
            let component = self.components.iter().find(|component| component.name == *name)?;
            running(&component.paths).0
        };
        let rules = Rules {
            keys: self.keys.as_deref().unwrap_or_default(),
            device_type: &self.context.config.device_type,
            is_known: index.is_some(),
            running: running_release.as_ref(),
            installed: &installed,
            blacklist: &blacklist,
            blacklist_after: self.context.config.blacklist_after,
        };
        Ok(admit::admit(offer, &rules))
    }

    fn reject(&self, offer: &Offer, cause: Failure) -> Result<(), AgentError> {
        let Failure { code, message, .. } = &cause;
        tracing::warn!(session = %offer.session_id, %code, %message, "an offer is rejected");
        let report = StatusReport {
            session_id: offer.session_id,
            state: SessionState::Rejected,
            progress: 0,
            failure: Some(cause.clone()),
            device_time: Some(self.context.clock.now()),
        };
        self.context.reporter.push(&Report::Status(report), &*self.context.observer)?;
        let last = LastUpdate {
            session_id: offer.session_id,
            version: offer.version.clone(),
            state: SessionState::Rejected,
            failure: Some(cause),
        };
        self.publish(|state| {
            if let Some(component) = state.components.get_mut(&offer.component) {
                component.last = Some(last);
            }
        });
        Ok(())
    }
}

/// Something else runs this component: replacing it would take away what nobody can bring back.
fn foreign_current(path: &std::path::Path) -> Failure {
    let message = format!("{} is not a link that the agent made; move it away", path.display());
    failure(FailureClass::Precondition, "foreign_current", &message)
}
