//! A server of one's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use drover_api::{Firmware, LoginRequest, ReleaseKeyCreate, Rollout};
use drover_app::compose::{self, Backends};
use drover_app::{App, FirstStart, SystemRandom, tasks};
use drover_cli::{Client, ServerUrl};
use drover_db::run;
use drover_db::testing::TestDb;
use drover_trust::PrivateKey;
use drover_types::RolloutId;
use reqwest::Method;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::wait::until;
use crate::{DEADLINE, Profile, Release, ServerOptions, answer, eventually};

/// How long the pieces of a killed server may take to fall.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// The real application over real HTTP, on back-ends of its own. It ends when it is dropped.
pub struct TestServer {
    /// A runtime of its own, so that a kill takes everything with it. None after a kill.
    runtime: Option<Runtime>,
    address: SocketAddr,
    options: ServerOptions,
    backends: Backends,
    http: reqwest::Client,
    admin_token: String,
    first_start: FirstStart,
    // Behind the runtime: what a server stands on goes after it.
    db: TestDb,
    folder: TempDir,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One more process, as it were, beside a [`TestServer`].
pub struct Node {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Node {
    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Opens the application and serves it.
async fn serve(options: ServerOptions, backends: Backends, listener: TcpListener) -> Option<FirstStart> {
    let (settings, clock) = (options.settings, options.clock);
    let app = compose::compose(&backends, settings, clock, Arc::new(SystemRandom)).await;
    let app: Arc<App> = app.expect("the application is put together");
    let first_start = app.first_start().await.expect("the first start works");
    app.bind_presign_keys().await.expect("the tenants of presign keys are there");
    let stop = CancellationToken::new();
    let background = tasks::start(&app, &stop);
    tokio::spawn(async move {
        drover_server::serve(app, options.http, None, listener, stop).await.expect("HTTP is served");
        background.wait().await;
    });
    first_start
}

impl TestServer {
    /// Starts a server with the default options.
    pub async fn start(profile: Profile) -> Self {
        ServerOptions::new(profile).start().await
    }

    pub(crate) async fn open(options: ServerOptions) -> Self {
        show_warnings();
        let db = match options.profile {
            Profile::Local => TestDb::sqlite().await,
            Profile::Cluster => TestDb::postgres().await,
        };
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let runtime = new_runtime();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.spawn(TcpListener::bind(address)).await.expect("it runs").expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let backends = Backends {
            database: db.url().to_owned(),
            blobs: options.profile.blobs(folder.path()),
            data_dir: folder.path().join("data"),
            public_url: format!("http://{address}"),
            pool_max: 10,
            migrate: true,
        };
        let first_start = runtime.spawn(serve(options.clone(), backends.clone(), listener)).await;
        let first_start = first_start.expect("the server starts").expect("it starts for the first time");
        let http = network_client();
        let runtime = Some(runtime);
        let admin_token = String::new();
        let mut server = Self { runtime, address, options, backends, http, admin_token, first_start, db, folder };
        server.admin_token = server.login("default").await;
        server
    }

    /// Ends it and starts it again on the same data, with other options.
    pub async fn restart_with(&mut self, change: impl FnOnce(ServerOptions) -> ServerOptions) {
        self.options = change(self.options.clone());
        self.kill_and_restart().await;
    }

    /// Kills it in whatever it does.
    pub async fn kill(&mut self) {
        let runtime = self.runtime.take().expect("it is running");
        let killed = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(KILL_TIMEOUT));
        killed.await.expect("it can be killed");
    }

    /// Kills it in whatever it does, and starts it again at the same address on the same data.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        let runtime = new_runtime();
        let address = self.address;
        let listener = eventually("the address to be free again", async || {
            runtime.spawn(TcpListener::bind(address)).await.expect("it runs").ok()
        })
        .await;
        let started = runtime.spawn(serve(self.options.clone(), self.backends.clone(), listener)).await;
        assert!(started.expect("the server starts").is_none(), "what was there before is there");
        self.runtime = Some(runtime);
    }

    /// Cleans up now, as every node does once an hour: another node on the same data does it.
    pub async fn clean_up(&self) {
        let (options, backends) = (self.options.clone(), self.backends.clone());
        let app = compose::compose(&backends, options.settings, options.clock, Arc::new(SystemRandom)).await;
        let app = app.expect("the other node is put together");
        tasks::clean_up(&app).await;
        app.close().await;
    }

    /// Logs the first user in once more: the administrator's client, for when time has passed.
    pub async fn sign_in(&self) -> Client {
        self.stranger().with_token(self.login("default").await)
    }

