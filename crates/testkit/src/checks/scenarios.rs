//! Update checks: with nothing to do, with some offers, while a stage opens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use drover_api::{Firmware, GroupWrite, LoginRequest, ReleaseKeyCreate, RolloutCreate, StageCreate};
use drover_cli::{Client, ServerUrl};
use drover_db::testing::TestDb;
use drover_trust::PrivateKey;
use drover_types::{Clock as _, GroupId, KeyAlgorithm, RolloutId, StageState, SystemClock};
use tokio_util::sync::CancellationToken;

use super::load::{self, Load};
use super::process::{Process, Usage};
use super::seed::Fleet;
use crate::server::network_client;
use crate::wait::until;
use crate::{Profile, ReleaseBuilder, private_key};

/// What to measure.
#[derive(Debug, Clone)]
pub struct ChecksOptions {
    /// The program.
    pub drover: PathBuf,
    /// On which back-ends.
    pub profile: Profile,
    /// Registered devices, at least 100.
    pub devices: u32,
    /// How long each measurement takes.
    pub time: Duration,
    /// Connections that ask one after the other.
    pub connections: u32,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Measured {
    /// What was going on.
    pub scenario: String,
    /// How many checks were answered.
    pub checks: u64,
    /// How many of them with an offer.
    pub offers: u64,
    /// How many were refused or failed.
    pub failures: u64,
    /// How long it took.
    pub wall: Duration,
    /// Half of the answers came within this, in milliseconds.
    pub p50_ms: f64,
    /// 99 of 100 came within this, in milliseconds.
    pub p99_ms: f64,
    /// What the server used meanwhile, and how much memory it had at the end.
    pub usage: Usage,
}

impl Measured {
    /// Checks per second of the server's processor time.
    pub fn checks_per_cpu_s(&self) -> f64 {
        count(self.checks) / self.usage.cpu_s.max(0.01)
    }

    /// Checks per second.
    pub fn checks_per_s(&self) -> f64 {
        count(self.checks) / self.wall.as_secs_f64()
    }
}

#[expect(clippy::cast_precision_loss, reason = "some million checks are far below 2^52")]
fn count(checks: u64) -> f64 {
    checks as f64
}

/// Measures all scenarios on a new installation; `told` hears of each as soon as it is done.
pub async fn bench_checks(options: &ChecksOptions, mut told: impl FnMut(&Measured)) {
    let bench = Bench::prepare(options).await;
    told(&bench.first_contact().await);
    told(&bench.steady("nothing to do").await);
    told(&bench.with_some_offers().await);
    told(&bench.while_a_stage_opens().await);
}

struct Bench<'o> {
    options: &'o ChecksOptions,
    server: Process,
    address: SocketAddr,
    admin: Client,
    fleet: Fleet,
    firmware: Firmware,
    // Behind the server, which stands on them.
    db: TestDb,
    _folder: tempfile::TempDir,
}

