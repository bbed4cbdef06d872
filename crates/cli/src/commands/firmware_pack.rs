//! `drover firmware pack` and `sign`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use drover_trust::Manifest;
use drover_types::{ComponentName, Version};
use serde_json::Value;

use super::key;
use crate::CliError;
use crate::output::short_bytes;
use crate::parse::{DependencyArg, MetadataArg};
use crate::release::{PackOptions, counter_of_version, pack, sign};
use crate::run::Context;

/// What to pack, and what the manifest says.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("content").required(true).multiple(true).args(["inputs", "raw"])))]
pub struct PackArgs {
    /// Folders, whose content is packed, and files: together the root of one archive
    #[arg(value_name = "DIR_OR_FILE")]
    inputs: Vec<PathBuf>,
    /// A file that becomes an artifact of its own, as it is; may be given more than once
    #[arg(long, value_name = "FILE")]
    raw: Vec<PathBuf>,
    /// Name of the firmware; also the start of file names
    #[arg(long)]
    name: String,
    /// Semantic version, such as 1.4.0
    #[arg(long)]
    version: Version,
    /// The device type it is for
    #[arg(long, value_name = "TYPE")]
    device_type: String,
    /// The component it is for
    #[arg(long, default_value = "main")]
    component: ComponentName,
    /// Rises with every release of this component; MAJOR * 10^10 + MINOR * 10^5 + PATCH when not given
    #[arg(long, value_name = "N")]
    release_counter: Option<u64>,
    /// The lowest release counter that devices may be sent back to from here
    #[arg(long, value_name = "N", default_value_t = 0)]
    rollback_floor: u64,
    /// Devices below this version of the component are left out
    #[arg(long, value_name = "VERSION")]
    min_version: Option<Version>,
    /// What another component must run, such as bootloader>=1.2.0,<2.0.0; may be given more than once
    #[arg(long, value_name = "DEPENDENCY")]
    depends: Vec<DependencyArg>,
    /// File with the release notes
    #[arg(long, value_name = "FILE")]
    notes_file: Option<PathBuf>,
    /// Anything else to sign; may be given more than once
    #[arg(long, value_name = "KEY=TEXT")]
    meta: Vec<MetadataArg>,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) fn run_pack(args: PackArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let options = options(args)?;
    let manifest = pack(&options)?;
    let out = &options.out;
    context.out.value(&manifest, || lines(&manifest, out))
}

fn options(args: PackArgs) -> Result<PackOptions, CliError> {
    let release_counter = match args.release_counter {
        Some(counter) => counter,
        None => counter_of_version(&args.version)?,
    };
    let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| CliError::File { path, source });
    let release_notes = args.notes_file.map(read).transpose()?;
    let metadata: BTreeMap<String, Value> =
        args.meta.into_iter().map(|meta| (meta.key, Value::String(meta.text))).collect();
    Ok(PackOptions {
        inputs: args.inputs,
        raw: args.raw,
        name: args.name,
        version: args.version,
        device_type: args.device_type,
        component: args.component,
        release_counter,
        rollback_floor: args.rollback_floor,
        min_version: args.min_version,
        dependencies: args.depends.into_iter().map(|DependencyArg(dependency)| dependency).collect(),
        release_notes,
        metadata,
        out: args.out,
    })
}

fn lines(manifest: &Manifest, out: &Path) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("firmware", format!("{}/{}@{}", manifest.device_type, manifest.component, manifest.version)),
        ("release counter", manifest.release_counter.to_string()),
    ];
    for artifact in &manifest.artifacts {
        lines.push(("artifact", format!("{}  {}", artifact.name, short_bytes(artifact.size_bytes))));
    }
    lines.push(("next", format!("drover firmware sign {} --key KEY", out.display())));
    lines
}

pub(super) fn run_sign(folder: &Path, key_file: &Path, context: &mut Context<'_>) -> Result<(), CliError> {
    let signed = sign(folder, &key::read_private(key_file)?)?;
    context.out.value(&signed, || {
        let mut lines: Vec<_> = signed.bundles.iter().map(|path| ("signature", path.display().to_string())).collect();
        lines.push(("key", signed.key_fingerprint.to_string()));
        lines.push(("next", format!("drover firmware publish {}", folder.display())));
        lines
    })
}
