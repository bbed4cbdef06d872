//! `drover serve`.

pub(crate) mod config;
pub(crate) mod tls;

use std::io::Write as _;
use std::path::Path;

pub(crate) use config::ServeArgs;
use drover_app::{FirstStart, ServerPin};
use tokio_util::sync::CancellationToken;

use crate::error::RunError;
use crate::logging;
use crate::node::{Node, address_of, listen};

/// Runs the server until it is told to stop.
pub(crate) async fn run(args: ServeArgs) -> Result<(), RunError> {
    outlive_hangup()?;
    let mut serve = config::load(args)?;
    logging::start(serve.log_format, "info");
    raise_open_files();
    make_private(&serve.data)?;
    let listener = listen(serve.http.listen).await?;
    let address = address_of(&listener)?;
    let public_url = serve.public_url.clone().unwrap_or_else(|| serve.tls.default_url(address));
    let backends = serve.backends(&public_url);
    let tls = serve.tls.open(&serve.data, &public_url, address)?;
    let pin = tls.as_ref().and_then(|tls| tls.pin());
    serve.settings.server_pin = pin;
    let mut node = Node::open(&backends, serve.settings, serve.http, tls, listener).await?;
    let welcome = Welcome { public_url: &public_url, data: &serve.data, pin };
    welcome.print(node.first_start.take().as_ref())?;
    let stop = CancellationToken::new();
    stop_on_signal(stop.clone())?;
    node.serve(stop).await
}

/// Lets this process have as many files open as the system allows it: a connection of each device is one.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    match raised {
        Ok(()) => tracing::debug!(open_files = ?limit.maximum, "the limit of open files is raised"),
        Err(error) => tracing::warn!(%error, open_files = ?limit.current, "the limit of open files stays as it is"),
    }
}

/// A folder of this user only.
pub(crate) fn make_private(folder: &Path) -> Result<(), RunError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(RunError::io(format!("make the data folder {}", folder.display())))
}

/// What is said at the start.
struct Welcome<'a> {
    public_url: &'a str,
    data: &'a Path,
    pin: Option<ServerPin>,
}

impl Welcome<'_> {
    fn print(&self, first_start: Option<&FirstStart>) -> Result<(), RunError> {
        let (version, public_url, data) = (env!("CARGO_PKG_VERSION"), self.public_url, self.data.display());
        let pin = self.pin.map(|pin| format!("  pin       {pin}\n")).unwrap_or_default();
        let secrets = first_start.map(|first| self.secrets(first)).unwrap_or_default();
        let text = format!("drover {version} serves {public_url}\n  data      {data}\n{pin}{secrets}");
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(RunError::io("print the address"))
    }

    /// What the first start made, for the only time.
    fn secrets(&self, first: &FirstStart) -> String {
        let FirstStart { username, password, enrolment_token } = first;
        let public_url = self.public_url;
        let pin = self.pin.map(|pin| format!(" --pin {pin}")).unwrap_or_default();
        format!(
            "\nThis is the first start. Keep these; they are not shown again:\n  \
             user      {username}\n  password  {password}\n  enrolment token for devices\n            \
             {enrolment_token}\n\nNext: drover login --server {public_url} --username {username}{pin}\n"
        )
    }
}

/// From here on SIGHUP does not end this process: whoever renews certificates or turns logs over sends it to every
/// service, also to one that is still starting. Once a signal is listened to, its default never comes back; who looks at
/// certificates listens for itself.
fn outlive_hangup() -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::hangup()).map(drop).map_err(RunError::io("watch for signals"))
}

/// Cancels `stop` on SIGINT and SIGTERM.
pub(crate) fn stop_on_signal(stop: CancellationToken) -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let watch = |kind| signal(kind).map_err(RunError::io("watch for signals"));
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    // Ends with the process; nothing waits for it.
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hangup_is_outlived_by_a_server_that_only_starts() {
        outlive_hangup().unwrap();
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::HUP).unwrap();
    }
}
