//! The server as a process, and what the system says of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use drover_types::Timestamp;

use crate::wait::eventually;

/// Linux counts processor time in hundredths of a second for every program.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process used so far.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor time in seconds, of all its threads, in user and system mode.
    pub cpu_s: f64,
    /// `VmRSS` in KiB.
    pub resident_kib: u64,
}

/// A running `drover serve`, killed when dropped.
pub(super) struct Process {
    child: Child,
    pub(super) url: String,
    pub(super) password: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it on an empty database and waits until it says where it is.
    pub(super) async fn start(drover: &Path, folder: &Path, database: &str, blobs: &str) -> Self {
        let output = folder.join("serve.out");
        let out = std::fs::File::create(&output).expect("a file for the output");
        let err = std::fs::File::create(folder.join("serve.err")).expect("a file for the log");
        let child = Command::new(drover)
            .arg("serve")
            .arg("--data")
            .arg(folder.join("data"))
            // Counted, but never refused: the load comes from devices that are in no hurry.
            .args(["--listen", "127.0.0.1:0", "--poll-interval-ms", "30000", "--check-per-minute", "1000000"])
            .args(["--database", database, "--blobs", blobs])
            .env("HOME", folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("drover starts");
        let field = |label: &str| {
            let text = std::fs::read_to_string(&output).ok()?;
            let (_, rest) = text.lines().find_map(|line| line.split_once(label))?;
            text.ends_with('\n').then(|| rest.trim().to_owned())
        };
        let url = eventually("the server's address", async || field("serves ")).await;
        let password = eventually("the first password", async || field("password  ")).await;
        Self { child, url, password }
    }

    /// What it used so far.
    pub(super) fn usage(&self) -> Usage {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.child.id());
            std::fs::read_to_string(path).expect("the server runs")
        };
        let stat = read("stat");
        // The program's name stands in brackets and may hold anything.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).expect("a number");
        let status = read("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let resident = resident.split_whitespace().next().and_then(|text| text.parse().ok());
        Usage { cpu_s: (ticks(11) + ticks(12)) / TICKS_PER_SECOND, resident_kib: resident.expect("a number") }
    }
}

/// The time before now.
pub(super) fn ago(now: Timestamp, seconds: u64) -> Timestamp {
    now.minus(Duration::from_secs(seconds))
}
