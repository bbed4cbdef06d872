//! What a report makes of its session: no SQL, no clock.

use std::time::Duration;

use drover_protocol::{Directive, ReportReply};
use drover_store::rollouts::RolloutRow;
use drover_store::session_changes::Move;
use drover_store::update_sessions::UpdateSessionRow;
use drover_types::{RolloutState, SessionState};

use super::{Outcome, Report};
use crate::{Error, Result, rollout_policy};

/// A session while reports come in: what SQL has, and what it shall have.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) row: UpdateSessionRow,
    /// None while nothing was said that changes it.
    pub(super) step: Option<Move>,
    /// The place in the set of the last report that moved it: what devices do follows the order of arrival.
    pub(super) moved_by: usize,
}

impl Standing {
    pub(super) fn state(&self) -> SessionState {
        self.step.as_ref().map_or(self.row.state, |step| step.to)
    }

    fn progress(&self) -> i64 {
        self.step.as_ref().map_or(self.row.progress, |step| step.progress)
    }

    /// Takes one report, after those that came before it.
    pub(super) fn take(&mut self, rollout: &RolloutRow, report: &Report) -> Result<Outcome> {
        if self.row.device_id != report.device {
            return Err(unknown(report));
        }
        let component = report.validation.as_ref().map(|body| &body.component);
        if component.is_some_and(|component| *component != self.row.component) {
            return Err(Error::field("component", format!("this session updates {}", self.row.component)));
        }
        let policy = rollout_policy::parse(&rollout.policy)?;
        let deadline = report.now.plus(Duration::from_millis(policy.session_timeout_ms));
        let before = self.state();
        let state = heard(rollout.state, before, report.state);
        let repeats = before == state && !state.is_final();
        let moved = before.may_become(state);
        if repeats || moved {
            let progress = i64::from(report.progress);
            let failure = report.failure.clone().filter(|_| state.is_failure());
            self.step = Some(Move {
                from: self.row.state,
                to: state,
                progress: match state {
                    SessionState::Succeeded => 100,
                    _ if repeats => self.progress().max(progress),
                    _ => progress,
                },
                failure: failure.map(|failure| (failure.class, failure.code, failure.message)),
                next_action_at: (!state.is_final()).then_some(deadline),
            });
        }
        let now_in = self.state();
        let directive = if stops(now_in, report.state) { Directive::Stop } else { Directive::Continue };
        Ok(Outcome { reply: ReportReply { directive, state: now_in }, moved, goes_back: false })
    }
}

/// There is no such session, or it is another device's.
pub(super) fn unknown(report: &Report) -> Error {
    Error::not_found("update session", report.session)
}

/// What a report stands for. Asked before the switch: a rollout that was stopped takes back what has not begun.
fn heard(rollout: RolloutState, before: SessionState, reported: SessionState) -> SessionState {
    let called_off = matches!(rollout, RolloutState::Cancelled | RolloutState::RollingBack);
    if called_off && before.may_become(SessionState::Cancelled) && !reported.is_final() {
        SessionState::Cancelled
    } else {
        reported
    }
}

/// Whether the device shall drop the offer: the session is over, and not by what it just said.
fn stops(now_in: SessionState, reported: SessionState) -> bool {
    now_in.is_final() && now_in != reported
}
