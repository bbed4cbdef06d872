//! `drover serve` as a process that is watched from outside.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use drover_api::LoginRequest;
use drover_cli::{Client, ClientError, ServerTrust, ServerUrl};
use rustix::param::clock_ticks_per_second;

use super::place::Place;
use crate::eventually;

/// What `drover serve` is told so that nobody is limited in how often they may call.
pub const UNLIMITED: [&str; 4] = ["--check-per-minute", "0", "--stranger-per-minute", "0"];

/// What a process used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time in seconds, of all its threads, in user and system mode.
    pub cpu_s: f64,
    /// `VmRSS` in KiB.
    pub resident_kib: u64,
}

/// A running server, killed when dropped.
pub struct Server {
    process: Child,
    /// Its address, without a slash at the end.
    pub url: String,
    password: String,
    /// The key that it proves; none without TLS.
    pin: Option<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts `program` in an empty place with these arguments, as [`UNLIMITED`].
    pub async fn start(program: &Path, place: &Place, more: &[&str]) -> Self {
        let (process, out) = spawn(program, place, more);
        let (url, password) = (printed(&out, "serves ").await, printed(&out, "password  ").await);
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        let pin = text.lines().find_map(|line| line.trim().strip_prefix("pin ")).map(|pin| pin.trim().to_owned());
        Self { process, url, password, pin }
    }

    /// Kills it and starts it once more.
    pub async fn restart(&mut self, program: &Path, place: &Place, more: &[&str]) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
        let (process, out) = spawn(program, place, more);
        self.process = process;
        self.url = printed(&out, "serves ").await;
    }

    /// A client of the first user.
    pub async fn admin(&self) -> Client {
        self.stranger().with_token(self.log_in().await)
    }

    /// A token of the first user.
    pub async fn log_in(&self) -> String {
        self.try_log_in().await.expect("the printed password fits")
    }

    /// The same where the server may refuse it, being busy.
    pub async fn try_log_in(&self) -> Result<String, ClientError> {
        let request = LoginRequest { tenant: None, username: "admin".to_owned(), password: self.password.clone() };
        Ok(self.stranger().login(&request).await?.token)
    }

    /// What vouches for it.
    pub fn trust(&self) -> ServerTrust {
        let pin = self.pin.as_ref().map(|pin| pin.parse().expect("the server prints its pin"));
        pin.map_or(ServerTrust::System, ServerTrust::Pinned)
    }

    fn stranger(&self) -> Client {
        let url: ServerUrl = self.url.parse().expect("the server prints its address");
        Client::new(Client::http_trusting(&self.trust()).expect("a network client"), url)
    }

    /// What it used so far.
    pub fn usage(&self) -> Usage {
        Usage { cpu_s: self.cpu_seconds(), resident_kib: self.memory_kib("VmRSS") }
    }

    /// CPU seconds that it used so far, from `/proc/PID/stat`.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("the server runs");
        // Behind the name in brackets: state is the first field, user and system time the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().expect("a number of clock ticks");
        #[expect(clippy::cast_precision_loss, reason = "a hundred or so")]
        let per_second = clock_ticks_per_second() as f64;
        (ticks(11) + ticks(12)) / per_second
    }

    /// `VmRSS` or `VmHWM` from `/proc/PID/status`, in KiB.
    pub fn memory_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the server runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number of KiB")
    }

    /// The value of a metric without labels; 0 when it is not there yet.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = reqwest::get(format!("{}/metrics", self.url)).await.expect("it answers").text().await;
        let text = text.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }
}

/// Starts the program; what it prints goes to the file that is returned.
fn spawn(program: &Path, place: &Place, more: &[&str]) -> (Child, PathBuf) {
    let (out, err) = (place.folder().join("serve.out"), place.folder().join("serve.err"));
    let process = Command::new(program)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .arg("--data")
        .arg(place.folder().join("data"))
        .args(place.arguments())
        .args(more)
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out).expect("a file for the output"))
        .stderr(std::fs::File::create(err).expect("a file for the log"))
        .spawn()
        .expect("the server starts");
    (process, out)
}

/// What the server prints behind a label, as soon as it does.
async fn printed(out: &Path, label: &'static str) -> String {
    eventually(label, async || {
        let text = std::fs::read_to_string(out).ok()?;
        let found = text.lines().find_map(|line| line.split_once(label))?.1.trim().to_owned();
        text.ends_with('\n').then_some(found)
    })
    .await
}
