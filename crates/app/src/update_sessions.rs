//! What devices report, and how operators see it.

use std::time::Duration;

use drover_api::UpdateSession;
use drover_db::Tx;
use drover_protocol::{Directive, Failure, ReportReply, StatusReport, ValidationOutcome, ValidationReport};
use drover_store::update_sessions::{self, Move, UpdateSessionRow};
use drover_store::{device_components, rollouts};
use drover_types::{
    ComponentName, DeviceId, FailureClass, RolloutState, SessionState, TenantId, Timestamp, UpdateSessionId,
};

use crate::context::new_id;
use crate::error::retry;
use crate::transitions::{self, Subject};
use crate::{App, Caller, Error, Result, rollout_policy, validate, way_back};

/// One report, whichever way it came.
#[derive(Clone)]
struct Report {
    tenant: TenantId,
    device: DeviceId,
    session: UpdateSessionId,
    state: SessionState,
    progress: u8,
    failure: Option<Failure>,
    now: Timestamp,
    /// For the session of a way back, should it need one.
    return_id: UpdateSessionId,
}

/// What a report did.
struct Outcome {
    reply: ReportReply,
    /// The session moved on.
    moved: bool,
    /// The state that the session ended in because of this report.
    ended: Option<SessionState>,
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
            now: self.now(),
            return_id: new_id!(self, UpdateSessionId),
        };
        self.take_report(report, None).await
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
            now: self.now(),
            return_id: new_id!(self, UpdateSessionId),
        };
        self.take_report(report, Some(body)).await
    }

    async fn take_report(&self, report: Report, validation: Option<ValidationReport>) -> Result<ReportReply> {
        let device = report.device;
        let outcome = retry(|| {
            let (report, validation) = (report.clone(), validation.clone());
            self.writer.write_batched(move |tx| Box::pin(async move { report.run(tx, validation.as_ref()).await }))
        })
        .await?;
        if outcome.goes_back {
            // Other nodes hear of it; here it may ask at once.
            self.feed.work.add(std::iter::once(device));
        }
        if let Some(state) = outcome.ended {
            self.metrics.update_ended(state);
            self.poke.notify_one();
        }
        Ok(outcome.reply)
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

impl Report {
    async fn run(&self, tx: &mut Tx, validation: Option<&ValidationReport>) -> Result<Outcome> {
        let outcome = self.take(tx, validation.map(|body| &body.component)).await?;
        // A word that comes late or twice says what ran then; what runs now, the next heartbeat says.
        if let Some(body) = validation.filter(|_| outcome.moved) {
            let Self { tenant, device, now, .. } = *self;
            let (version, manifest) = (body.version.as_ref(), body.manifest_sha256);
            device_components::upsert(tx, tenant, device, &body.component, version, manifest, now).await?;
        }
        Ok(outcome)
    }

    async fn take(&self, tx: &mut Tx, component: Option<&ComponentName>) -> Result<Outcome> {
        let unknown = || Error::not_found("update session", self.session);
        // The rollout first, as everywhere: it holds its sessions still, and two transactions that take its counters
        // in another order than its row would wait for each other.
        let rollout = rollouts::locked_of_session(tx, self.tenant, self.session).await?.ok_or_else(unknown)?;
        let row = update_sessions::get(&mut *tx, self.tenant, self.session).await?.ok_or_else(unknown)?;
        if row.device_id != self.device {
            return Err(unknown());
        }
        if component.is_some_and(|component| *component != row.component) {
            return Err(Error::field("component", format!("this session updates {}", row.component)));
        }
        let called_off = matches!(rollout.state, RolloutState::Cancelled | RolloutState::RollingBack);
        // Asked before the switch: a rollout that was stopped takes back what has not begun.
        let state = if called_off && row.state.may_become(SessionState::Cancelled) && !self.state.is_final() {
            SessionState::Cancelled
        } else {
            self.state
        };
        let policy = rollout_policy::parse(&rollout.policy)?;
        let deadline = self.now.plus(Duration::from_millis(policy.session_timeout_ms));
        let moved = self.advance(tx, &row, state, deadline).await?;
        let goes_back = moved
            && state == SessionState::Succeeded
            && way_back::follow(tx, self.tenant, &rollout, &row, self.return_id, self.now).await?;
        let now_in = if moved { state } else { row.state };
        let directive = if stops(now_in, self.state) { Directive::Stop } else { Directive::Continue };
        Ok(Outcome {
            reply: ReportReply { directive, state: now_in },
            moved,
            ended: (moved && now_in.is_final()).then_some(now_in),
            goes_back,
        })
    }

    /// Moves the session to `state` if that lies ahead; says whether it moved.
    async fn advance(
        &self,
        tx: &mut Tx,
        row: &UpdateSessionRow,
        state: SessionState,
        deadline: Timestamp,
    ) -> Result<bool> {
        if row.state == state && !state.is_final() {
            let progress = row.progress.max(i64::from(self.progress));
            update_sessions::touch(tx, self.tenant, row.id, state, progress, deadline, self.now).await?;
            return Ok(false);
        }
        if !row.state.may_become(state) {
            return Ok(false);
        }
        let failure = self.failure.clone().filter(|_| state.is_failure());
        let change = Move {
            from: row.state,
            to: state,
            progress: if state == SessionState::Succeeded { 100 } else { i64::from(self.progress) },
            failure: failure.map(|failure| (failure.class, failure.code, failure.message)),
            next_action_at: (!state.is_final()).then_some(deadline),
        };
        transitions::apply(tx, subject(self.tenant, row), &change, self.now).await
    }
}

/// Whether the device shall drop the offer: the session is over, and not by what it just said.
fn stops(now_in: SessionState, reported: SessionState) -> bool {
    now_in.is_final() && now_in != reported
}

pub(crate) fn subject(tenant: TenantId, row: &UpdateSessionRow) -> Subject {
    Subject {
        tenant,
        session: row.id,
        rollout: row.rollout_id,
        stage: row.stage,
        device: row.device_id,
        class_before: row.failure_class,
    }
}

/// How operators see a session.
pub(crate) fn view(row: UpdateSessionRow) -> UpdateSession {
    let duration = match (row.started_at, row.completed_at) {
        (Some(started), Some(completed)) => Some(completed.since(started).as_secs()),
        _ => None,
    };
    UpdateSession {
        id: row.id,
        rollout_id: row.rollout_id,
        stage: u32::try_from(row.stage).unwrap_or(u32::MAX),
        device_id: row.device_id,
        hardware_id: row.hardware_id,
        component: row.component,
        firmware_id: row.firmware_id,
        version: row.version,
        from_version: row.from_version,
        state: row.state,
        status: row.state.status(),
        progress: u8::try_from(row.progress).unwrap_or(100),
        failure_class: row.failure_class,
        failure_code: row.failure_code,
        error_message: row.failure_message,
        started_at: row.started_at,
        completed_at: row.completed_at,
        duration,
    }
}
