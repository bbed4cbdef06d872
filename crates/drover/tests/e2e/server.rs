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
    /// Address, data folder and back-ends, as options.
    arguments: Vec<String>,
    pub(crate) url: String,
    pub(crate) password: String,
    pub(crate) enrolment_token: String,
    /// The key that it proves; none when it needs none.
    pub(crate) pin: Option<String>,
    /// A database of its own, gone with this; none when it is shared.
    database: Option<drover_db::testing::TestDb>,
}

/// Where an installation is, and what it stands on.
struct Place {
    arguments: Vec<String>,
    database: Option<drover_db::testing::TestDb>,
}

impl Place {
    /// A place that nobody has used: the data folder of this name, and with it database and bucket.
    async fn new(profile: Profile, folder: &Path, name: &str) -> Self {
        let mut arguments = vec!["--data".to_owned(), folder.join(name).display().to_string()];
        if profile == Profile::Local {
            return Self { arguments, database: None };
        }
        let database = drover_db::testing::TestDb::postgres().await;
        let bucket = std::env::var("DROVER_TEST_S3").expect(
            "DROVER_TEST_S3 is not set, and this test needs an S3 server; start one: scripts/s3-server.sh, or `make test`",
        );
        let prefix = database.url().rsplit('/').next().unwrap_or_default().replace('_', "-");
        let (bucket, options) = bucket.split_once('?').unwrap_or((&bucket, ""));
        let bucket = format!("{}/{prefix}?{options}", bucket.trim_end_matches('/'));
        arguments.extend(["--database".to_owned(), database.url().to_owned(), "--blobs".to_owned(), bucket]);
        Self { arguments, database: Some(database) }
    }
}

/// PostgreSQL and a bucket that nobody has used, for the data folder of before.
pub(crate) struct Moving(Place);

impl Moving {
    /// With more arguments for the server there.
    pub(crate) async fn new(folder: &Path, more: &[&str]) -> Self {
        let mut place = Place::new(Profile::Cluster, folder, "data").await;
        place.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        Self(place)
    }

    fn option(&self, name: &str) -> &str {
        let mut arguments = self.0.arguments.iter().skip_while(|argument| *argument != name);
        arguments.nth(1).expect("the option has a value")
    }
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
        Self::start_with(profile, folder, "127.0.0.1:0", &[]).await
    }

    /// A new installation at this address, with more arguments.
    pub(crate) async fn start_with(profile: Profile, folder: &Path, listen: &str, more: &[&str]) -> Self {
        let mut place = Place::new(profile, folder, "data").await;
        place.arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let mut server = Self::run(folder, place, listen).await;
        let output = server.output();
        server.password = until("the first password", async || field(&output, "password  ")).await;
        server.enrolment_token = until("the enrolment token", async || token(&output)).await;
        server
    }

    /// An installation that is there already; it has its password from before.
    async fn run(folder: &Path, place: Place, listen: &str) -> Self {
        let Place { mut arguments, database } = place;
        arguments.extend(["--listen".to_owned(), listen.to_owned()]);
        let (process, output) = spawn(folder, &arguments);
        let url = until("the server's address", async || field(&output, "serves ")).await;
        // The same address after a restart: devices have it in their configuration.
        if let Some(listen) = arguments.last_mut() {
            url.split_once("://").expect("an address").1.clone_into(listen);
        }
        let pin = field(&output, "pin       ");
        let (password, enrolment_token, folder) = (String::new(), String::new(), folder.to_owned());
        Self { process, folder, arguments, url, password, enrolment_token, pin, database }
    }

    /// Another server on the same database and bucket, with a data folder of its own.
    pub(crate) async fn beside(first: &Self, folder: &Path) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        // Without its address, which is the last.
        let mut arguments = first.arguments[..first.arguments.len() - 2].to_vec();
        folder.join("data").display().to_string().clone_into(&mut arguments[1]);
        let mut beside = Self::run(folder, Place { arguments, database: None }, "127.0.0.1:0").await;
        first.password.clone_into(&mut beside.password);
        first.enrolment_token.clone_into(&mut beside.enrolment_token);
        beside
    }

    /// The database of a cluster.
    pub(crate) fn database(&self) -> &drover_db::Db {
        self.database.as_ref().expect("this server made the database").db()
    }

    /// Saves this installation in `file` while it works.
    pub(crate) fn back_up(&self, file: &Path) -> std::process::Output {
        let mut command = drover(&self.folder);
        command.args(["backup", "--with-objects", "--to"]).arg(file).args(&self.arguments);
        command.output().expect("drover starts")
    }

    /// Ends this server for good and starts another in an empty place, from the backup: other folder, address and
    /// database; the passwords are the same.
    pub(crate) async fn restore_elsewhere(mut self, profile: Profile, file: &Path) -> Self {
        self.process.kill().expect("the server runs");
        self.process.wait().expect("the server ended");
        let place = Place::new(profile, &self.folder, "restored").await;
        let output = drover(&self.folder).args(["restore", "--from"]).arg(file).args(&place.arguments).output();
        let output = output.expect("drover starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut restored = Self::run(&self.folder, place, "127.0.0.1:0").await;
        self.password.clone_into(&mut restored.password);
        restored
    }

    /// Tries to move everything into an empty PostgreSQL and bucket; the server may or may not run.
    pub(crate) fn copy_to(&self, target: &Moving) -> std::process::Output {
        let data = self.folder.join("data");
        let place = |scheme: &str, name: &str| format!("{scheme}:{}", data.join(name).display());
        let mut command = drover(&self.folder);
        command.args([
            "admin",
            "copy",
            "--from",
            &place("sqlite", "drover.db"),
            "--from-blobs",
            &place("file", "blobs"),
        ]);
        command.args(["--to", target.option("--database"), "--to-blobs", target.option("--blobs")]);
        command.output().expect("drover starts")
    }

    /// `kill -9`, for good.
    pub(crate) fn kill(&mut self) {
        self.process.kill().expect("the server runs");
        self.process.wait().expect("the server ended");
    }

    /// Whether the server refuses to start where it was, and what it says.
    pub(crate) fn try_start(&self) -> std::process::Output {
        let mut command = drover(&self.folder);
        command.arg("serve").args(&self.arguments).output().expect("drover starts")
    }

    /// Goes on there with the data folder of before.
    pub(crate) async fn go_on_at(self, target: Moving) -> Self {
        let mut server = Self::run(&self.folder, target.0, "127.0.0.1:0").await;
        self.password.clone_into(&mut server.password);
        server
    }

    /// The options that `drover serve` was started with.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    fn output(&self) -> PathBuf {
        self.folder.join("serve.out")
    }

    /// `kill -9`, then a start on the same data.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill();
        self.restart().await;
    }

    /// Starts it on the data that it left.
    pub(crate) async fn restart(&mut self) {
        let (process, output) = spawn(&self.folder, &self.arguments);
        self.process = process;
        until("the restarted server's address", async || field(&output, "serves ")).await;
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.arguments.last().expect("the address is the last one")
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("serve.err")).unwrap_or_default()
    }
}

fn spawn(folder: &Path, arguments: &[String]) -> (Child, PathBuf) {
    let output = folder.join("serve.out");
    let out = std::fs::File::create(&output).expect("a file for the output");
    let err = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("serve.err"));
    let process = drover(folder)
        .arg("serve")
        .args(["--check-per-minute", "0", "--stranger-per-minute", "0", "--poll-interval-ms", "200"])
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
