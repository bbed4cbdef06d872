//! `drover admin`: work on an installation as a whole.

use std::io::Write as _;
use std::path::PathBuf;

use drover_app::SystemRandom;
use drover_app::backup::Settled;
use drover_app::compose::{Backends, Parts};
use drover_app::moving::{self, Moved};
use drover_types::{Clock as _, SystemClock};

use crate::backup::{lost_lines, show_progress};
use crate::error::RunError;
use crate::serve::config::settings::without_secrets;
use crate::serve::{ServeArgs, config};

/// `drover admin`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Move an installation to other back-ends: from SQLite to PostgreSQL and S3, or back
    #[command(after_help = "Example:\n  drover admin copy --from sqlite:/var/lib/drover/drover.db --from-blobs \
        file:/var/lib/drover/blobs \\\n    --to postgres://drover@db/drover --to-blobs s3://fleet\n\nThe source must \
        stand still; --objects-only can run before, while it works.\nAfterwards no server starts on the source any more.")]
    Copy(CopyArgs),
    /// Let servers start again on a database that was moved away
    #[command(
        after_help = "Takes the options of `drover serve`. End the servers on the other database for good before: \
                            what happened there is not known here, so\nrollouts that were going on are paused, and people \
                            log in again."
    )]
    UndoCopy(Box<UndoCopyArgs>),
}

/// Options of `drover admin copy`.
#[derive(Debug, clap::Args)]
pub(crate) struct CopyArgs {
    /// Database to read: `sqlite:PATH` or `postgres://…`
    #[arg(long, env = "DROVER_COPY_FROM", hide_env_values = true, value_name = "URL")]
    from: String,
    /// Objects to read: `file:PATH` or `s3://BUCKET?endpoint=URL`
    #[arg(long, value_name = "URL")]
    from_blobs: String,
    /// Empty database to fill
    #[arg(long, env = "DROVER_COPY_TO", hide_env_values = true, value_name = "URL")]
    to: String,
    /// Where the objects go; what is there already stays
    #[arg(long, value_name = "URL")]
    to_blobs: String,
    /// Copy objects only, while the source works: the stop for the rest is shorter then
    #[arg(long)]
    objects_only: bool,
}

/// Options of `drover admin undo-copy`: those of `drover serve` say which database.
#[derive(Debug, clap::Args)]
pub(crate) struct UndoCopyArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs it.
pub(crate) async fn run(command: AdminCommand, json: bool) -> Result<(), RunError> {
    match command {
        AdminCommand::Copy(args) => copy(args, json).await,
        AdminCommand::UndoCopy(args) => undo_copy(*args, json).await,
    }
}

async fn copy(args: CopyArgs, json: bool) -> Result<(), RunError> {
    let (from, to) = (backends(args.from, args.from_blobs), backends(args.to, args.to_blobs));
    if from.database == to.database {
        return Err(RunError::Setting("--from and --to name the same database".to_owned()));
    }
    let source = Parts::open_to_stop(&from).await?;
    let target = Parts::connect(&to).await?;
    let mut progress = show_progress(json);
    let moved = if args.objects_only {
        moving::copy_objects(&source, &target, &mut progress).await
    } else {
        let place = format!("{} with {}", without_secrets(&to.database), without_secrets(&to.blobs));
        moving::copy_installation(&source, &target, &place, SystemClock.now(), &SystemRandom, &mut progress).await
    };
    source.close().await;
    target.close().await;
    let moved = moved?;
    print(&moved, args.objects_only, json)?;
    match moved.faults.len() {
        0 => Ok(()),
        lost => Err(RunError::ObjectFaults { lost }),
    }
}

async fn undo_copy(args: UndoCopyArgs, json: bool) -> Result<(), RunError> {
    let backends = config::place(args.serve)?;
    let Settled { paused_rollouts, ended_logins, .. } =
        moving::undo(&backends, SystemClock.now(), &SystemRandom).await?;
    let text = if json {
        let value = serde_json::json!({ "paused_rollouts": paused_rollouts, "ended_logins": ended_logins });
        format!("{value:#}\n")
    } else {
        format!(
            "servers may start on {} again\n  paused   {paused_rollouts} rollouts that were going on: look, then `drover \
             rollout resume`, `rollback` or `cancel`\n  ended    {ended_logins} sessions: people log in again\nNever start \
             a server where it was moved to: both would drive the same devices.\n",
            without_secrets(&backends.database)
        )
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}

/// The data folder has no part in this: keys and certificates stay in it.
fn backends(database: String, blobs: String) -> Backends {
    Backends { database, blobs, data_dir: PathBuf::new(), public_url: String::new(), pool_max: 10, migrate: false }
}

fn print(moved: &Moved, objects_only: bool, json: bool) -> Result<(), RunError> {
    let Moved { rows, objects, faults } = moved;
    let text = if json {
        format!("{:#}\n", serde_json::json!({ "rows": rows, "objects": objects, "faults": faults }))
    } else {
        let lost = lost_lines(faults);
        if objects_only {
            format!(
                "copied {objects} objects\n{lost}Next: stop the servers, then run this again without --objects-only\n"
            )
        } else {
            format!(
                "copied {rows} rows, which were compared on both sides, and {objects} objects, which were checked when \
                 they were stored\n{lost}No server starts on the source any more.\nNext: drover serve with --database and \
                 --blobs of the target, and the same --data and --public-url: the keys and certificates of --data go on.\n"
            )
        }
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}
