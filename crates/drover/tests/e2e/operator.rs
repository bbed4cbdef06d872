//! The operator at the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::server::{Server, drover};
use crate::wait::until;

/// A person with a terminal, a profile and a release key.
pub(crate) struct Operator {
    folder: PathBuf,
}

impl Operator {
    /// Logs in, makes a release key and adds it.
    pub(crate) fn log_in(folder: &Path, server: &Server) -> Self {
        let operator = Self { folder: folder.to_owned() };
        Self::enter(folder, server);
        operator.run(&["key", "generate", &operator.path("release.key")]);
        operator.run(&["key", "add", &operator.path("release.key.pub")]);
        operator
    }

    /// Logs in with the server's password.
    pub(crate) fn enter(folder: &Path, server: &Server) {
        let mut login = drover(folder);
        login.args(["login", "--server", &server.url, "--username", "admin", "--password-stdin"]);
        login.args(server.pin.iter().flat_map(|pin| ["--pin", pin]));
        let mut process = login.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("drover starts");
        let mut stdin = process.stdin.take().expect("it was piped");
        writeln!(stdin, "{}", server.password).expect("drover reads");
        drop(stdin);
        assert!(process.wait().expect("drover ends").success());
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Runs a command that has to succeed and gives its output.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let output = drover(&self.folder).args(arguments).output().expect("drover starts");
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "drover {arguments:?}: {text}{errors}");
        text.into_owned()
    }

    /// The same with the answer as JSON.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).expect("--json prints JSON")
    }

    /// Everything that a list command has.
    pub(crate) fn all(&self, arguments: &[&str]) -> Vec<Value> {
        let page = self.json(&[arguments, &["--all"]].concat());
        page["items"].as_array().cloned().unwrap_or_else(|| panic!("{page}"))
    }

    /// Starts a command, to be killed.
    pub(crate) fn start(&self, arguments: &[&str]) -> std::process::Child {
        let mut command = drover(&self.folder);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("drover starts")
    }

    /// Packs, signs and publishes `content` as firmware for robots.
    pub(crate) fn publish(&self, content: &Path, version: &str, counter: &str) {
        let out = self.path(&format!("release-{version}"));
        let content = content.display().to_string();
        self.run(&[
            "firmware",
            "pack",
            &content,
            "--name",
            "app",
            "--version",
            version,
            "--device-type",
            "robot",
            "--release-counter",
            counter,
            "--out",
            &out,
        ]);
        self.run(&["firmware", "sign", &out, "--key", &self.path("release.key")]);
        self.run(&["firmware", "publish", &out]);
    }

    /// Rolls a version out to everybody at once; its name is the version.
    pub(crate) fn roll_out(&self, version: &str) {
        let firmware = format!("robot@{version}");
        self.run(&["rollout", "create", "--firmware", &firmware, "--name", version, "--stage", "100", "--start"]);
    }

    /// Waits until the rollout is in that state.
    pub(crate) async fn wait_for_rollout(&self, version: &str, status: &str) {
        until(&format!("rollout {version} to be {status}"), async || {
            (self.json(&["rollout", "show", version])["status"] == status).then_some(())
        })
        .await;
    }

    /// The state of the only session of a rollout.
    pub(crate) fn session(&self, version: &str) -> Value {
        let page = self.json(&["rollout", "sessions", version]);
        assert_eq!(page["items"].as_array().map(Vec::len), Some(1), "{page}");
        page["items"][0].clone()
    }

    /// What the server believes that the device runs.
    pub(crate) fn version_of(&self, device: &str) -> Value {
        self.json(&["device", "show", device])["current_version"].clone()
    }
}
