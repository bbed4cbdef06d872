//! `drover-bench checks`: prints a table in Markdown.

use std::path::PathBuf;
use std::time::Duration;

use drover_testkit::bench::{ChecksOptions, Database, bench_checks};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The server
    #[arg(long)]
    program: PathBuf,
    /// Registered devices, from 100 to a million
    #[arg(long, default_value_t = 500_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    devices: u32,
    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections that ask one after the other
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Which databases
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Database::ALL)]
    database: Vec<Database>,
}

/// Measures and prints.
pub(crate) async fn run(options: &Options) {
    let Options { program, devices, seconds, connections, database } = options;
    println!("\n{devices} registered devices, {connections} connections, load from a process of its own\n");
    println!(
        "| database | scenario | time | checks/s | per server CPU-second | p50 | p99 | server CPU | RSS | offers | failed |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for database in database {
        let options = ChecksOptions {
            drover: program.clone(),
            database: *database,
            devices: *devices,
            time: Duration::from_secs(*seconds),
            connections: *connections,
        };
        bench_checks(&options, |row| {
            println!(
                "| {database} | {} | {:.1} s | {:.0} | {:.0} | {:.2} ms | {:.2} ms | {:.2} s | {} MiB | {} | {} |",
                row.scenario,
                row.wall.as_secs_f64(),
                row.checks_per_s(),
                row.checks_per_cpu_s(),
                row.p50_ms,
                row.p99_ms,
                row.usage.cpu_s,
                row.usage.resident_kib / 1024,
                row.offers,
                row.failures,
            );
        })
        .await;
    }
}
