//! Reports leave through the queue, in order, whatever the network does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_protocol::Directive;
use drover_types::UpdateSessionId;
use drover_uplink::{CallError, Client, QueueError, Report, ReportQueue};

use crate::effect::{Effect, EffectObserver};

/// A server that has trouble with reports of so many sessions is not asked about more of them at once.
const MAX_BLOCKED_SESSIONS: usize = 4;

/// A report was not delivered; it stays queued.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The server did not take it.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// The queue and the way out of it.
pub(crate) struct Reporter {
    queue: Mutex<ReportQueue>,
}

impl Reporter {
    pub(crate) fn new(queue: ReportQueue) -> Self {
        Self { queue: Mutex::new(queue) }
    }

    fn queue(&self) -> MutexGuard<'_, ReportQueue> {
        // Each operation leaves the queue whole: a panic elsewhere does not spoil it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.queue().len()
    }

    /// Queues a report, unless an equal one waits already.
    pub(crate) fn push(&self, report: &Report, observer: &dyn EffectObserver) -> Result<(), QueueError> {
        observer.before(Effect::QueueReport);
        let mut queue = self.queue();
        if !queue.contains(report) {
            queue.push(report)?;
        }
        drop(queue);
        observer.after(Effect::QueueReport);
        Ok(())
    }

    /// Whether a report waits that says how the update of `session` ended.
    pub(crate) fn knows_end_of(&self, session: UpdateSessionId) -> bool {
        self.queue().knows_end_of(session)
    }

    /// Sends everything that waits. Gives what the server last said about `session`, when it said something.
    ///
    /// A report that a server has trouble with stays in its place until the next time and keeps back only what
    /// follows it in its own session. That is a failure when it is `session`'s, whose word is waited for.
    pub(crate) async fn flush(
        &self,
        client: &Client,
        session: Option<UpdateSessionId>,
        observer: &dyn EffectObserver,
    ) -> Result<Option<Directive>, ReportError> {
        let mut directive = None;
        let mut blocked = Vec::new();
        let mut next = self.queue().first().map(|(number, report)| (number, report.clone()));
        while let Some((number, report)) = next {
            let about = report.session_id();
            if !blocked.contains(&about) {
                observer.before(Effect::SendReport);
                match send(client, &report).await {
                    Ok(said) => {
                        self.queue().remove(number)?;
                        observer.after(Effect::SendReport);
                        if session == Some(about) {
                            directive = said.or(directive);
                        }
                    }
                    Err(error @ CallError::Unavailable { .. }) if session != Some(about) => {
                        tracing::warn!(session = %about, %error, "a report is blocked and stays queued");
                        blocked.push(about);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if blocked.len() >= MAX_BLOCKED_SESSIONS {
                break;
            }
            next = self.queue().next_after(number).map(|(number, report)| (number, report.clone()));
        }
        Ok(directive)
    }
}

/// Sends one report. None when the server refuses it without a word on the session.
async fn send(client: &Client, report: &Report) -> Result<Option<Directive>, CallError> {
    let reply = match report {
        Report::Status(report) => client.status(report).await,
        Report::Validation(report) => client.validation(report).await,
    };
    match reply {
        Ok(reply) => Ok(Some(reply.directive)),
        // It will never be taken, so it makes room for the next.
        Err(error @ CallError::Refused { status, .. }) => {
            tracing::warn!(session = %report.session_id(), %error, "the server refuses a report");
            // A session that the server does not know is not to go on; a report that comes late or twice may be.
            Ok(matches!(status, 403 | 404 | 410).then_some(Directive::Stop))
        }
        Err(error) => Err(error),
    }
}
