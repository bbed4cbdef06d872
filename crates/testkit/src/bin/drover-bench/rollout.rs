//! `bench rollout`: people ask by condition; a stage of few devices opens, then one of the whole fleet; then devices
//! report while the rollout goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use drover_api::{DeviceCountFilter, DeviceFilter, Firmware, GroupWrite, Rollout, RolloutCreate, StageCreate};
use drover_cli::Client;
use drover_protocol::{StatusReport, ValidationOutcome, ValidationReport};
use drover_testkit::bench::{Database, Fleet, Place, Server, UNLIMITED};
use drover_types::{RolloutId, SessionState, StageState};
use tokio::task::JoinSet;

/// Reports that a device sends for its update: downloading, installing, succeeded.
const REPORTS_PER_DEVICE: u32 = 3;

/// A target of several parts, which each offer asks again.
const TARGET: &str = "device.attr.region in [\"eu\", \"us\", \"asia\"] && !(\"hold\" in device.tags) \
                      && device.version < semver(\"9.0.0\") && (has(device.attr.region) || \"lab\" in device.groups)";

/// One device of so many is a canary.
const CANARY_EACH: u32 = 1_000;

/// Few of many devices.
const CANARIES: &str = "\"canary\" in device.tags";

/// Devices that are at work at the same time.
const WORKERS: usize = 64;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The built `drover`
    #[arg(long)]
    program: PathBuf,
    /// Registered devices, all of them in the rollout
    #[arg(long, default_value_t = 500_000)]
    devices: u32,
    /// Reports per second while the rollout goes on
    #[arg(long, default_value_t = 1_000)]
    reports_per_s: u32,
    /// How long reports come in
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Target condition of the rollout, which has to hold for every device
    #[arg(long = "where", default_value = TARGET)]
    target: String,
    /// Which databases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Database::ALL)]
    database: Vec<Database>,
}

/// Measures each database and prints a table in Markdown.
pub(crate) async fn run(options: &Options) {
    println!(
        "| database | devices | list | count | preview | few opened in | all opened in | server CPU | peak RSS \
         | reports/s | CPU per 1 000 reports | ticks | mean tick |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for database in &options.database {
        measure(options, *database).await;
    }
}

async fn measure(options: &Options, database: Database) {
    let place = Place::new(database).await;
    let server = Server::start(&options.program, &place, &UNLIMITED).await;
    let db = place.open().await;
    let fleet = Arc::new(Fleet::register(&db, options.devices).await);
    fleet.describe(&db, CANARY_EACH).await;
    db.close().await;
    let admin = server.admin().await;
    // The target asks for it; nobody is in it.
    let lab = GroupWrite { name: "lab".to_owned(), ..GroupWrite::default() };
    admin.create_group(&lab).await.expect("the group is created");
    let firmware = place.publish(&admin).await;
    let asked = ask(&admin, options, &firmware).await;
    let few_s = open_few(&admin, options, &firmware).await;
    let rollout = admin.create_rollout(&plan(&firmware, options)).await.expect("the plan is accepted");

    let (cpu, begin) = (server.cpu_seconds(), Instant::now());
    admin.start_rollout(rollout.id).await.expect("it starts");
    let opened = opened(&admin, rollout.id).await;
    let opening = (begin.elapsed().as_secs_f64(), server.cpu_seconds() - cpu);
    assert_eq!(opened.counts.pending, u64::from(options.devices), "the stage took the whole fleet");

    let ticks = (tick_count(&server).await, tick_seconds(&server).await);
    let (cpu, begin) = (server.cpu_seconds(), Instant::now());
    let reports = report(options, &server, &fleet).await;
    let (elapsed, cpu) = (begin.elapsed().as_secs_f64(), server.cpu_seconds() - cpu);
    let ticked = (tick_count(&server).await - ticks.0, tick_seconds(&server).await - ticks.1);
    let done = admin.rollout(rollout.id).await.expect("it is there").counts.succeeded;
    assert_eq!(done * u64::from(REPORTS_PER_DEVICE), u64::from(reports), "every report counted");

    println!(
        "| {database} | {} | {:.0} ms | {:.0} ms | {:.1} s | {few_s:.1} s | {:.1} s | {:.1} s | {} MiB | {:.0} | {:.2} s \
         | {:.0} | {:.1} ms |",
        options.devices,
        asked.list.as_secs_f64() * 1_000.0,
        asked.count.as_secs_f64() * 1_000.0,
        asked.preview.as_secs_f64(),
        opening.0,
        opening.1,
        server.memory_kib("VmHWM") / 1024,
        f64::from(reports) / elapsed,
        cpu * 1_000.0 / f64::from(reports),
        ticked.0,
        ticked.1 * 1_000.0 / ticked.0.max(1.0),
    );
}

async fn tick_count(server: &Server) -> f64 {
    server.metric("drover_rollout_tick_seconds_count").await
}

async fn tick_seconds(server: &Server) -> f64 {
    server.metric("drover_rollout_tick_seconds_sum").await
}

