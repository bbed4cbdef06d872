//! Fetching the artifacts of an update.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use drover_protocol::{Directive, Failure, Offer, StatusReport};
use drover_trust::{Manifest, ManifestArtifact};
use drover_types::{FailureClass, SessionState};
use drover_uplink::{Download, DownloadError, download, server_address};
use tokio::time::Instant;

use crate::context::Context;
use crate::effect::Effect;
use crate::error::AgentError;
use crate::failure::{failure, with_causes};
use crate::journal::Update;
use crate::next::Ending;
use crate::slot;
use crate::worker::{Flow, Worker, read_manifest};
use crate::world::names_in;

/// So many tries in a row may bring the wrong bytes.
const MAX_FRUITLESS_TRIES: u32 = 5;
/// So many new addresses in a row may bring nothing new.
const MAX_FRESH_ADDRESSES: u32 = 3;
/// Space that is left for everything else, at most; a twentieth of a small file system.
const MAX_MARGIN_BYTES: u64 = 16 * 1024 * 1024;
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// What was tried since something last got better. Forgotten on restart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tries {
    failures: u32,
    fruitless: u32,
    fresh_addresses: u32,
    received_bytes: u64,
    /// Since when something answers and nothing new comes. The device's clock may be set right meanwhile.
    fruitless_since: Option<Instant>,
}

impl Tries {
    /// The wait before the next try; it grows until something gets better.
    pub(crate) fn next_wait(&mut self, context: &Context) -> Duration {
        let wait = context.backoff().delay(self.failures, context.random());
        self.failures = self.failures.saturating_add(1);
        wait
    }

    fn note_progress(&mut self, received_bytes: u64) {
        if received_bytes > self.received_bytes {
            *self = Self { received_bytes, ..Self::default() };
        }
    }
}

/// How fetching all artifacts ended.
enum Fetched {
    All,
    CalledOff,
    Error(DownloadError),
}

