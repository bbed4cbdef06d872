//! `drover group`.

use clap::Subcommand;
use drover_api::{Group, GroupMove, GroupWrite};
use drover_types::GroupId;

use super::device;
use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, time};
use crate::resolve;
use crate::run::Context;

/// What one request may add.
const MAX_MEMBERS_PER_CALL: usize = 1_000;

const CREATE_EXAMPLES: &str = r#"Examples:
  drover group create canary --description 'first to get anything'
  drover group create eu-trucks --where 'device.type == "truck" && device.attr.region == "eu"'"#;

/// `drover group`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List groups
    List(ListArgs),
    /// Make a group
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// Its name, unique in the tenant
        name: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        /// The group that it is part of: id or name
        #[arg(long)]
        parent: Option<String>,
        /// Make it dynamic: every device is in it for which this condition holds, in CEL
        #[arg(long = "where", value_name = "CONDITION")]
        condition: Option<String>,
    },
    /// Show one group
    Show {
        /// Id or name
        group: String,
    },
    /// List the devices in a group
    Devices {
        /// Id or name
        group: String,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Change a group's name or description, or the condition of a dynamic one
    Update {
        /// Id or name
        group: String,
        /// New name
        #[arg(long, required_unless_present_any = ["description", "condition"])]
        name: Option<String>,
        /// New description
        #[arg(long)]
        description: Option<String>,
        /// New condition of a dynamic group, in CEL
        #[arg(long = "where", value_name = "CONDITION")]
        condition: Option<String>,
    },
    /// Move a group, with all that are part of it
    #[command(
        after_help = "Rights over a group hold for all that are part of it: a move changes who may see its devices."
    )]
    Move {
        /// Id or name
        group: String,
        /// The group that it becomes part of: id or name
        #[arg(long, required_unless_present = "top")]
        parent: Option<String>,
        /// Part of no other group
        #[arg(long, conflicts_with = "parent")]
        top: bool,
    },
    /// Delete a group; its devices stay
    Delete {
        /// Id or name
        group: String,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Put devices into a static group
    #[command(after_help = "Example:\n  drover group add canary robot-1 robot-2")]
    Add {
        /// Id or name
        group: String,
        /// Ids or hardware ids
        #[arg(required = true)]
        devices: Vec<String>,
    },
    /// Take devices out of a static group
    Remove {
        /// Id or name
        group: String,
        /// Ids or hardware ids
        #[arg(required = true)]
        devices: Vec<String>,
    },
}

pub(crate) async fn run(command: GroupCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        GroupCommand::List(list) => {
            let page = context.client.groups(list.at_most()).await?;
            context.out.list(&page, &["NAME", "KIND", "DEVICES", "DESCRIPTION", "ID"], |group| {
                let kind = if group.condition.is_some() { "dynamic" } else { "static" };
                let count = optional(group.device_count.as_ref());
                vec![group.name.clone(), kind.to_owned(), count, group.description.clone(), group.id.to_string()]
            })
        }
        GroupCommand::Create { name, description, parent, condition } => {
            let parent_id = parent_id(parent.as_deref(), context).await?;
            let body = GroupWrite { name, description, parent_id, condition };
            let group = context.client.create_group(&body).await?;
            print(&group, context)
        }
        GroupCommand::Show { group } => {
            let id = resolve::group(&context.client, &group).await?;
            let group = context.client.group(id).await?;
            print(&group, context)
        }
        GroupCommand::Devices { group, list } => {
            let id = resolve::group(&context.client, &group).await?;
            let page = context.client.group_devices(id, list.at_most()).await?;
            device::print_list(&page, context)
        }
        GroupCommand::Update { group, name, description, condition } => {
            update(&group, name, description, condition, context).await
        }
        GroupCommand::Move { group, parent, top: _ } => {
            let id = resolve::group(&context.client, &group).await?;
            let parent_id = parent_id(parent.as_deref(), context).await?;
            let after = context.client.move_group(id, &GroupMove { parent_id }).await?;
            print(&after, context)
        }
        GroupCommand::Delete { group, yes } => {
            let id = resolve::group(&context.client, &group).await?;
            context.confirm(&format!("delete group {group}"), yes.yes).await?;
            context.client.delete_group(id).await?;
            context.out.say(&format!("deleted group {group}"))
        }
        GroupCommand::Add { group, devices } => add(&group, &devices, context).await,
        GroupCommand::Remove { group, devices } => remove(&group, &devices, context).await,
    }
}

async fn parent_id(parent: Option<&str>, context: &Context<'_>) -> Result<Option<GroupId>, CliError> {
    match parent {
        Some(parent) => Ok(Some(resolve::group(&context.client, parent).await?)),
        None => Ok(None),
    }
}

async fn update(
    group: &str,
    name: Option<String>,
    description: Option<String>,
    condition: Option<String>,
    context: &mut Context<'_>,
) -> Result<(), CliError> {
    let id = resolve::group(&context.client, group).await?;
    let before = context.client.group(id).await?;
    let name = name.unwrap_or(before.name);
    let description = description.unwrap_or(before.description);
    let body = GroupWrite { name, description, parent_id: None, condition };
    let after = context.client.update_group(id, &body).await?;
    print(&after, context)
}

/// All names are looked up before the first device is moved.
async fn add(group: &str, devices: &[String], context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::group(&context.client, group).await?;
    let mut device_ids = Vec::with_capacity(devices.len());
    for device in devices {
        device_ids.push(resolve::device(&context.client, device).await?);
    }
    for chunk in device_ids.chunks(MAX_MEMBERS_PER_CALL) {
        context.client.add_to_group(id, chunk.to_vec()).await?;
    }
    let after = context.client.group(id).await?;
    print(&after, context)
}

async fn remove(group: &str, devices: &[String], context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::group(&context.client, group).await?;
    let mut device_ids = Vec::with_capacity(devices.len());
    for device in devices {
        device_ids.push(resolve::device(&context.client, device).await?);
    }
    for device_id in device_ids {
        context.client.remove_from_group(id, device_id).await?;
    }
    let after = context.client.group(id).await?;
    print(&after, context)
}

fn print(group: &Group, context: &mut Context<'_>) -> Result<(), CliError> {
    context.out.value(group, || {
        let mut lines = vec![
            ("name", group.name.clone()),
            ("id", group.id.to_string()),
            ("description", group.description.clone()),
            ("part of", group.parent_id.map_or_else(|| "-".to_owned(), |id| id.to_string())),
            ("devices", optional(group.device_count.as_ref())),
            ("created", time(Some(group.created_at))),
            ("changed", time(Some(group.updated_at))),
        ];
        lines.extend(group.condition.iter().map(|condition| ("condition", condition.clone())));
        lines
    })
}
