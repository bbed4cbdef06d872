//! `drover restore`.

use std::io::Write as _;
use std::path::PathBuf;

use drover_app::backup::{Backup, Restored, restore};
use drover_types::{Clock as _, SystemClock};

use crate::backup::show_progress;
use crate::error::RunError;
use crate::serve::{ServeArgs, config};

/// Options of `drover restore`: those of `drover serve` say where to.
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Only check that the backup is whole
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Checks the backup, then makes an installation of it in an empty place.
pub(crate) async fn run(args: RestoreArgs, json: bool) -> Result<(), RunError> {
    let backup = Backup::open(&args.from).await?;
    let manifest = backup.manifest();
    let contents =
        format!("{} rows and {} objects of {}", manifest.rows(), manifest.objects.len(), manifest.created_at);
    if args.check {
        let value = serde_json::json!({ "whole": true, "created_at": manifest.created_at, "rows": manifest.rows() });
        return print(json, &value, &format!("{} is whole: {contents}", args.from.display()));
    }
    let backends = config::load(args.serve)?.backends("http://127.0.0.1");
    let restored = restore(&backup, &backends, SystemClock.now(), &mut show_progress(json)).await?;
    let Restored { paused_rollouts, ended_logins } = restored;
    let value = serde_json::json!({
        "data": backends.data_dir, "rows": manifest.rows(), "paused_rollouts": paused_rollouts,
        "ended_logins": ended_logins,
    });
    let text = format!(
        "restored {contents} into {data}\n  paused   {paused_rollouts} rollouts that were going on: look, then `drover \
         rollout resume` or `cancel`\n  ended    {ended_logins} sessions: people log in again; devices and API keys go \
         on\nNever run the old server beside this one: both would drive the same devices.\nNext: drover serve --data \
         {data}, with the settings of the old server",
        data = backends.data_dir.display()
    );
    print(json, &value, &text)
}

fn print(json: bool, value: &serde_json::Value, text: &str) -> Result<(), RunError> {
    let text = if json { format!("{value:#}\n") } else { format!("{text}\n") };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}