impl Worker<'_> {
    pub(crate) async fn download(&mut self, update: &Update) -> Result<Flow, AgentError> {
        let manifest = match read_manifest(update) {
            Ok((manifest, _)) => manifest,
            Err(cause) => return self.conclude(update, Ending::Failed(cause)),
        };
        let folder = self.component.paths.downloads().to_owned();
        std::fs::create_dir_all(&folder).map_err(|source| AgentError::io(&folder, source))?;
        if let Err(cause) = self.check_space(&folder, &manifest) {
            return self.conclude(update, Ending::Failed(cause));
        }
        let total_bytes = manifest.artifacts.iter().map(|artifact| artifact.size_bytes).sum();
        let progress = percent(self.component.tries.received_bytes, total_bytes);
        self.tell(update, SessionState::Downloading, progress);
        let told = self.flush(update).await;
        if let Ok(Some(Directive::Stop)) = told {
            return self.conclude(update, Ending::Stopped);
        }
        let server_answers = self.client.is_some() && told.is_ok();
        let received_bytes = AtomicU64::new(0);
        let fetched = self.fetch_all(update, &manifest, &received_bytes, total_bytes).await;
        self.component.tries.note_progress(received_bytes.load(Ordering::Relaxed));
        match fetched {
            Fetched::All => self.finish_download(update).await,
            Fetched::CalledOff => self.conclude(update, Ending::Stopped),
            Fetched::Error(DownloadError::Cancelled) => Ok(Flow::Stopped),
            Fetched::Error(error) => self.judge(update, &error, server_answers).await,
        }
    }

    async fn finish_download(&mut self, update: &Update) -> Result<Flow, AgentError> {
        self.tell(update, SessionState::Downloaded, 100);
        match self.flush(update).await {
            Ok(Some(Directive::Stop)) => return self.conclude(update, Ending::Stopped),
            Ok(_) => {}
            // It is asked once more before the switch.
            Err(error) => tracing::debug!(%error, "the server hears of the download later"),
        }
        self.conclude(update, Ending::Downloaded)
    }

    async fn fetch_all(
        &self,
        update: &Update,
        manifest: &Manifest,
        received_bytes: &AtomicU64,
        total_bytes: u64,
    ) -> Fetched {
        let fetching = async {
            let mut done_bytes = 0_u64;
            for artifact in &manifest.artifacts {
                self.context.observer.before(Effect::Download);
                let mut progress = |bytes: u64| {
                    received_bytes.store(done_bytes + bytes, Ordering::Relaxed);
                    self.publish_progress(percent(done_bytes + bytes, total_bytes));
                };
                self.fetch(update, artifact, &mut progress).await?;
                self.context.observer.after(Effect::Download);
                done_bytes += artifact.size_bytes;
            }
            Ok(())
        };
        tokio::select! {
            fetched = fetching => match fetched {
                Ok(()) => Fetched::All,
                Err(error) => Fetched::Error(error),
            },
            () = self.tell_progress(update, received_bytes, total_bytes) => Fetched::CalledOff,
        }
    }

    async fn fetch(
        &self,
        update: &Update,
        artifact: &ManifestArtifact,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), DownloadError> {
        let offered = update.offer.artifacts.iter().find(|offered| offered.name == artifact.name);
        let Some(offered) = offered else {
            return Err(DownloadError::BadAnswer { what: format!("the offer has no address for {}", artifact.name) });
        };
        let dest = self.component.paths.download(artifact.sha256);
        let request = Download {
            url: &offered.url,
            dest: &dest,
            size_bytes: artifact.size_bytes,
            sha256: artifact.sha256,
            throttle_bytes_per_s: self.context.config.throttle_bytes_per_s,
            stall_timeout: Duration::from_millis(self.context.config.stall_timeout_ms),
        };
        download(&self.context.network, &request, progress, self.cancel).await
    }

    /// Tells the server now and then how far it is; ends when the server calls it off.
    async fn tell_progress(&self, update: &Update, received_bytes: &AtomicU64, total_bytes: u64) {
        let mut told = 0;
        loop {
            tokio::time::sleep(PROGRESS_INTERVAL).await;
            let progress = percent(received_bytes.load(Ordering::Relaxed), total_bytes);
            // What waits in the queue comes first; and progress that nobody hears is not worth keeping.
            if progress == told || self.context.reporter.len() > 0 {
                continue;
            }
            let report = StatusReport {
                session_id: update.session_id,
                state: SessionState::Downloading,
                progress,
                failure: None,
                device_time: Some(self.context.clock.now()),
            };
            let Some(client) = self.client else { continue };
            match client.status(&report).await {
                Ok(reply) if reply.directive == Directive::Stop => return,
                Ok(_) => told = progress,
                Err(error) => tracing::debug!(%error, "the server does not hear of the progress"),
            }
        }
    }

    fn publish_progress(&self, progress: u8) {
        self.context.state.send_if_modified(|state| {
            let component = state.components.get_mut(&self.component.name);
            match component.and_then(|component| component.update.as_mut()) {
                Some(update) if update.progress != progress => {
                    update.progress = progress;
                    true
                }
                _ => false,
            }
        });
    }

    /// What a failed download means: try again, ask for new addresses, or give up.
    async fn judge(
        &mut self,
        update: &Update,
        error: &DownloadError,
        server_answers: bool,
    ) -> Result<Flow, AgentError> {
        let text = with_causes(error);
        tracing::info!(session = %update.session_id, error = %text, "a download did not work");
        match error {
            DownloadError::UrlExpired { .. } => self.ask_for_addresses(update, &text).await,
            // For as long as it takes.
            error if self.is_offline(error, server_answers) => {
                self.component.tries.fruitless_since = None;
                Ok(Flow::Wait(self.component.tries.next_wait(self.context)))
            }
            DownloadError::Untrusted { .. }
            | DownloadError::Unavailable { .. }
            | DownloadError::Stalled { .. }
            | DownloadError::Truncated { .. }
                if !self.gives_up() =>
            {
                Ok(Flow::Wait(self.component.tries.next_wait(self.context)))
            }
            DownloadError::DigestMismatch { .. }
                if error.is_temporary() && self.component.tries.fruitless < MAX_FRUITLESS_TRIES =>
            {
                self.component.tries.fruitless += 1;
                Ok(Flow::Wait(self.component.tries.next_wait(self.context)))
            }
            _ => {
                if let DownloadError::Space { .. } = error {
                    self.discard_downloads();
                }
                let (class, code) = class_of(error);
                self.conclude(update, Ending::Failed(failure(class, code, &text)))
            }
        }
    }

    /// Whether the network is what fails. One that lets nobody through until somebody agrees to its terms shows a
    /// certificate of its own wherever the device calls; so a refused one is the place's own fault only when the server
    /// itself was reached just before, and is another place.
    fn is_offline(&self, error: &DownloadError, server_answers: bool) -> bool {
        match error {
            DownloadError::Transport { .. } => true,
            DownloadError::Untrusted { origin, .. } => !server_answers || self.is_server(origin),
            _ => false,
        }
    }

    fn is_server(&self, origin: &str) -> bool {
        server_address(&self.context.config.server).is_ok_and(|url| url.origin().ascii_serialization() == origin)
    }

    /// Whether nothing new came for so long that nothing will.
    fn gives_up(&mut self) -> bool {
        let since = self.component.tries.fruitless_since.get_or_insert_with(Instant::now);
        since.elapsed() >= Duration::from_millis(self.context.config.download_give_up_ms)
    }

    /// Makes room for saying that there is none.
    fn discard_downloads(&self) {
        for path in names_in(self.component.paths.downloads()).unwrap_or_default() {
            if let Err(error) = self.context.effect(Effect::Remove, || slot::discard(&path)) {
                tracing::warn!(%error, path = %path.display(), "a download cannot be removed");
            }
        }
    }

    async fn ask_for_addresses(&mut self, update: &Update, text: &str) -> Result<Flow, AgentError> {
        let expired = failure(FailureClass::Download, "url_expired", text);
        if self.component.tries.fresh_addresses >= MAX_FRESH_ADDRESSES {
            return self.conclude(update, Ending::Failed(expired));
        }
        let Some(client) = self.client else { return Ok(Flow::Wait(self.component.tries.next_wait(self.context))) };
        let offer = match client.check().await {
            Ok(reply) => reply.offer,
            Err(error) if error.is_temporary() => {
                return Ok(Flow::Wait(self.component.tries.next_wait(self.context)));
            }
            Err(error) => return Err(error.into()),
        };
        match offer {
            Some(offer) if offer.session_id == update.session_id && offer.manifest == update.offer.manifest => {
                self.component.tries.fresh_addresses += 1;
                // The signature that was verified stays.
                let offer = Offer { manifest_bundle: update.offer.manifest_bundle.clone(), ..offer };
                self.record(Update { offer, ..update.clone() })?;
                Ok(Flow::Wait(self.component.tries.next_wait(self.context)))
            }
            // The server has other plans by now.
            _ => self.conclude(update, Ending::Failed(expired)),
        }
    }

    /// Refuses what cannot fit, packed and unpacked, before a byte is fetched.
    fn check_space(&self, folder: &Path, manifest: &Manifest) -> Result<(), Failure> {
        let paths = &self.component.paths;
        let have = |artifact: &ManifestArtifact| {
            let path = paths.download(artifact.sha256);
            let part = drover_uplink::durable::with_suffix(&path, ".part");
            path.metadata().or_else(|_| part.metadata()).map_or(0, |metadata| metadata.len())
        };
        let missing = |artifact: &ManifestArtifact| artifact.size_bytes.saturating_sub(have(artifact));
        let needs = |artifact: &ManifestArtifact| missing(artifact).saturating_add(artifact.unpacked_bytes);
        let Ok(space) = rustix::fs::statvfs(folder) else { return Ok(()) };
        let margin_bytes = MAX_MARGIN_BYTES.min(space.f_blocks.saturating_mul(space.f_frsize) / 20);
        let needed_bytes = manifest.artifacts.iter().map(needs).fold(margin_bytes, u64::saturating_add);
        let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
        if needed_bytes <= free_bytes {
            return Ok(());
        }
        let message = format!("the update needs {needed_bytes} bytes and {free_bytes} are free; free some space");
        Err(failure(FailureClass::Space, "no_space", &message))
    }
}

