//! `drover firmware`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Args, Subcommand};
use drover_api::{ArtifactView, Firmware, FirmwareFilter};
use drover_types::{ComponentName, Version};
use indicatif::ProgressBar;

use super::firmware_pack::{self, PackArgs};
use super::progress;
use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, short_bytes, time};
use crate::release::{PublishEvent, publish};
use crate::resolve;
use crate::run::Context;

const PACK_EXAMPLE: &str = "Example:
  drover firmware pack ./build --name app --version 1.2.3 --device-type robot --release-counter 7 --out ./release
  drover firmware sign ./release --key release.key
  drover firmware publish ./release";

/// `drover firmware`.
#[derive(Debug, Subcommand)]
pub enum FirmwareCommand {
    /// Write archive, digest and manifest into a folder
    #[command(after_help = PACK_EXAMPLE, disable_version_flag = true)]
    Pack(Box<PackArgs>),
    /// Sign a packed folder: manifest.json.bundle and one bundle per artifact
    Sign {
        /// The packed folder
        folder: PathBuf,
        /// The file of the private key, PEM
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Check a signed folder, send it, publish it; continues where an earlier try broke off
    Publish {
        /// The signed folder
        folder: PathBuf,
    },
    /// List firmware
    #[command(disable_version_flag = true)]
    List(FirmwareListArgs),
    /// Show one firmware
    Show {
        /// Id, TYPE@VERSION or TYPE/COMPONENT@VERSION
        firmware: String,
    },
    /// Fetch an artifact and check its digest
    Download(DownloadArgs),
    /// Delete a firmware that no rollout uses
    Delete {
        /// Id, TYPE@VERSION or TYPE/COMPONENT@VERSION
        firmware: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// Which firmware.
#[derive(Debug, Args)]
pub struct FirmwareListArgs {
    /// Only for this device type
    #[arg(long = "type", value_name = "TYPE")]
    device_type: Option<String>,
    /// Only for this component
    #[arg(long)]
    component: Option<ComponentName>,
    /// Only this version
    #[arg(long)]
    version: Option<Version>,
    #[command(flatten)]
    list: ListArgs,
}

/// What to fetch, and where to.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// Id, TYPE@VERSION or TYPE/COMPONENT@VERSION
    firmware: String,
    /// Name of the artifact; may be left out when there is only one
    #[arg(long, value_name = "NAME")]
    artifact: Option<String>,
    /// File to write to; the artifact's name when not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Overwrite the file
    #[arg(long)]
    force: bool,
}

pub(crate) async fn run(command: FirmwareCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        FirmwareCommand::Pack(args) => firmware_pack::run_pack(*args, context),
        FirmwareCommand::Sign { folder, key } => firmware_pack::run_sign(&folder, &key, context),
        FirmwareCommand::Publish { folder } => run_publish(&folder, context).await,
        FirmwareCommand::List(args) => list(args, context).await,
        FirmwareCommand::Show { firmware } => {
            let firmware = resolve::firmware(&context.client, &firmware).await?;
            context.out.value(&firmware, || lines(&firmware))
        }
        FirmwareCommand::Download(args) => download(args, context).await,
        FirmwareCommand::Delete { firmware, yes } => {
            let found = resolve::firmware(&context.client, &firmware).await?;
            context.confirm(&format!("delete firmware {firmware}"), yes.yes).await?;
            context.client.delete_firmware(found.id).await?;
            context.out.say(&format!("deleted firmware {firmware}"))
        }
    }
}

async fn run_publish(folder: &Path, context: &mut Context<'_>) -> Result<(), CliError> {
    let mut notes = Vec::new();
    let bars: Mutex<Vec<ProgressBar>> = Mutex::default();
    let mut on_event = |event: PublishEvent<'_>| {
        if let PublishEvent::AlreadyUploaded(artifact) = event {
            notes.push(format!("{} was there already", artifact.name));
        }
    };
    let (terminal, json) = (context.out.terminal, context.out.json);
    let upload_progress = |artifact: &drover_trust::ManifestArtifact| {
        let bar = progress::bar_for(terminal, json, &artifact.name, artifact.size_bytes);
        let moved = progress::into(&bar);
        // A poisoned list of bars only means that one of them stays on the screen.
        if let Ok(mut bars) = bars.lock() {
            bars.iter().for_each(ProgressBar::finish_and_clear);
            bars.push(bar);
        }
        moved
    };
    let published = publish(&context.client, folder, &mut on_event, &upload_progress).await;
    bars.lock().iter().flat_map(|bars| bars.iter()).for_each(ProgressBar::finish_and_clear);
    let firmware = published?;
    for note in notes {
        context.out.say(&note)?;
    }
    context.out.value(&firmware, || lines(&firmware))
}

