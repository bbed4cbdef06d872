//! What devices report about their updates.

mod decide;
mod set;
#[cfg(test)]
mod set_tests;

use drover_db::SetWriter;
use drover_protocol::{Failure, ReportReply, StatusReport, ValidationOutcome, ValidationReport};
use drover_types::{DeviceId, FailureClass, SessionState, TenantId, Timestamp, UpdateSessionId};

use crate::context::new_id;
use crate::error::retry;
use crate::{App, Caller, Error, Result, validate};

pub(crate) use set::take_all;

/// The queue of reports.
pub(crate) type ReportWriter = SetWriter<Report, Outcome, Error>;

/// One report, whichever way it came.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    tenant: TenantId,
    device: DeviceId,
    session: UpdateSessionId,
    state: SessionState,
    progress: u8,
    failure: Option<Failure>,
    /// What it says besides of the new version.
    validation: Option<ValidationReport>,
    now: Timestamp,
    /// For the session of a way back, should it need one.
    return_id: UpdateSessionId,
}

/// What a report did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    reply: ReportReply,
    /// The session moved on.
    moved: bool,
    /// The device has something else to do because of it.
    goes_back: bool,
}

impl App {
    /// A device says how an update is going.
    pub async fn status_report(&self, caller: &Caller, body: StatusReport) -> Result<ReportReply> {
        let (tenant, device) = caller.authorize_device()?;
        self.note_seen(caller).await?;
        let reportable = body.state.is_in_flight()
            || matches!(body.state, SessionState::Failed | SessionState::Rejected | SessionState::Cancelled);
        if !reportable || body.state == SessionState::Offered {
            return Err(Error::field(
                "state",
                "must be downloading, downloaded, installing, rebooting, validating, failed, rejected or cancelled; \
                 how an installed version did goes to /api/v1/validation",
            ));
        }
        if body.progress > 100 {
            return Err(Error::field("progress", "must be 0 to 100"));
        }
        let report = Report {
            tenant,
            device,
            session: body.session_id,
            state: body.state,
            progress: body.progress,
            failure: checked_failure(body.failure, body.state)?,
            validation: None,
            now: self.now(),
            return_id: new_id!(self, UpdateSessionId),
        };
        self.take_report(report).await
    }

    /// A device says how the new version did.
    pub async fn validation_report(&self, caller: &Caller, body: ValidationReport) -> Result<ReportReply> {
        let (tenant, device) = caller.authorize_device()?;
        self.note_seen(caller).await?;
        let state = match body.outcome {
            ValidationOutcome::Succeeded => SessionState::Succeeded,
            ValidationOutcome::RolledBack => SessionState::RolledBack,
        };
        let report = Report {
            tenant,
            device,
            session: body.session_id,
            state,
            progress: 100,
            failure: checked_failure(body.failure.clone(), state)?,
            validation: Some(body),
            now: self.now(),
            return_id: new_id!(self, UpdateSessionId),
        };
        self.take_report(report).await
    }

    async fn take_report(&self, report: Report) -> Result<ReportReply> {
        let outcome = retry(|| self.reports.write(report.clone())).await?;
        if outcome.goes_back {
            // Other nodes hear of it; here it may ask at once.
            self.feed.work.add(std::iter::once(report.device));
        }
        if let Some(state) = outcome.ended() {
            self.metrics.update_ended(state);
            self.poke.notify_one();
        }
        Ok(outcome.reply)
    }
}

impl Outcome {
    /// The state that the session ended in because of this report.
    fn ended(&self) -> Option<SessionState> {
        (self.moved && self.reply.state.is_final()).then_some(self.reply.state)
    }
}

/// A failed session needs a reason; any other has none.
fn checked_failure(failure: Option<Failure>, state: SessionState) -> Result<Option<Failure>> {
    match (failure, state.is_failure()) {
        (Some(failure), true) => {
            validate::text("failure.code", &failure.code, 64)?;
            validate::text_or_empty("failure.message", &failure.message, 1_000)?;
            Ok(Some(failure))
        }
        (None, true) => Ok(Some(Failure {
            class: FailureClass::Other,
            code: "not_said".to_owned(),
            message: "the device did not say why".to_owned(),
        })),
        (_, false) => Ok(None),
    }
}
