//! Reports leave through the queue, in order, whatever the network does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use drover_protocol::Directive;
use drover_types::UpdateSessionId;
use drover_uplink::{CallError, Client, QueueError, Report, ReportQueue};

use crate::effect::{Effect, EffectObserver};

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

    /// Sends everything that waits. Gives what the server last said about `session`, when it said something.
    pub(crate) async fn flush(
        &self,
        client: &Client,
        session: Option<UpdateSessionId>,
        observer: &dyn EffectObserver,
    ) -> Result<Option<Directive>, ReportError> {
        let mut directive = None;
        loop {
            let first = self.queue().first().map(|(number, report)| (number, report.clone()));
            let Some((number, report)) = first else { return Ok(directive) };
            observer.before(Effect::SendReport);
            let said = send(client, &report).await?;
            self.queue().remove(number)?;
            observer.after(Effect::SendReport);
            if session == Some(report.session_id()) {
                directive = said.or(directive);
            }
        }
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
