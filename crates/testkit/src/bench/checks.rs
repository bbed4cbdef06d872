//! Update checks: with nothing to do, with some offers, while a stage opens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use drover_api::{Firmware, GroupWrite, Rollout, RolloutCreate, StageCreate};
use drover_cli::Client;
use drover_db::Db;
use drover_types::{GroupId, RolloutId, StageState};
use tokio_util::sync::CancellationToken;

use super::fleet::Fleet;
use super::load::{self, Load};
use super::place::{Database, Place};
use super::server::{Server, Usage};

/// Pause between two looks at the server.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long there is load at least.
const LEAST_LOAD: Duration = Duration::from_millis(500);

/// What to measure.
#[derive(Debug, Clone)]
pub struct ChecksOptions {
    /// The program.
    pub drover: PathBuf,
    /// On which database, with the blobs of its profile.
    pub database: Database,
    /// Registered devices, from 100 to a million, which is what the server's copies in memory hold.
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
    told(&bench.after_a_start().await);
    told(&bench.steady("nothing to do").await);
    told(&bench.with_some_offers().await);
    bench.while_a_stage_opens(&mut told).await;
}

/// Counted, but never refused: the load comes from devices that are in no hurry.
const LIMITS: [&str; 4] = ["--poll-interval-ms", "30000", "--check-per-minute", "1000000"];

struct Bench<'o> {
    options: &'o ChecksOptions,
    server: Server,
    address: SocketAddr,
    admin: Client,
    fleet: Fleet,
    /// Devices that asked in this scenario; from the first on again when all did.
    asked: Arc<AtomicU32>,
    firmware: Firmware,
    db: Db,
    // Behind the server, which stands on it.
    _place: Place,
}

impl<'o> Bench<'o> {
    async fn prepare(options: &'o ChecksOptions) -> Self {
        let place = Place::new(options.database).await;
        let mut server = Server::start(&options.drover, &place, &LIMITS).await;
        let db = place.open().await;
        let fleet = Fleet::register(&db, options.devices).await;
        server.restart(&options.drover, &place, &LIMITS).await;
        let admin = server.admin().await;
        let firmware = place.publish(&admin).await;
        let address = server.url.trim_start_matches("http://").parse().expect("an address");
        Self { options, server, address, admin, fleet, asked: Arc::default(), firmware, db, _place: place }
    }

    /// Puts load on the server while `work` goes on.
    async fn under_load<T>(&self, work: impl Future<Output = T>) -> (Load, Usage, T) {
        let stop = CancellationToken::new();
        let before = self.server.usage();
        self.asked.store(0, Ordering::Relaxed);
        let asked = Arc::clone(&self.asked);
        let load = tokio::spawn(load::run(self.address, self.fleet, self.options.connections, asked, stop.clone()));
        let done = work.await;
        stop.cancel();
        let load = load.await.expect("the load runs to its end");
        let after = self.server.usage();
        (load, Usage { cpu_s: after.cpu_s - before.cpu_s, ..after }, done)
    }

    /// Until the server has read the tokens of all devices.
    async fn after_a_start(&self) -> Measured {
        let all_known = async {
            while self.server.metric("drover_known_tokens").await < f64::from(self.fleet.devices) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Few are known before the load begins.
        let work = async { tokio::join!(all_known, tokio::time::sleep(LEAST_LOAD)) };
        let (load, usage, _) = self.under_load(work).await;
        measured("the server has just started, until it knows all tokens", &load, usage)
    }

    async fn steady(&self, scenario: &str) -> Measured {
        let (load, usage, ()) = self.under_load(tokio::time::sleep(self.options.time)).await;
        measured(scenario, &load, usage)
    }

    /// The opening itself, and then the time when all who were chosen have to be looked up, for one of them at a
    /// time is offered the update: what is measured is the stage, not a hundred thousand offers.
    async fn while_a_stage_opens(&self, told: &mut impl FnMut(&Measured)) {
        let share = 20;
        let chosen = self.options.devices / 100 * u32::from(share);
        let rollout = self.rollout(&[share, 100], Vec::new(), Some(1)).await;
        let opened = async {
            self.admin.start_rollout(rollout).await.expect("it starts");
            self.running(rollout).await;
        };
        let (load, usage, ()) = self.under_load(opened).await;
        told(&measured(&format!("while a stage of {chosen} devices opens"), &load, usage));
        told(&self.steady(&format!("{chosen} devices of the open stage wait for a place")).await);
    }

    async fn with_some_offers(&self) -> Measured {
        let group = GroupWrite { name: "one percent".to_owned(), ..GroupWrite::default() };
        let group = self.admin.create_group(&group).await.expect("the group is created").id;
        self.fleet.group(&self.db, group, 100).await;
        let rollout = self.rollout(&[100], vec![group], None).await;
        self.admin.start_rollout(rollout).await.expect("it starts");
        self.running(rollout).await;
        let measured = self.steady("1 % of the devices have an offer").await;
        self.admin.cancel_rollout(rollout).await.expect("it is cancelled");
        self.seen(rollout, |rollout| rollout.counts.pending + rollout.counts.in_flight == 0).await;
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
        self.seen(rollout, |rollout| rollout.stages[0].status == StageState::Running).await;
    }

    /// Waits for as long as it takes: how long that is, is what is measured.
    async fn seen(&self, rollout: RolloutId, wanted: impl Fn(&Rollout) -> bool) {
        while !wanted(&self.admin.rollout(rollout).await.expect("the rollout is there")) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
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
