//! `drover device attributes`, `tag` and `untag`.

use clap::Args;
use drover_api::{DeviceAttributes, DeviceAttributesChange};

use crate::CliError;
use crate::parse::AttributeArg;
use crate::resolve;
use crate::run::Context;

/// Which attributes to show or change.
#[derive(Debug, Args)]
pub struct AttributesArgs {
    /// Id or hardware id
    device: String,
    /// Set an attribute to a text, a number, true or false; "3" in double quotes is a text; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<AttributeArg>,
    /// Remove an attribute; may be given more than once
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
}

/// Which tags to put on or take off.
#[derive(Debug, Args)]
pub struct TagArgs {
    /// Id or hardware id
    device: String,
    /// The tags: 1 to 63 characters a-z 0-9 . _ : -
    #[arg(required = true)]
    tags: Vec<String>,
}

pub(super) async fn attributes(args: AttributesArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::device(&context.client, &args.device).await?;
    let found = if args.set.is_empty() && args.unset.is_empty() {
        context.client.device_attributes(id).await?
    } else {
        let set = args.set.into_iter().map(|attribute| (attribute.name, attribute.value)).collect();
        let change = DeviceAttributesChange { set, unset: args.unset };
        context.client.change_device_attributes(id, &change).await?
    };
    print(&found, context)
}

fn print(found: &DeviceAttributes, context: &mut Context<'_>) -> Result<(), CliError> {
    if context.out.json {
        return context.out.json(found);
    }
    if found.attributes.is_empty() {
        return context.out.say("no attributes");
    }
    let rows = found.attributes.iter().map(|(name, value)| vec![name.clone(), value.to_string()]);
    context.out.table(&["NAME", "VALUE"], rows)
}

pub(super) async fn tag(args: TagArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::device(&context.client, &args.device).await?;
    for tag in &args.tags {
        context.client.add_device_tag(id, tag).await?;
    }
    context.out.say(&format!("tagged device {}: {}", args.device, args.tags.join(", ")))
}

pub(super) async fn untag(args: TagArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::device(&context.client, &args.device).await?;
    for tag in &args.tags {
        context.client.remove_device_tag(id, tag).await?;
    }
    context.out.say(&format!("took off device {}: {}", args.device, args.tags.join(", ")))
}
