//! `drover restore`.

use std::io::Write as _;
use std::path::PathBuf;

use drover_app::SystemRandom;
use drover_app::backup::{Backup, RestoreOptions, Restored, Settled, restore};
use drover_types::{Clock as _, SystemClock, Timestamp};

use crate::backup::{lost_lines, show_progress};
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
    /// Go on when objects that the backup only names are gone from the object store; they are listed, exit code 1
    #[arg(long)]
    without_lost_objects: bool,
    /// Revoke all API keys: those that were revoked after the backup work again otherwise
    #[arg(long)]
    revoke_api_keys: bool,
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
    let backends = config::place(args.serve)?;
    let options =
        RestoreOptions { without_lost_objects: args.without_lost_objects, revoke_api_keys: args.revoke_api_keys };
    let progress = &mut show_progress(json);
    let restored = restore(&backup, &backends, options, SystemClock.now(), &SystemRandom, progress).await?;
    let Restored { settled, faults } = &restored;
    let value = serde_json::json!({
        "data": backends.data_dir, "rows": manifest.rows(), "paused_rollouts": settled.paused_rollouts,
        "ended_logins": settled.ended_logins, "aborted_uploads": settled.aborted_uploads,
        "api_keys": settled.api_keys, "revoked_api_keys": settled.revoked_api_keys, "faults": faults,
    });
    let data = backends.data_dir.display();
    let text = format!("restored {contents} into {data}\n{}{}", told(&restored, manifest.created_at), next(&data));
    print(json, &value, &text)?;
    match faults.len() {
        0 => Ok(()),
        lost => Err(RunError::ObjectFaults { lost }),
    }
}

/// What became of it, and what nobody but a person can put right.
fn told(restored: &Restored, of: Timestamp) -> String {
    let Settled { paused_rollouts, ended_logins, aborted_uploads, api_keys, revoked_api_keys } = restored.settled;
    let keys = match (api_keys, revoked_api_keys) {
        (0, revoked) => format!("  revoked  {revoked} API keys: make new ones\n"),
        (kept, _) => format!("  kept     {kept} API keys; see `drover api-key list`, and --revoke-api-keys\n"),
    };
    let lost = lost_lines(&restored.faults);
    format!(
        "  paused   {paused_rollouts} rollouts that were going on: look, then `drover rollout resume`, `rollback` or \
         `cancel`\n  ended    {ended_logins} sessions: people log in again\n  given up {aborted_uploads} uploads\n{keys}\
         {lost}Everything is as it was at {of}:\n- What was revoked, disabled or changed since works as before: API keys, \
         device and enrolment tokens, users,\n  passwords, release keys. Do it again.\n- Devices that were enrolled since \
         are unknown: enrol them again, `drover-agent enrol` on each.\n"
    )
}

fn next(data: &impl std::fmt::Display) -> String {
    format!(
        "Never run the old server beside this one: both would drive the same devices.\nNext: drover serve --data {data}, \
         with the settings of the old server"
    )
}

fn print(json: bool, value: &serde_json::Value, text: &str) -> Result<(), RunError> {
    let text = if json { format!("{value:#}\n") } else { format!("{text}\n") };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the result"))
}
