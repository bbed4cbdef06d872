//! Benchmarks against the real `drover serve`, with fleets that no test would wait for. `cargo xtask bench` builds what
//! they need, starts the servers of the cluster profile, and runs them.

mod checks;
mod hostile;
mod rollout;

use clap::Parser;

#[derive(Parser)]
#[command(name = "drover-bench", about = "Benchmarks of Drover: use cargo xtask bench")]
enum Bench {
    /// Update checks: with nothing to do, with some offers, while a stage opens
    Checks(checks::Options),
    /// Hold connections for nothing and guess passwords, while somebody works
    Hostile(hostile::Options),
    /// Open a stage of a whole fleet, then take its reports
    Rollout(rollout::Options),
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    match Bench::parse() {
        Bench::Checks(options) => runtime.block_on(checks::run(&options)),
        Bench::Hostile(options) => runtime.block_on(hostile::run(&options)),
        Bench::Rollout(options) => runtime.block_on(rollout::run(&options)),
    }
}
