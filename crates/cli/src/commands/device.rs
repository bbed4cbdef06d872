//! `drover device`.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args, Subcommand};
use drover_api::{Device, DeviceCountFilter, DeviceFilter, DeviceUpdate, Page};
use drover_types::DeviceStatus;
use serde_json::Value;

use super::device_attributes::{self, AttributesArgs, TagArgs};
use super::update_sessions;
use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, time};
use crate::parse::MetadataArg;
use crate::resolve;
use crate::run::Context;

/// At least one of these is needed.
const CHANGES: [&str; 4] = ["meta", "unset_meta", "group", "no_groups"];

const LIST_EXAMPLES: &str = r#"Examples:
  drover device list --type robot --status failed
  drover device list --where 'device.attr.region == "eu" && device.version < semver("2.1.0")'
  drover device list --where 'device.last_seen < now - duration("72h")' --count"#;

/// `drover device`.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List devices
    #[command(after_help = LIST_EXAMPLES)]
    List(DeviceListArgs),
    /// Show one device
    Show {
        /// Id or hardware id
        device: String,
    },
    /// Change a device's metadata or groups
    #[command(
        visible_alias = "update",
        after_help = "Example:\n  drover device set robot-7 --meta site=berlin --group canary"
    )]
    Set(DeviceSetArgs),
    /// Show or change a device's attributes
    #[command(after_help = "Example:\n  drover device attributes robot-7 --set region=eu --set axles=3 --unset depot")]
    Attributes(AttributesArgs),
    /// Put tags on a device
    #[command(after_help = "Example:\n  drover device tag robot-7 canary")]
    Tag(TagArgs),
    /// Take tags off a device
    Untag(TagArgs),
    /// Forget a device; it has to register again
    Delete {
        /// Id or hardware id
        device: String,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// List a device's update sessions
    Updates {
        /// Id or hardware id
        device: String,
        #[command(flatten)]
        list: ListArgs,
    },
}

/// Which devices.
#[derive(Debug, Args)]
pub struct DeviceListArgs {
    /// Only of this type
    #[arg(long = "type", value_name = "TYPE")]
    device_type: Option<String>,
    /// Only with this status: idle, updating, failed, success
    #[arg(long)]
    status: Option<DeviceStatus>,
    /// Only members of this group: id or name
    #[arg(long)]
    group: Option<String>,
    /// Only those for which this condition holds, in CEL
    #[arg(long = "where", value_name = "CONDITION", conflicts_with = "rsql")]
    filter: Option<String>,
    /// The same in the spelling of RSQL: 'attribute.region==eu;tag==canary'
    #[arg(long, value_name = "CONDITION")]
    rsql: Option<String>,
    /// Only say how many there are
    #[arg(long)]
    count: bool,
    #[command(flatten)]
    list: ListArgs,
}

/// What to change.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args(CHANGES)))]
pub struct DeviceSetArgs {
    /// Id or hardware id
    device: String,
    /// Set a key of the metadata; may be given more than once
    #[arg(long, value_name = "KEY=TEXT")]
    meta: Vec<MetadataArg>,
    /// Remove a key of the metadata
    #[arg(long, value_name = "KEY")]
    unset_meta: Vec<String>,
    /// Put the device into exactly these groups: ids or names
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Take the device out of all groups
    #[arg(long, conflicts_with = "group")]
    no_groups: bool,
}

