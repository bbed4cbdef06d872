//! `drover serve` as a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::wait::until;

/// Which back-ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// SQLite and a folder.
    Local,
    /// PostgreSQL and S3.
    Cluster,
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    process: Child,
    folder: PathBuf,
    arguments: Vec<String>,
    pub(crate) url: String,
    pub(crate) password: String,
    pub(crate) enrolment_token: String,
    /// Keeps the database of its own.
    _database: Option<drover_db::testing::TestDb>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The command, without anything of the caller's environment that could matter.
pub(crate) fn drover(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_drover"));
    command.env("HOME", folder).env("XDG_CONFIG_HOME", folder.join("config")).env_remove("DROVER_TOKEN");
    command.stdin(Stdio::null());
    command
}

impl Server {
    /// A new installation in `folder`.
    pub(crate) async fn start(profile: Profile, folder: &Path) -> Self {
        let mut arguments = vec!["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        let database = match profile {
            Profile::Local => None,
            Profile::Cluster => {
                let database = drover_db::testing::TestDb::postgres().await;
                let bucket = std::env::var("DROVER_TEST_S3").expect(
                    "DROVER_TEST_S3 is not set, and this test needs an S3 server; \
                     start one: scripts/s3-server.sh, or `make test`",
                );
                arguments.extend(["--database".to_owned(), database.url().to_owned()]);
                arguments.extend(["--blobs".to_owned(), bucket]);
                Some(database)
            }
        };
        let (process, output) = spawn(folder, &arguments);
        let url = until("the server's address", async || field(&output, "serves ")).await;
        let password = until("the first password", async || field(&output, "password  ")).await;
        let enrolment_token = until("the enrolment token", async || token(&output)).await;
        // The same address after a restart: devices have it in their configuration.
        url.trim_start_matches("http://").clone_into(&mut arguments[1]);
        let folder = folder.to_owned();
        Self { process, folder, arguments, url, password, enrolment_token, _database: database }
    }

    /// `kill -9`, then a start on the same data.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.process.kill().expect("the server runs");
        self.process.wait().expect("the server ended");
        let (process, output) = spawn(&self.folder, &self.arguments);
        self.process = process;
        until("the restarted server's address", async || field(&output, "serves ")).await;
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> (Child, PathBuf) {
    let output = folder.join("serve.out");
    let out = std::fs::File::create(&output).expect("a file for the output");
    let err = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("serve.err"));
    let process = drover(folder)
        .arg("serve")
        .arg("--data")
        .arg(folder.join("data"))
        .args(["--check-per-minute", "0", "--poll-interval-ms", "200"])
        .args(arguments)
        .env("PRESIGN_API_KEYS", "dev-local-key")
        .stdout(out)
        .stderr(err.expect("a file for the log"))
        .spawn()
        .expect("drover starts");
    (process, output)
}

/// The rest of the line behind `label`.
fn field(output: &Path, label: &str) -> Option<String> {
    let text = std::fs::read_to_string(output).ok()?;
    let line = text.lines().find_map(|line| line.split_once(label))?;
    text.ends_with('\n').then(|| line.1.trim().to_owned())
}

fn token(output: &Path) -> Option<String> {
    let text = std::fs::read_to_string(output).ok()?;
    text.split_whitespace().find(|word| word.starts_with("ft1.")).map(str::to_owned)
}
