//! Activation, self-test and watch of a new version.

use std::time::Duration;

use drover_protocol::Failure;
use drover_types::{FailureClass, Sha256Digest};
use tokio::time::Instant;

use crate::effect::Effect;
use crate::failure::failure;
use crate::hook::{self, HookError, LeftBehind};
use crate::journal::Update;
use crate::layout::Link;
use crate::slot;
use crate::worker::Worker;

/// Why a trial did not pass; none when the agent is told to stop.
type Refutation = Option<Failure>;

impl Worker<'_> {
    /// Activates the new version, tests it and watches it until its deadline.
    pub(crate) async fn try_out(&self, update: &Update) -> Result<(), Refutation> {
        let settings = &self.component.settings;
        self.activate(update.release).await?;
        let timeout = Duration::from_millis(settings.self_test_timeout_ms);
        self.command(Effect::SelfTest, &settings.self_test, update.release, timeout, LeftBehind::Kill)
            .await
            .map_err(|error| refutation(FailureClass::SelfTest, "self_test", &error))?;
        self.context.observer.before(Effect::Watch);
        self.watch(update.release).await?;
        self.context.observer.after(Effect::Watch);
        Ok(())
    }

    /// Activates what `CURRENT` points at; nothing when nothing is installed.
    pub(crate) async fn activate_current(&self) -> Result<(), Refutation> {
        match self.component.paths.target(Link::Current) {
            Ok(Some(current)) => self.activate(current).await,
            Ok(None) => Ok(()),
            Err(error) => Err(Some(failure(FailureClass::Activation, "activation_failed", &error.to_string()))),
        }
    }

    async fn activate(&self, release: Sha256Digest) -> Result<(), Refutation> {
        let settings = &self.component.settings;
        let timeout = Duration::from_millis(settings.activate_timeout_ms);
        self.command(Effect::Activate, &settings.activate, release, timeout, LeftBehind::Keep)
            .await
            .map_err(|error| refutation(FailureClass::Activation, "activation", &error))
    }

    async fn watch(&self, release: Sha256Digest) -> Result<(), Refutation> {
        let settings = &self.component.settings;
        if settings.watch.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + Duration::from_millis(settings.watch_ms);
        let interval = Duration::from_millis(settings.watch_interval_ms);
        let timeout = Duration::from_millis(settings.watch_timeout_ms);
        loop {
            self.run(&settings.watch, release, timeout, LeftBehind::Kill)
                .await
                .map_err(|error| refutation(FailureClass::Crash, "watch", &error))?;
            if Instant::now() >= deadline {
                return Ok(());
            }
            tokio::select! {
                () = self.cancel.cancelled() => return Err(None),
                () = tokio::time::sleep_until(deadline.min(Instant::now() + interval)) => {}
            }
        }
    }

    async fn command(
        &self,
        effect: Effect,
        argv: &[String],
        release: Sha256Digest,
        timeout: Duration,
        left_behind: LeftBehind,
    ) -> Result<(), HookError> {
        self.context.observer.before(effect);
        let done = self.run(argv, release, timeout, left_behind).await;
        self.context.observer.after(effect);
        done
    }

    async fn run(
        &self,
        argv: &[String],
        release: Sha256Digest,
        timeout: Duration,
        left_behind: LeftBehind,
    ) -> Result<(), HookError> {
        let paths = &self.component.paths;
        let content = paths.content(release);
        let version =
            slot::read_release(paths, release).map_or_else(String::new, |release| release.version.to_string());
        hook::run(argv, &content, &self.environment(&content, &version), timeout, left_behind, self.cancel).await
    }
}

fn refutation(class: FailureClass, what: &str, error: &HookError) -> Refutation {
    let code = match error {
        HookError::Cancelled { .. } => return None,
        HookError::Timeout { .. } => format!("{what}_timeout"),
        HookError::Start { .. } | HookError::Status { .. } => format!("{what}_failed"),
    };
    Some(failure(class, &code, &error.to_string()))
}
