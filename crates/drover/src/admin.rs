//! `drover admin`: work on an installation as a whole.

use std::io::Write as _;
use std::path::PathBuf;

use drover_app::compose::{Backends, Parts};
use drover_app::moving::{self, Moved};
use drover_types::{Clock as _, SystemClock};

use crate::backup::show_progress;
use crate::error::RunError;

/// `drover admin`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum AdminCommand {
    /// Move an installation to other back-ends: from SQLite to PostgreSQL and S3, or back
    #[command(after_help = "Example:\n  drover admin copy --from sqlite:/var/lib/drover/drover.db --from-blobs \
        file:/var/lib/drover/blobs \\\n    --to postgres://drover@db/drover --to-blobs s3://fleet\n\nThe source must \
        stand still; --objects-only can run before, while it works.")]
    Copy(CopyArgs),
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

/// Runs it.
pub(crate) async fn run(command: AdminCommand, json: bool) -> Result<(), RunError> {
    let AdminCommand::Copy(args) = command;
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
        moving::copy_installation(&source, &target, SystemClock.now(), &mut progress).await
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

/// The data folder has no part in this: keys and certificates stay in it.
fn backends(database: String, blobs: String) -> Backends {
    Backends { database, blobs, data_dir: PathBuf::new(), public_url: String::new(), pool_max: 10, migrate: false }
}

fn print(moved: &Moved, objects_only: bool, json: bool) -> Result<(), RunError> {
    let Moved { rows, objects, faults } = moved;
    let text = if json {
        format!("{:#}\n", serde_json::json!({ "rows": rows, "objects": objects, "faults": faults }))
    } else {
        let lost = faults
            .iter()
            .map(|fault| format!("lost: object {} of tenant {}: {}\n", fault.sha256, fault.tenant_id, fault.what));
        let next = if objects_only {
            "Next: stop the servers, then run this again without --objects-only"
        } else {
            "Next: drover serve with --database and --blobs of the target, and the same --data and --public-url.\nNever \
             start a server on the source again: both would drive the same devices."
        };
        format!(
            "copied {rows} rows and {objects} objects; both sides were compared\n{}{next}\n",
            lost.collect::<String>()
        )
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}