fn plan(firmware: &Firmware, options: &Options) -> RolloutCreate {
    RolloutCreate {
        name: "bench".to_owned(),
        firmware_id: firmware.id,
        stages: vec![StageCreate { percentage: Some(100), ..StageCreate::default() }],
        target_groups: Vec::new(),
        target_condition: Some(options.target.clone()),
        success_threshold: Some(1.0),
        rollback_threshold: None,
        min_sample: None,
        on_breach: None,
        max_in_flight: None,
        session_timeout_ms: None,
    }
}

/// The same with the canaries first.
fn canaries_first(firmware: &Firmware, options: &Options) -> RolloutCreate {
    let mut plan = plan(firmware, options);
    plan.stages.insert(0, StageCreate { condition: Some(CANARIES.to_owned()), ..StageCreate::default() });
    plan
}

/// How long questions took.
struct Asked {
    list: Duration,
    count: Duration,
    preview: Duration,
}

/// What people ask before they begin.
async fn ask(admin: &Client, options: &Options, firmware: &Firmware) -> Asked {
    let canaries = u64::from(options.devices.div_ceil(CANARY_EACH));
    let begin = Instant::now();
    let filter = DeviceFilter { filter: Some(CANARIES.to_owned()), ..DeviceFilter::default() };
    let listed = admin.devices(&filter, 50).await.expect("the list is answered").items.len();
    let list = begin.elapsed();
    assert_eq!(listed as u64, canaries.min(50), "a page of canaries");

    let begin = Instant::now();
    let filter = DeviceCountFilter { filter: Some(CANARIES.to_owned()), ..DeviceCountFilter::default() };
    let counted = admin.device_count(&filter).await.expect("the count is answered").count;
    let count = begin.elapsed();
    assert_eq!(counted, canaries, "all canaries");

    let begin = Instant::now();
    let preview = admin.preview_rollout(&canaries_first(firmware, options)).await.expect("the preview is answered");
    let stages: Vec<u64> = preview.stages.iter().map(|stage| stage.devices).collect();
    assert_eq!(stages, [canaries, u64::from(options.devices) - canaries], "canaries, then the others");
    Asked { list, count, preview: begin.elapsed() }
}

/// How long the stage of the canaries takes to open, in seconds.
async fn open_few(admin: &Client, options: &Options, firmware: &Firmware) -> f64 {
    let rollout = admin.create_rollout(&canaries_first(firmware, options)).await.expect("the plan is accepted");
    let begin = Instant::now();
    admin.start_rollout(rollout.id).await.expect("it starts");
    let counts = opened(admin, rollout.id).await.stages.remove(0).counts;
    let seconds = begin.elapsed().as_secs_f64();
    assert_eq!(counts.pending, u64::from(options.devices.div_ceil(CANARY_EACH)), "the stage took the canaries");
    admin.cancel_rollout(rollout.id).await.expect("it is cancelled");
    seconds
}

/// Waits until the stage has chosen its devices.
async fn opened(admin: &Client, id: RolloutId) -> Rollout {
    loop {
        let rollout = admin.rollout(id).await.expect("the rollout is there");
        if rollout.stages[0].status == StageState::Running {
            return rollout;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Devices come one after the other, at the wanted pace, and do their update; says how many reports were taken.
async fn report(options: &Options, server: &Server, fleet: &Arc<Fleet>) -> u32 {
    let http = drover_uplink::http_client().expect("a network client");
    let pace = Duration::from_secs(1) / (options.reports_per_s / REPORTS_PER_DEVICE).max(1);
    let (begin, length) = (Instant::now(), Duration::from_secs(options.seconds));
    let next = Arc::new(AtomicU32::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (http, url, fleet, next) = (http.clone(), server.url.clone(), Arc::clone(fleet), Arc::clone(&next));
        workers.spawn(async move {
            let mut reports = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let due = pace * number;
                if number >= fleet.devices || due >= length {
                    return reports;
                }
                tokio::time::sleep_until((begin + due).into()).await;
                let device = drover_uplink::Client::new(http.clone(), &url, &fleet.token(number));
                reports += update(&device.expect("a loopback address")).await;
            }
        });
    }
    workers.join_all().await.into_iter().sum()
}

/// One device's update; says how many reports it sent.
async fn update(device: &drover_uplink::Client) -> u32 {
    let offer = device.check().await.expect("the check is answered").offer.expect("the rollout makes an offer");
    for state in [SessionState::Downloading, SessionState::Installing] {
        let session_id = offer.session_id;
        let report = StatusReport { session_id, state, progress: 0, failure: None, device_time: None };
        device.status(&report).await.expect("the report is taken");
    }
    let report = ValidationReport {
        session_id: offer.session_id,
        outcome: ValidationOutcome::Succeeded,
        component: offer.component,
        version: Some(offer.version),
        manifest_sha256: None,
        failure: None,
        device_time: None,
    };
    device.validation(&report).await.expect("the report is taken");
    REPORTS_PER_DEVICE
}
