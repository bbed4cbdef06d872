//! The binary: argument parsing and wiring.

mod admin;
mod backup;
mod config;
mod demo;
mod doctor;
mod error;
mod logging;
mod migrate;
mod node;
mod openapi;
mod reset_password;
mod restore;
mod serve;
mod shell;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// The C library's allocator has an arena per thread and gives nothing back from the middle of one: after a flood of
/// log-ins, of 19 MiB each, a server stayed at a gigabyte.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drover runs fleets of vehicles, robots and other connected devices.
#[derive(Debug, Parser)]
#[command(name = "drover", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: drover_cli::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = "Without options: everything on this machine, http://127.0.0.1:8080, data in the user's \
                            data folder. The first start prints a password and an enrolment token, once.")]
    Serve(serve::ServeArgs),
    /// Show the whole main job on this machine: 20 devices, a good release and a bad one
    Demo(demo::DemoArgs),
    /// Bring a database up to date, then exit
    Migrate(migrate::MigrateArgs),
    /// Save a whole installation in one file, while its server works
    #[command(after_help = "Example:\n  drover backup --data /var/lib/drover --to /srv/backups/fleet-2026-01-31.tar")]
    Backup(backup::BackupArgs),
    /// Make an installation of a backup, in an empty place
    #[command(after_help = "Example:\n  drover restore --from fleet-2026-01-31.tar --data /var/lib/drover-new\n\n\
                            With --database and --blobs it goes into PostgreSQL and S3, whatever it was made from.")]
    Restore(restore::RestoreArgs),
    /// Work on an installation as a whole
    #[command(subcommand)]
    Admin(admin::AdminCommand),
    /// Settings: show them, check them
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Find out what is wrong with a set-up, and how to mend it
    #[command(after_help = "Takes the options of `drover serve`. Exit code 1 when something does not work; warnings \
                            alone are 0.\nWith --server it also asks the server there.")]
    Doctor(doctor::DoctorArgs),
    /// Give a user a new password, on the machine of the database; ends the user's sessions
    ResetPassword(reset_password::ResetPasswordArgs),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  drover completions bash >~/.local/share/bash-completion/completions/drover")]
    Completions(shell::CompletionsArgs),
    /// Write manual pages
    #[command(after_help = "Example:\n  drover man --to ~/.local/share/man/man1")]
    Man(shell::ManArgs),
    /// Print the description of the REST API (`OpenAPI` 3.1, JSON)
    Openapi,
    #[command(flatten)]
    Operator(drover_cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let Arguments { global, command } = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match command {
        Command::Serve(args) => error::exit(serve::run(args).await),
        Command::Demo(args) => error::exit(demo::run(args, global.json).await),
        Command::Migrate(args) => error::exit(migrate::run(args).await),
        Command::Backup(args) => error::exit(backup::run(args, global.json).await),
        Command::Restore(args) => error::exit(restore::run(args, global.json).await),
        Command::Admin(command) => error::exit(admin::run(command, global.json).await),
        Command::Config(command) => error::exit(config::run(command, &matches, global.json).await),
        Command::Doctor(args) => error::exit(doctor::run(args, &global).await),
        Command::Completions(args) => error::exit(shell::print_completions(&args, Arguments::command())),
        Command::Man(args) => error::exit(shell::write_man_pages(&args, Arguments::command())),
        Command::ResetPassword(args) => error::exit(reset_password::run(args).await),
        Command::Openapi => error::exit(openapi::print()),
        Command::Operator(command) => drover_cli::run_to_exit(command, &global).await,
    }
}
