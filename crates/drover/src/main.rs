//! The binary: argument parsing and wiring.

mod backup;
mod demo;
mod error;
mod logging;
mod migrate;
mod node;
mod openapi;
mod reset_password;
mod restore;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// Give a user a new password, on the machine of the database; ends the user's sessions
    ResetPassword(reset_password::ResetPasswordArgs),
    /// Print the description of the REST API (`OpenAPI` 3.1, JSON)
    Openapi,
    #[command(flatten)]
    Operator(drover_cli::Command),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    match command {
        Command::Serve(args) => error::exit(serve::run(args).await),
        Command::Demo(args) => error::exit(demo::run(args, global.json).await),
        Command::Migrate(args) => error::exit(migrate::run(&args).await),
        Command::Backup(args) => error::exit(backup::run(args, global.json).await),
        Command::Restore(args) => error::exit(restore::run(args, global.json).await),
        Command::ResetPassword(args) => error::exit(reset_password::run(args).await),
        Command::Openapi => error::exit(openapi::print()),
        Command::Operator(command) => drover_cli::run_to_exit(command, &global).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        super::Arguments::command().debug_assert();
    }
}