    /// Runs statements behind the server's back.
    pub async fn sql(&self, statements: &'static str) {
        let done: Result<(), sqlx::Error> = async {
            let mut tx = self.db.db().begin().await?;
            run!(&mut tx, |c| sqlx::raw_sql(statements).execute(c).await.map(drop))?;
            tx.commit().await
        }
        .await;
        done.expect("the statements run");
    }

    /// How many rows a table has.
    pub async fn count(&self, table: &'static str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let count: Result<i64, sqlx::Error> =
            async { run!(self.db.db(), |c| sqlx::query_scalar(sql).fetch_one(c).await) }.await;
        count.expect("the table can be counted")
    }

    /// Starts another node on the same database and objects. It ends when it is dropped.
    pub async fn another_node(&self) -> Node {
        let runtime = new_runtime();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.spawn(TcpListener::bind(address)).await.expect("it runs").expect("a port is free");
        let address = listener.local_addr().expect("the listener has an address");
        let started = runtime.spawn(serve(self.options.clone(), self.backends.clone(), listener)).await;
        assert!(started.expect("the node starts").is_none(), "what the first node made is there");
        Node { runtime: Some(runtime), address }
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its database.
    pub const fn db(&self) -> &TestDb {
        &self.db
    }

    /// What it stands on.
    pub const fn backends(&self) -> &Backends {
        &self.backends
    }

    /// A folder for the test's files.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Name and password of the first user, and the first enrolment token.
    pub const fn first_start(&self) -> &FirstStart {
        &self.first_start
    }

    /// A network client without any credential; it follows no redirects.
    pub const fn raw(&self) -> &reqwest::Client {
        &self.http
    }

    /// A request without a credential.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url()))
    }

    /// A request of the first user.
    pub fn admin_request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.request(method, path).bearer_auth(&self.admin_token)
    }

    /// The client of nobody.
    pub fn stranger(&self) -> Client {
        let url: ServerUrl = self.url().parse().expect("a loopback address");
        Client::new(self.http.clone(), url)
    }

    /// The client of the first user, logged in.
    pub fn admin(&self) -> Client {
        self.stranger().with_token(&self.admin_token)
    }

    /// Logs the first user in once more: after a clock was moved by more than a login lasts.
    pub async fn log_in_again(&mut self) {
        self.admin_token = self.login("default").await;
    }

    /// The first user's bearer token.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    pub(crate) async fn login(&self, tenant: &str) -> String {
        let FirstStart { username, password, .. } = &self.first_start;
        let (username, password) = (username.clone(), password.clone());
        let login = LoginRequest { tenant: Some(tenant.to_owned()), username, password };
        self.stranger().login(&login).await.expect("name and password fit").token
    }

    /// Lets `key` sign firmware.
    pub async fn trust(&self, key: &PrivateKey) -> drover_api::ReleaseKey {
        let public_key = key.public_key().to_pem();
        let name = key.public_key().algorithm().to_string();
        self.admin().add_release_key(&ReleaseKeyCreate { name, public_key }).await.expect("the key is added")
    }

    /// Sends the bytes of an artifact.
    pub async fn upload(&self, firmware: &Firmware, name: &str, bytes: &[u8]) -> crate::Answer {
        let path = format!("/api/v1/firmware/{}/artifacts/{name}", firmware.id);
        answer(self.admin_request(Method::PUT, &path).body(bytes.to_vec())).await
    }

    /// Creates, fills and publishes a firmware.
    pub async fn publish(&self, release: &Release) -> Firmware {
        let draft = self.admin().create_firmware(&release.create_body()).await.expect("the draft is created");
        for (name, bytes) in release.artifacts() {
            let uploaded = self.upload(&draft, name, bytes).await;
            assert_eq!(uploaded.status, 200, "{}", uploaded.text());
        }
        self.admin().publish_firmware(draft.id).await.expect("the firmware is published")
    }

    /// Waits until the rollout is as `fits` wants it.
    pub async fn rollout_when(&self, what: &str, id: RolloutId, fits: impl Fn(&Rollout) -> bool) -> Rollout {
        let admin = self.admin();
        until(what, async || {
            let rollout = admin.rollout(id).await.expect("the rollout is there");
            if fits(&rollout) { Ok(rollout) } else { Err(rollout) }
        })
        .await
    }
}

/// Follows no redirects, and trusts no certificates: reading those of the system takes longer than most tests.
pub(crate) fn network_client() -> reqwest::Client {
    let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.tls_certs_only([]).timeout(DEADLINE).build().expect("a network client can be made")
}

/// A test that fails shows what the server warned of.
fn show_warnings() {
    let warnings = tracing_subscriber::fmt().with_env_filter("drover=warn").with_test_writer();
    // Only the first test of a process sets it up.
    let _ = warnings.try_init();
}

fn new_runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().expect("a runtime can be made")
}
