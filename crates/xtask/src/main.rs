//! Repository chores: the direction of dependencies, the REST API's document, the figures of the benchmark page.
//!
//! `cargo xtask --help` lists them. Nothing here is part of a released program.

mod arrows;
mod bench;
mod footprint;
mod openapi;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Every chore ends with this: what failed, in words for the person at the terminal.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Repository chores of Drover")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check which crate uses which, and the rules for sources that the compiler cannot hold
    CheckArrows,
    /// Write openapi/v1.json from the code
    Openapi {
        /// Write nothing; fail when the file is not what the code says
        #[arg(long)]
        check: bool,
    },
    /// Measure, and print a table for docs/benchmarks.md
    Bench {
        #[command(subcommand)]
        what: Bench,
    },
}

#[derive(Subcommand)]
enum Bench {
    /// Size of the binaries, memory of the idle server and the idle agent
    Footprint,
    /// Update checks of 500 000 devices on SQLite and PostgreSQL; `-- --help` lists the options
    Checks {
        /// Handed to the benchmark: `--devices`, `--seconds`, `--connections`, `--database`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Connections held for nothing and guessed passwords, while somebody works; `-- --help` lists the options
    Hostile {
        /// Handed to the benchmark: `--clients`, `--connections`, `--guessers`, `--seconds`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// A stage of a whole fleet opens, then devices report; `-- --help` lists the options
    Rollout {
        /// Handed to the benchmark: `--devices`, `--database`, `--reports-per-s`, `--seconds`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::CheckArrows => arrows::check(),
        Chore::Openapi { check } => openapi::run(check),
        Chore::Bench { what: Bench::Footprint } => footprint::run(),
        Chore::Bench { what: Bench::Hostile { options } } => bench::run("hostile", &options),
        Chore::Bench { what: Bench::Rollout { options } } => bench::run("rollout", &options),
        Chore::Bench { what: Bench::Checks { options } } => bench::run("checks", &options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