impl<'o> Bench<'o> {
    async fn prepare(options: &'o ChecksOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let db = match options.profile {
            Profile::Local => TestDb::sqlite().await,
            Profile::Cluster => TestDb::postgres().await,
        };
        let blobs = options.profile.blobs(folder.path());
        let server = Process::start(&options.drover, folder.path(), db.url(), &blobs).await;
        let url: ServerUrl = server.url.parse().expect("a loopback address");
        let stranger = Client::new(network_client(), url);
        let (username, password) = ("admin".to_owned(), server.password.clone());
        let login = stranger.login(&LoginRequest { tenant: None, username, password }).await;
        let token = login.expect("name and password fit").token;
        let admin = stranger.with_token(&token);
        let firmware = publish(&server.url, &admin, &token).await;
        let tenant = drover_store::tenants::by_name(db.db(), "default").await.expect("the database answers");
        let tenant = tenant.expect("the first start made it").tenant_id;
        let fleet = Fleet { tenant, devices: options.devices, now: SystemClock.now() };
        fleet.register(db.db()).await;
        let address = server.url.trim_start_matches("http://").parse().expect("an address");
        Self { options, server, address, admin, fleet, firmware, db, _folder: folder }
    }

    /// Puts load on the server while `work` goes on.
    async fn under_load<T>(&self, work: impl Future<Output = T>) -> (Load, Usage, T) {
        let stop = CancellationToken::new();
        let before = self.server.usage();
        let load = tokio::spawn(load::run(self.address, self.fleet, self.options.connections, stop.clone()));
        let done = work.await;
        stop.cancel();
        let load = load.await.expect("the load runs to its end");
        let after = self.server.usage();
        (load, Usage { cpu_s: after.cpu_s - before.cpu_s, ..after }, done)
    }

    /// Every device once: no token is in memory yet.
    async fn first_contact(&self) -> Measured {
        let known = async || {
            let text = network_client().get(format!("{}/metrics", self.server.url)).send().await;
            let text = text.expect("the server answers").text().await.expect("text");
            let line = text.lines().find_map(|line| line.strip_prefix("drover_known_tokens "));
            line.and_then(|number| number.trim().parse::<u32>().ok()).expect("the number is there")
        };
        let all_known = async {
            while known().await < self.fleet.devices {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let (load, usage, ()) = self.under_load(all_known).await;
        measured("after a restart: every token is looked up once", &load, usage)
    }

    async fn steady(&self, scenario: &str) -> Measured {
        let (load, usage, ()) = self.under_load(tokio::time::sleep(self.options.time)).await;
        measured(scenario, &load, usage)
    }

    async fn while_a_stage_opens(&self) -> Measured {
        let share = 20;
        let chosen = self.options.devices / 100 * u32::from(share);
        // One device at a time: what is measured is the opening, not a hundred thousand offers after it.
        let rollout = self.rollout(&[share, 100], Vec::new(), Some(1)).await;
        let opened = async {
            self.admin.start_rollout(rollout).await.expect("it starts");
            self.running(rollout).await;
        };
        let (load, usage, ()) = self.under_load(opened).await;
        measured(&format!("while a stage of {chosen} devices opens"), &load, usage)
    }

    async fn with_some_offers(&self) -> Measured {
        let group = GroupWrite { name: "one percent".to_owned(), ..GroupWrite::default() };
        let group = self.admin.create_group(&group).await.expect("the group is created").id;
        self.fleet.group(self.db.db(), group, 100).await;
        let rollout = self.rollout(&[100], vec![group], None).await;
        self.admin.start_rollout(rollout).await.expect("it starts");
        self.running(rollout).await;
        let measured = self.steady("1 % of the devices have an offer").await;
        self.admin.cancel_rollout(rollout).await.expect("it is cancelled");
        until("the offers to be called off", async || {
            let counts = self.admin.rollout(rollout).await.expect("the rollout is there").counts;
            if counts.pending + counts.in_flight == 0 { Ok(()) } else { Err(counts) }
        })
        .await;
        measured
    }

    async fn rollout(&self, shares: &[u8], groups: Vec<GroupId>, max_in_flight: Option<u32>) -> RolloutId {
        let stage = |share: &u8| StageCreate { percentage: Some(*share), ..StageCreate::default() };
        let plan = RolloutCreate {
            name: "bench".to_owned(),
            firmware_id: self.firmware.id,
            stages: shares.iter().map(stage).collect(),
            target_groups: groups,
            target_condition: None,
            success_threshold: None,
            rollback_threshold: None,
            min_sample: None,
            on_breach: None,
            max_in_flight,
            session_timeout_ms: None,
        };
        self.admin.create_rollout(&plan).await.expect("the plan is accepted").id
    }

    /// Waits until the first stage has chosen its devices.
    async fn running(&self, rollout: RolloutId) {
        until("the stage to open", async || {
            let status = self.admin.rollout(rollout).await.expect("the rollout is there").stages[0].status;
            if status == StageState::Running { Ok(()) } else { Err(status) }
        })
        .await;
    }
}

async fn publish(url: &str, admin: &Client, token: &str) -> Firmware {
    let key: PrivateKey = private_key(KeyAlgorithm::EcdsaP256);
    let public_key = key.public_key().to_pem();
    let added = admin.add_release_key(&ReleaseKeyCreate { name: "bench".to_owned(), public_key }).await;
    added.expect("the key is added");
    let release = ReleaseBuilder::new("2.0.0", 2).sign(&key);
    let draft = admin.create_firmware(&release.create_body()).await.expect("the draft is created");
    for (name, bytes) in release.artifacts() {
        let path = format!("{url}/api/v1/firmware/{}/artifacts/{name}", draft.id);
        let sent = network_client().put(path).bearer_auth(token).body(bytes.to_vec()).send().await;
        assert!(sent.expect("the server answers").status().is_success(), "the artifact is taken");
    }
    admin.publish_firmware(draft.id).await.expect("the firmware is published")
}

fn measured(scenario: &str, load: &Load, usage: Usage) -> Measured {
    Measured {
        scenario: scenario.to_owned(),
        checks: load.checks,
        offers: load.offers,
        failures: load.failures,
        wall: load.wall,
        p50_ms: load.percentile_ms(50),
        p99_ms: load.percentile_ms(99),
        usage,
    }
}