async fn list(args: FirmwareListArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let FirmwareListArgs { device_type, component, version, list } = args;
    let filter = FirmwareFilter { device_type, component, version, ..FirmwareFilter::default() };
    let page = context.client.firmware_list(&filter, list.at_most()).await?;
    let header = ["TYPE", "COMPONENT", "VERSION", "NAME", "STATE", "COUNTER", "SIZE", "PUBLISHED", "ID"];
    context.out.list(&page, &header, |firmware| {
        vec![
            firmware.device_type.clone(),
            firmware.component.to_string(),
            firmware.version.to_string(),
            firmware.name.clone(),
            firmware.state.to_string(),
            firmware.release_counter.to_string(),
            short_bytes(firmware.file_size),
            time(firmware.published_at),
            firmware.id.to_string(),
        ]
    })
}

async fn download(args: DownloadArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let firmware = resolve::firmware(&context.client, &args.firmware).await?;
    let artifact = pick(&firmware, args.artifact.as_deref())?;
    let file = match args.out {
        Some(file) => file,
        // The name comes from the server: only its last part may name a file here.
        None => PathBuf::from(Path::new(&artifact.name).file_name().unwrap_or_default()),
    };
    if !args.force && file.symlink_metadata().is_ok() {
        return Err(CliError::Exists { path: file });
    }
    let bar = progress::bar(&context.out, &artifact.name, artifact.size_bytes);
    context.client.download_artifact(firmware.id, artifact, &file, progress::into(&bar)).await?;
    bar.finish_and_clear();
    context.out.value(artifact, || {
        vec![("file", file.display().to_string()), ("sha256", format!("{} (checked)", artifact.checksum))]
    })
}

fn pick<'f>(firmware: &'f Firmware, name: Option<&str>) -> Result<&'f ArtifactView, CliError> {
    let names = || firmware.artifacts.iter().map(|artifact| artifact.name.as_str()).collect::<Vec<_>>().join(", ");
    match (name, &firmware.artifacts[..]) {
        (None, [only]) => Ok(only),
        (None, _) => Err(CliError::Usage { what: format!("name one of the artifacts with --artifact: {}", names()) }),
        (Some(name), all) => all
            .iter()
            .find(|artifact| artifact.name == name)
            .ok_or_else(|| CliError::Usage { what: format!("there is no artifact {name:?}, only {}", names()) }),
    }
}

fn lines(firmware: &Firmware) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("firmware", format!("{}/{}@{}", firmware.device_type, firmware.component, firmware.version)),
        ("id", firmware.id.to_string()),
        ("name", firmware.name.clone()),
        ("state", firmware.state.to_string()),
        ("release counter", format!("{}, back to {} at most", firmware.release_counter, firmware.rollback_floor)),
        ("min version", optional(firmware.metadata.min_version.as_ref())),
        ("signed by", firmware.signed_by.to_string()),
        ("published", time(firmware.published_at)),
    ];
    for dependency in &firmware.metadata.dependencies {
        let below = dependency.below_version.as_ref().map(|below| format!(",<{below}")).unwrap_or_default();
        lines.push(("depends", format!("{}>={}{below}", dependency.component, dependency.min_version)));
    }
    for artifact in &firmware.artifacts {
        let size = short_bytes(artifact.size_bytes);
        let missing = if artifact.uploaded_at.is_none() { "  (not uploaded yet)" } else { "" };
        lines.push(("artifact", format!("{}  {size}  {}{missing}", artifact.name, artifact.checksum)));
    }
    lines.extend(firmware.metadata.release_notes.iter().map(|notes| ("notes", notes.clone())));
    lines
}
