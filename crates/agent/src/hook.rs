//! Commands of the device's owner, bounded in time and in words.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// So much of what a command says is kept, in bytes.
const MAX_OUTPUT_BYTES: usize = 4096;
/// A command that ended may have left a service behind that holds its output open: no longer wait than this.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// A command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HookError {
    /// It could not be started.
    #[error("{program} cannot be started: {source}")]
    Start {
        program: String,
        #[source]
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("{program} ended with {status}{}", said(output))]
    Status { program: String, status: ExitStatus, output: String },
    /// It took too long and was killed.
    #[error("{program} did not end within {timeout_ms} ms and was killed")]
    Timeout { program: String, timeout_ms: u128 },
    /// The agent is told to stop; the command was killed.
    #[error("{program} was killed because the agent stops")]
    Cancelled { program: String },
}

fn said(output: &str) -> String {
    if output.trim().is_empty() { String::new() } else { format!(": {}", output.trim()) }
}

/// Runs a command to its end. An empty one is nothing to do.
pub(crate) async fn run(
    argv: &[String],
    folder: &Path,
    environment: &[(&str, &OsStr)],
    timeout: Duration,
    cancel: &CancellationToken,
) -> Result<(), HookError> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let program = program.clone();
    let mut command = Command::new(&program);
    command.args(arguments).envs(environment.iter().copied()).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that a time-out ends whatever it started, too.
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => return Err(HookError::Start { program, source }),
    };
    let out = Tail::of(child.stdout.take());
    let err = Tail::of(child.stderr.take());
    let ended = tokio::select! {
        () = cancel.cancelled() => None,
        ended = tokio::time::timeout(timeout, child.wait()) => Some(ended),
    };
    match ended {
        Some(Ok(Ok(status))) if status.success() => Ok(()),
        Some(Ok(Ok(status))) => {
            let output = format!("{}{}", out.text().await, err.text().await);
            Err(HookError::Status { program, status, output })
        }
        Some(Ok(Err(source))) => Err(HookError::Start { program, source }),
        Some(Err(_)) => {
            kill(&mut child).await;
            Err(HookError::Timeout { program, timeout_ms: timeout.as_millis() })
        }
        None => {
            kill(&mut child).await;
            Err(HookError::Cancelled { program })
        }
    }
}

async fn kill(child: &mut Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, Signal::KILL)
    {
        tracing::warn!(%error, "a command could not be killed");
    }
    if let Err(error) = child.wait().await {
        tracing::warn!(%error, "a killed command could not be waited for");
    }
}

/// The last words of a stream, read so that the command never blocks on it.
struct Tail(Option<tokio::task::JoinHandle<()>>, std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Tail {
    fn of<R: AsyncRead + Unpin + Send + 'static>(stream: Option<R>) -> Self {
        let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let Some(mut stream) = stream else { return Self(None, kept) };
        let sink = std::sync::Arc::clone(&kept);
        let reader = tokio::spawn(async move {
            let mut buffer = [0_u8; 1024];
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                let mut kept = sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..count]);
                let surplus = kept.len().saturating_sub(MAX_OUTPUT_BYTES);
                kept.drain(..surplus);
            }
        });
        Self(Some(reader), kept)
    }

    async fn text(self) -> String {
        if let Some(reader) = self.0 {
            // What came until now is enough when more does not end.
            tokio::time::timeout(OUTPUT_GRACE, reader).await.ok();
        }
        let kept = self.1.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sh(script: &str, timeout_ms: u64) -> Result<(), HookError> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let environment = [("DROVER_VERSION", OsStr::new("1.2.3"))];
        let timeout = Duration::from_millis(timeout_ms);
        run(&argv, Path::new("/"), &environment, timeout, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn what_a_command_says_is_in_its_failure() {
        let error = sh("echo on $DROVER_VERSION; echo no brakes >&2; exit 3", 10_000).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("on 1.2.3") && text.contains("no brakes") && text.contains('3'), "{text}");
        sh("true", 10_000).await.expect("fine");
        assert!(matches!(
            run(&["/nowhere".to_owned()], Path::new("/"), &[], Duration::from_secs(1), &CancellationToken::new()).await,
            Err(HookError::Start { .. })
        ));
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_its_children() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!("sleep 1000 & echo $! > {}/pid; wait", folder.path().display());
        assert!(matches!(sh(&script, 300).await, Err(HookError::Timeout { .. })));
        let pid = std::fs::read_to_string(folder.path().join("pid")).expect("it started");
        let status = std::path::PathBuf::from(format!("/proc/{}/stat", pid.trim()));
        let is_gone = || std::fs::read_to_string(&status).map_or(true, |stat| stat.contains(") Z"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while !is_gone() {
            assert!(tokio::time::Instant::now() < deadline, "the child of the command still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_flood_of_words_is_cut_and_a_left_service_does_not_hold_up() {
        let error = sh("yes | head -c 1000000; exit 1", 10_000).await.unwrap_err();
        assert!(error.to_string().len() < 2 * MAX_OUTPUT_BYTES + 200);
        let started = tokio::time::Instant::now();
        sh("sleep 2 & exit 1", 10_000).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_millis(1900));
    }
}
