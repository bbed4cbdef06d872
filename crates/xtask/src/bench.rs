//! Benchmarks against a running server: built as it is released, with the servers of the cluster profile beside it.

use std::path::PathBuf;
use std::process::Command;

use crate::{Result, workspace};

/// A server of the cluster profile, its script, and the variable that tells tests where it is.
const SERVERS: [(&str, &str); 2] = [("postgres", "DROVER_TEST_POSTGRES"), ("s3", "DROVER_TEST_S3")];

/// Builds everything, starts the servers that are not there yet, and runs `drover-bench NAME` with these options.
pub(crate) fn run(name: &str, options: &[String]) -> Result<()> {
    // One after the other: together, the server would be built with what only tests need.
    for package in ["drover", "drover-testkit"] {
        workspace::run(workspace::cargo().args(["build", "--release", "--bins", "--package", package]))?;
    }
    let built = workspace::metadata()?.target_directory.into_std_path_buf().join("release");
    let mut command = Command::new(built.join("drover-bench"));
    command.arg(name).arg("--program").arg(built.join("drover")).args(options);
    let mut servers = Vec::new();
    for (server, variable) in SERVERS.iter().filter(|(_, variable)| std::env::var_os(variable).is_none()) {
        let started = Server::start(server)?;
        command.envs(started.variables.iter().map(|(name, value)| (name, value)));
        if !started.variables.iter().any(|(name, _)| name == variable) {
            return Err(format!("scripts/{server}-server.sh did not say {variable}").into());
        }
        servers.push(started);
    }
    workspace::run(&mut command)
}

/// A server started by its script, stopped when dropped.
struct Server {
    script: PathBuf,
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

impl Server {
    fn start(name: &str) -> Result<Self> {
        let script = workspace::metadata()?.workspace_root.join(format!("scripts/{name}-server.sh"));
        let script = script.into_std_path_buf();
        let folder = std::env::temp_dir().join(format!("drover-bench-{}-{name}", std::process::id()));
        // Dropped from here on, also when it does not start.
        let mut server = Self { script, folder, variables: Vec::new() };
        // The script prints `export NAME=VALUE`, quoted for the shell: the shell reads it.
        let command = "eval \"$(\"$0\" start \"$1\")\" && env -0";
        let shell = Command::new("bash").args(["-c", command]).arg(&server.script).arg(&server.folder).output()?;
        if !shell.status.success() {
            return Err(
                format!("{} failed: {}", server.script.display(), String::from_utf8_lossy(&shell.stderr)).into()
            );
        }
        let text = String::from_utf8_lossy(&shell.stdout).into_owned();
        let pairs = text.split('\0').filter_map(|line| line.split_once('='));
        let news = pairs.filter(|(name, value)| std::env::var(name).as_deref() != Ok(*value));
        server.variables = news.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = Command::new(&self.script).arg("stop").arg(&self.folder).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("{} did not stop; its folder is {}", self.script.display(), self.folder.display());
        }
    }
}
