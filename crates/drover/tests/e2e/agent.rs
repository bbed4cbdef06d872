//! `drover-agent` as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::server::Server;

/// The device.
pub(crate) const HARDWARE_ID: &str = "ROBOT-1";

/// A device with its agent, killed when dropped.
pub(crate) struct Agent {
    process: Option<Child>,
    folder: PathBuf,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Agent {
    /// A device that has not registered yet. Downloads run at 8 MB/s, so that there is a middle to be killed in.
    pub(crate) fn start(folder: &Path, server: &Server) -> Self {
        let config = format!(
            "server = '{}'\ndata_dir = '{}'\nhardware_id = '{HARDWARE_ID}'\ndevice_type = 'robot'\n\
             enrolment_token = '{}'\npoll_interval_ms = 200\nretry_min_ms = 50\nretry_max_ms = 500\n\
             throttle_bytes_per_s = 8000000\n\n[component.main]\nself_test = ['/bin/sh', 'self-test']\n",
            server.url,
            folder.join("device").display(),
            server.enrolment_token
        );
        std::fs::write(folder.join("agent.toml"), config).expect("a configuration file");
        let mut agent = Self { process: None, folder: folder.to_owned() };
        agent.run();
        agent
    }

    /// Tells the agent, which must not run, that its server has another address now.
    pub(crate) fn point_to(&self, before: &str, after: &str) {
        let path = self.folder.join("agent.toml");
        let config = std::fs::read_to_string(&path).expect("a configuration file");
        std::fs::write(&path, config.replace(before, after)).expect("a configuration file");
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("agent.log")).unwrap_or_default()
    }

    /// Starts the program.
    pub(crate) fn run(&mut self) {
        let program = Path::new(env!("CARGO_BIN_EXE_drover")).with_file_name("drover-agent");
        assert!(program.exists(), "{} is not built: cargo build --workspace, or `make test`", program.display());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("agent.log"));
        let process = Command::new(program)
            .args(["run", "--config"])
            .arg(self.folder.join("agent.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a file for the log"))
            .spawn();
        self.process = Some(process.expect("the agent starts"));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Already gone is fine.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    fn component(&self) -> PathBuf {
        self.folder.join("device/components/main")
    }

    /// A file of what runs now.
    pub(crate) fn running(&self, file: &str) -> Option<Vec<u8>> {
        std::fs::read(self.component().join("CURRENT/root").join(file)).ok()
    }

    /// Bytes of the download that is under way.
    pub(crate) fn downloaded_bytes(&self) -> u64 {
        let Ok(files) = std::fs::read_dir(self.folder.join("device/downloads/main")) else { return 0 };
        let parts = files.flatten().filter(|file| file.path().extension().is_some_and(|ending| ending == "part"));
        parts.flat_map(|file| file.metadata()).map(|metadata| metadata.len()).max().unwrap_or(0)
    }

    /// Whether a slot is being filled.
    pub(crate) fn is_unpacking(&self) -> bool {
        self.component().join("slots/.unpacking").exists()
    }

    /// What lies around and should not, once an update is over.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let downloads = self.folder.join("device/downloads/main");
        let mut found = files_in(&downloads);
        found.extend(
            files_in(&self.component().join("slots"))
                .into_iter()
                .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))),
        );
        found.extend(Some(self.component().join("journal.json")).filter(|path| path.exists()));
        found
    }
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).map(|files| files.flatten().map(|file| file.path()).collect()).unwrap_or_default()
}
