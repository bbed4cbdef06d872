//! What the server and whoever watches are told about an update.

use drover_protocol::{Directive, Failure, StatusReport, ValidationOutcome, ValidationReport};
use drover_types::SessionState;
use drover_uplink::Report;

use super::{Flow, Worker, running, state_of};
use crate::blacklist::Blacklist;
use crate::effect::Effect;
use crate::error::AgentError;
use crate::journal::{Outcome, Step, Update};
use crate::next::Ending;
use crate::reporter::ReportError;
use crate::state::{LastUpdate, UpdateState};

impl Worker<'_> {
    pub(super) fn report_end(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let Step::Ended { outcome } = &update.step else { return Ok(Flow::Go) };
        let context = self.context;
        if let Outcome::RolledBack { .. } = outcome {
            let path = context.layout.blacklist();
            context.effect(Effect::Blacklist, || {
                let mut blacklist = Blacklist::load(&path)?;
                blacklist.count(&update.artifacts, update.session_id, update.accepted_at);
                context.with_room(|| blacklist.store(&path))
            })?;
        }
        match outcome {
            Outcome::Succeeded => self.push_validation(update, ValidationOutcome::Succeeded, None)?,
            Outcome::RolledBack { cause } => {
                self.push_validation(update, ValidationOutcome::RolledBack, Some(cause.clone()))?;
            }
            Outcome::Failed { cause } => self.push_status(update, SessionState::Failed, 0, Some(cause.clone()))?,
            Outcome::Cancelled => self.push_status(update, SessionState::Cancelled, 0, None)?,
        }
        self.conclude(update, Ending::Reported)
    }

    /// Queues how far it is. Progress that cannot be queued must not hold the update up.
    pub(crate) fn tell(&self, update: &Update, state: SessionState, progress: u8) {
        let report = self.status(update, state, progress, None);
        if let Err(error) = self.context.reporter.push(&report, &*self.context.observer) {
            tracing::warn!(session = %update.session_id, %error, "the server does not hear of the progress");
        }
    }

    fn status(&self, update: &Update, state: SessionState, progress: u8, failure: Option<Failure>) -> Report {
        let device_time = Some(self.context.clock.now());
        Report::Status(StatusReport { session_id: update.session_id, state, progress, failure, device_time })
    }

    fn push(&self, report: &Report) -> Result<(), AgentError> {
        Ok(self.context.with_room(|| self.context.reporter.push(report, &*self.context.observer))?)
    }

    pub(crate) fn push_status(
        &self,
        update: &Update,
        state: SessionState,
        progress: u8,
        failure: Option<Failure>,
    ) -> Result<(), AgentError> {
        self.push(&self.status(update, state, progress, failure))
    }

    fn push_validation(
        &self,
        update: &Update,
        outcome: ValidationOutcome,
        failure: Option<Failure>,
    ) -> Result<(), AgentError> {
        let (version, manifest_sha256) = running(&self.component.paths);
        let report = ValidationReport {
            session_id: update.session_id,
            outcome,
            component: self.component.name.clone(),
            version,
            manifest_sha256,
            failure,
            device_time: Some(self.context.clock.now()),
        };
        self.push(&Report::Validation(report))
    }

    pub(crate) async fn flush(&self, update: &Update) -> Result<Option<Directive>, ReportError> {
        let Some(client) = self.client else { return Ok(None) };
        self.context.reporter.flush(client, Some(update.session_id), &*self.context.observer).await
    }

    /// Tells whoever watches.
    pub(super) fn publish(&self, update: &Update, ended: Option<LastUpdate>) {
        let (version, manifest_sha256) = running(&self.component.paths);
        let queued_reports = self.context.reporter.len();
        self.context.state.send_modify(|state| {
            let component = state.components.entry(self.component.name.clone()).or_default();
            (component.version, component.manifest_sha256) = (version, manifest_sha256);
            let progress = component.update.as_ref().map_or(0, |update| update.progress);
            component.update = ended.is_none().then(|| UpdateState {
                session_id: update.session_id,
                version: update.offer.version.clone(),
                state: state_of(&update.step),
                progress,
            });
            component.last = ended.or(component.last.take());
            state.queued_reports = queued_reports;
        });
    }
}