pub(crate) async fn run(command: DeviceCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        DeviceCommand::List(args) => list(args, context).await,
        DeviceCommand::Show { device } => {
            let id = resolve::device(&context.client, &device).await?;
            let device = context.client.device(id).await?;
            context.out.value(&device, || lines(&device))
        }
        DeviceCommand::Set(args) => set(args, context).await,
        DeviceCommand::Attributes(args) => device_attributes::attributes(args, context).await,
        DeviceCommand::Tag(args) => device_attributes::tag(args, context).await,
        DeviceCommand::Untag(args) => device_attributes::untag(args, context).await,
        DeviceCommand::Delete { device, yes } => {
            let id = resolve::device(&context.client, &device).await?;
            context.confirm(&format!("delete device {device}"), yes.yes).await?;
            context.client.delete_device(id).await?;
            context.out.say(&format!("deleted device {device}"))
        }
        DeviceCommand::Updates { device, list } => {
            let id = resolve::device(&context.client, &device).await?;
            let page = context.client.device_updates(id, list.at_most()).await?;
            update_sessions::print(&page, &mut context.out)
        }
    }
}

async fn list(args: DeviceListArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let group_id = match &args.group {
        Some(group) => Some(resolve::group(&context.client, group).await?),
        None => None,
    };
    let DeviceListArgs { device_type, status, filter, rsql, count, list, .. } = args;
    if count {
        let filter = DeviceCountFilter { device_type, status, group_id, filter, rsql };
        let found = context.client.device_count(&filter).await?;
        return context.out.value(&found, || vec![("devices", found.count.to_string())]);
    }
    let filter = DeviceFilter { device_type, status, group_id, filter, rsql, ..DeviceFilter::default() };
    let page = context.client.devices(&filter, list.at_most()).await?;
    print_list(&page, context)
}

/// Devices as a table.
pub(super) fn print_list(page: &Page<Device>, context: &mut Context<'_>) -> Result<(), CliError> {
    let header = ["HARDWARE ID", "TYPE", "STATUS", "VERSION", "TARGET", "LAST SEEN", "ID"];
    context.out.list(page, &header, |device| {
        vec![
            device.hardware_id.clone(),
            device.device_type.clone(),
            device.status.to_string(),
            optional(device.current_version.as_ref()),
            optional(device.target_version.as_ref()),
            time(device.last_seen),
            device.id.to_string(),
        ]
    })
}

/// Metadata is read, changed and written back: a change by somebody else in between is overwritten.
async fn set(args: DeviceSetArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::device(&context.client, &args.device).await?;
    let metadata = if args.meta.is_empty() && args.unset_meta.is_empty() {
        None
    } else {
        let mut metadata = context.client.device(id).await?.metadata;
        metadata.retain(|key, _| !args.unset_meta.contains(key));
        metadata.extend(args.meta.into_iter().map(|meta| (meta.key, Value::String(meta.text))));
        Some(metadata)
    };
    let group_ids = if args.no_groups || !args.group.is_empty() {
        Some(resolve::groups(&context.client, &args.group).await?)
    } else {
        None
    };
    let device = context.client.update_device(id, &DeviceUpdate { metadata, group_ids }).await?;
    context.out.value(&device, || lines(&device))
}

fn lines(device: &Device) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("hardware id", device.hardware_id.clone()),
        ("id", device.id.to_string()),
        ("type", device.device_type.clone()),
        ("status", device.status.to_string()),
        ("version", optional(device.current_version.as_ref())),
        ("target", optional(device.target_version.as_ref())),
        ("last seen", time(device.last_seen)),
        ("registered", time(Some(device.created_at))),
    ];
    for component in &device.components {
        let version = optional(component.version.as_ref());
        lines.push(("component", format!("{} {version} ({})", component.component, time(Some(component.reported_at)))));
    }
    lines.extend(device.group_ids.iter().map(|group| ("group", group.to_string())));
    lines.extend(device.attributes.iter().map(|(name, value)| ("attribute", format!("{name}={value}"))));
    lines.extend(device.tags.iter().map(|tag| ("tag", tag.clone())));
    lines.extend(metadata_lines(&device.metadata));
    lines
}

fn metadata_lines(metadata: &BTreeMap<String, Value>) -> impl Iterator<Item = (&'static str, String)> {
    metadata.iter().map(|(key, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        ("metadata", format!("{key}={text}"))
    })
}
