//! Looks after the certificate while the server runs.

use std::sync::Arc;
use std::time::Duration;

use drover_app::App;
use drover_types::Timestamp;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use super::pair::Pair;
use super::{Source, Tls, TlsError};

/// How often the files are looked at. A signal (SIGHUP) makes it sooner.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How often the log says the same thing again.
const REPEAT_AFTER: Duration = Duration::from_hours(24);

/// From here on the log warns that the certificate ends.
const ENDS_SOON: Duration = Duration::from_hours(24 * 14);

/// What was said in the log, so that it is not said every few seconds.
#[derive(Default)]
struct Said {
    last: Option<(String, Timestamp)>,
}

impl Said {
    fn is_new(&mut self, text: &str, now: Timestamp) -> bool {
        if self.last.as_ref().is_some_and(|(said, at)| said == text && now.since(*at) < REPEAT_AFTER) {
            return false;
        }
        self.last = Some((text.to_owned(), now));
        true
    }

    /// What is to be said about a look at the files. When one goes well, the next failure is news, also the same one.
    fn after(&mut self, looked: &Result<bool, TlsError>, now: Timestamp) -> Option<String> {
        let Err(error) = looked else {
            *self = Self::default();
            return None;
        };
        let text = with_causes(error);
        self.is_new(&text, now).then_some(text)
    }
}

impl Tls {
    /// Takes over new files and renews the own certificate, until the server shuts down; looks at once when it is told
    /// to (SIGHUP). The figures of `app` say how long the certificate lasts.
    pub(crate) async fn keep(self: Arc<Self>, app: &App, mut hangup: Option<Signal>, shutdown: CancellationToken) {
        let (mut refused, mut ending) = (Said::default(), Said::default());
        self.warn_of_an_exposed_key();
        loop {
            self.warn_of_the_end(&mut ending);
            app.note_certificate(self.not_after());
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = heard(hangup.as_mut()) => refused = Said::default(),
            }
            let tls = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || tls.look()).await {
                Ok(looked) => {
                    if let Some(error) = refused.after(&looked, self.clock.now()) {
                        tracing::error!(error, "the new certificate is not used; the old one stays");
                    }
                    if matches!(looked, Ok(true)) {
                        tracing::info!(not_after = %self.not_after(), "serving a new certificate");
                        self.warn_of_an_exposed_key();
                    }
                }
                Err(error) => tracing::error!(%error, "failed to look at the certificate"),
            }
        }
    }

    /// Looks at the files once; whether there was a new certificate. After an error the old one stays.
    pub(super) fn look(&self) -> Result<bool, TlsError> {
        let now = self.clock.now();
        let served = self.served.0.load();
        let pair = match &self.source {
            Source::Files { certificate, key } if served.is_in(certificate, key)? => return Ok(false),
            Source::Files { certificate, key } => {
                let pair = Pair::read(certificate, key)?;
                if pair.not_after() <= now {
                    return Err(TlsError::Expired { path: certificate.clone(), not_after: pair.not_after() });
                }
                if let Some(pinned) = self.pin {
                    let found = pair.authority(certificate, now)?;
                    if found != pinned {
                        return Err(TlsError::OtherAuthority { pinned, found });
                    }
                }
                pair
            }
            Source::OwnCa { .. } if served.is_current(now) => return Ok(false),
            Source::OwnCa { ca, names } => ca.current_or_new(names, now)?,
        };
        self.served.0.store(Arc::new(pair));
        Ok(true)
    }

    fn warn_of_an_exposed_key(&self) {
        if let Some(path) = self.exposed_key() {
            tracing::warn!(path = %path.display(), "everybody on this machine can read the server's key: chmod o-r it");
        }
    }

    fn warn_of_the_end(&self, said: &mut Said) {
        let (now, not_after) = (self.clock.now(), self.not_after());
        let left = not_after.since(now);
        if left > ENDS_SOON {
            return;
        }
        let text = if left.is_zero() { "has ended: clients refuse it" } else { "ends soon" };
        if said.is_new(text, now) {
            tracing::warn!(%not_after, "the server's certificate {text}; write a new one, it is taken over at once");
        }
    }
}

async fn heard(hangup: Option<&mut Signal>) {
    let heard = match hangup {
        Some(hangup) => hangup.recv().await,
        None => None,
    };
    if heard.is_none() {
        std::future::pending::<()>().await;
    }
}

fn with_causes(error: &TlsError) -> String {
    match std::error::Error::source(error) {
        Some(cause) if !error.to_string().contains(&cause.to_string()) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_again_is_said_again() {
        let broken = || Err(TlsError::Certificate { path: "c.pem".into(), reason: "there is none".to_owned() });
        let (mut said, now) = (Said::default(), Timestamp::from_micros(0));
        assert!(said.after(&broken(), now).is_some());
        assert_eq!(said.after(&broken(), now), None, "not every few seconds");
        assert!(said.after(&broken(), now.plus(REPEAT_AFTER)).is_some());
        for mended in [true, false] {
            assert_eq!(said.after(&Ok(mended), now), None);
            assert!(said.after(&broken(), now).is_some());
        }
    }
}