fn percent(part: u64, whole: u64) -> u8 {
    let share = u128::from(part) * 100 / u128::from(whole.max(1));
    u8::try_from(share.min(100)).unwrap_or(100)
}

const fn class_of(error: &DownloadError) -> (FailureClass, &'static str) {
    match error {
        DownloadError::Address(_) => (FailureClass::Download, "bad_address"),
        DownloadError::Transport { .. } => (FailureClass::Download, "unreachable"),
        DownloadError::Untrusted { .. } => (FailureClass::Download, "untrusted_address"),
        DownloadError::Stalled { .. } => (FailureClass::Download, "stalled"),
        DownloadError::Truncated { .. } => (FailureClass::Download, "truncated"),
        DownloadError::Unavailable { .. } => (FailureClass::Download, "unavailable"),
        DownloadError::UrlExpired { .. } => (FailureClass::Download, "url_expired"),
        DownloadError::BadAnswer { .. } => (FailureClass::Download, "bad_answer"),
        DownloadError::TooLong { .. } => (FailureClass::Verification, "size_mismatch"),
        DownloadError::DigestMismatch { .. } => (FailureClass::Verification, "digest_mismatch"),
        DownloadError::Space { .. } => (FailureClass::Space, "no_space"),
        DownloadError::Io { .. } => (FailureClass::Install, "write_failed"),
        DownloadError::Cancelled => (FailureClass::Other, "stopped"),
    }
}
