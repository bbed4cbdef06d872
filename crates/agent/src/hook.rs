//! Commands of the device's owner, bounded in time and in words.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// So much of what a command says is kept, in bytes.
const MAX_OUTPUT_BYTES: usize = 4096;
/// A command that ended may have left a service behind that holds its output open: no longer wait than this.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);
/// A command that was killed and does not end (it waits for a broken disk, say) is not waited for any longer.
const KILL_GRACE: Duration = Duration::from_secs(5);
/// Of the agent's own environment, a command gets only these.
const INHERITED: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];

/// What becomes of processes that a command which succeeded leaves behind. After a failure they are always killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeftBehind {
    /// They stay: the command may have started the application.
    Keep,
    /// They are killed: the command only had to look.
    Kill,
}

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
    left_behind: LeftBehind,
    cancel: &CancellationToken,
) -> Result<(), HookError> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let program = program.clone();
    let mut command = Command::new(&program);
    command.args(arguments).current_dir(folder);
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(inherited).envs(environment.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own, so that whatever it started can be ended with it.
    command.process_group(0).kill_on_drop(true);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(source) => return Err(HookError::Start { program, source }),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let out = Tail::of(child.stdout.take());
    let err = Tail::of(child.stderr.take());
    let ended = tokio::select! {
        () = cancel.cancelled() => None,
        ended = tokio::time::timeout(timeout, child.wait()) => Some(ended),
    };
    let succeeded = matches!(&ended, Some(Ok(Ok(status))) if status.success());
    if !succeeded || left_behind == LeftBehind::Kill {
        kill(group, &mut child).await;
    }
    match ended {
        Some(Ok(Ok(_))) if succeeded => Ok(()),
        Some(Ok(Ok(status))) => {
            let output = format!("{}{}", out.text().await, err.text().await);
            Err(HookError::Status { program, status, output })
        }
        Some(Ok(Err(source))) => Err(HookError::Start { program, source }),
        Some(Err(_)) => Err(HookError::Timeout { program, timeout_ms: timeout.as_millis() }),
        None => Err(HookError::Cancelled { program }),
    }
}

/// Kills what is left of a command's process group. Its number is not given away again while one of its processes
/// lives. When none does, it was freed just now, and numbers are given away in turn: this hits nobody else.
async fn kill(group: Option<Pid>, child: &mut Child) {
    match group.map(|group| kill_process_group(group, Signal::KILL)) {
        // Nothing is left of it.
        None | Some(Ok(()) | Err(Errno::SRCH)) => {}
        Some(Err(error)) => tracing::warn!(%error, "a command could not be killed"),
    }
    match tokio::time::timeout(KILL_GRACE, child.wait()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a killed command could not be waited for"),
        Err(_) => tracing::warn!("a killed command has not ended; it is left alone"),
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

    async fn sh_leaving(left_behind: LeftBehind, script: &str, timeout_ms: u64) -> Result<(), HookError> {
        let argv = ["sh", "-c", script].map(str::to_owned);
        let environment = [("DROVER_VERSION", OsStr::new("1.2.3"))];
        let timeout = Duration::from_millis(timeout_ms);
        run(&argv, Path::new("/"), &environment, timeout, left_behind, &CancellationToken::new()).await
    }

    async fn sh(script: &str, timeout_ms: u64) -> Result<(), HookError> {
        sh_leaving(LeftBehind::Keep, script, timeout_ms).await
    }

    /// A script that leaves a process behind, and where that one's number is then.
    fn leaving(folder: &Path, end: &str) -> String {
        format!("sleep 1000 & echo $! > {}/pid; {end}", folder.display())
    }

    fn left_pid(folder: &Path) -> Pid {
        let text = std::fs::read_to_string(folder.join("pid")).expect("it started");
        Pid::from_raw(text.trim().parse().expect("a number")).expect("not 0")
    }

    fn lives(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        stat.is_ok_and(|stat| !stat.contains(") Z"))
    }

    async fn assert_gone(pid: Pid) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while lives(pid) {
            assert!(tokio::time::Instant::now() < deadline, "what the command left behind still runs");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_a_command_says_is_in_its_failure() {
        let error = sh("echo on $DROVER_VERSION; echo no brakes >&2; exit 3", 10_000).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("on 1.2.3") && text.contains("no brakes") && text.contains('3'), "{text}");
        sh("true", 10_000).await.expect("fine");
        let (argv, cancel) = (["/nowhere".to_owned()], CancellationToken::new());
        let started = run(&argv, Path::new("/"), &[], Duration::from_secs(1), LeftBehind::Keep, &cancel).await;
        assert!(matches!(started, Err(HookError::Start { .. })));
    }

    #[tokio::test]
    async fn what_a_failure_leaves_behind_is_killed() {
        for end in ["wait", "exit 1"] {
            let folder = tempfile::tempdir().expect("a folder");
            let error = sh(&leaving(folder.path(), end), 300).await.unwrap_err();
            assert_eq!(matches!(error, HookError::Timeout { .. }), end == "wait", "{error}");
            assert_gone(left_pid(folder.path())).await;
        }
    }

    #[tokio::test]
    async fn what_a_success_leaves_behind_is_killed_unless_it_may_be_the_application() {
        let folder = tempfile::tempdir().expect("a folder");
        sh_leaving(LeftBehind::Kill, &leaving(folder.path(), "true"), 10_000).await.expect("fine");
        assert_gone(left_pid(folder.path())).await;

        sh_leaving(LeftBehind::Keep, &leaving(folder.path(), "true"), 10_000).await.expect("fine");
        let application = left_pid(folder.path());
        assert!(lives(application), "the application was killed");
        rustix::process::kill_process(application, Signal::KILL).expect("it runs");
    }

    #[tokio::test]
    async fn a_command_gets_no_secrets_of_the_agents_environment() {
        // Cargo sets CARGO_PKG_NAME, among others, for what it runs; the shell sets PWD and the like by itself.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some(), "this test is run by cargo");
        let error = sh("echo begin; env; exit 1", 10_000).await.unwrap_err().to_string();
        assert!(error.contains("DROVER_VERSION=1.2.3") && error.contains("PATH="), "{error}");
        let known = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "DROVER_VERSION", "PWD", "OLDPWD", "SHLVL", "_"];
        let names = error.lines().skip(1);
        for name in names.filter_map(|line| Some(line.split_once('=')?.0)) {
            assert!(known.contains(&name), "{name} is in the command's environment");
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
