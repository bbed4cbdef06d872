//! `bench rollout`: a stage of the whole fleet opens; then devices report while the rollout goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use drover_api::{Firmware, Rollout, RolloutCreate, StageCreate};
use drover_cli::Client;
use drover_protocol::{StatusReport, ValidationOutcome, ValidationReport};
use drover_testkit::bench::{Database, Fleet, Place, Server, UNLIMITED};
use drover_types::{RolloutId, SessionState, StageState};
use tokio::task::JoinSet;

/// Reports that a device sends for its update: downloading, installing, succeeded.
const REPORTS_PER_DEVICE: u32 = 3;

/// Devices that are at work at the same time.
const WORKERS: usize = 32;

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
    /// Which databases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Database::ALL)]
    database: Vec<Database>,
}

/// Measures each database and prints a table in Markdown.
pub(crate) async fn run(options: &Options) {
    println!(
        "| database | devices | opened in | server CPU | peak RSS | reports/s | CPU per 1 000 reports | ticks | mean tick |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for database in &options.database {
        measure(options, *database).await;
    }
}

async fn measure(options: &Options, database: Database) {
    let place = Place::new(database).await;
    let server = Server::start(&options.program, &place, &UNLIMITED).await;
    let db = place.open().await;
    let fleet = Arc::new(Fleet::register(&db, options.devices).await);
    db.close().await;
    let admin = server.admin().await;
    let firmware = place.publish(&admin).await;
    let rollout = admin.create_rollout(&plan(&firmware)).await.expect("the plan is accepted");

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
        "| {database} | {} | {:.1} s | {:.1} s | {} MiB | {:.0} | {:.2} s | {:.0} | {:.1} ms |",
        options.devices,
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

fn plan(firmware: &Firmware) -> RolloutCreate {
    RolloutCreate {
        name: "bench".to_owned(),
        firmware_id: firmware.id,
        stages: vec![StageCreate { percentage: Some(100), ..StageCreate::default() }],
        target_groups: Vec::new(),
        target_condition: None,
        success_threshold: Some(1.0),
        rollback_threshold: None,
        min_sample: None,
        on_breach: None,
        max_in_flight: None,
        session_timeout_ms: None,
    }
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
