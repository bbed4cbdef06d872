//! `drover tenant`.

use clap::Subcommand;
use drover_api::{Tenant, TenantCreate, TenantUpdate};

use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, time};
use crate::resolve;
use crate::run::Context;

/// `drover tenant`.
#[derive(Debug, Subcommand)]
pub enum TenantCommand {
    /// Make a tenant below this one; work in it with --tenant
    #[command(
        after_help = "Example:\n  drover tenant create acme\n  drover --tenant acme user create anna --role owner"
    )]
    Create {
        /// Its name: users log in with it
        name: String,
        /// The tenant above it, when not this one: id or name
        #[arg(long)]
        parent: Option<String>,
    },
    /// List the tenant and those below it
    List(ListArgs),
    /// Show one tenant
    Show {
        /// Id or name
        name: String,
    },
    /// Rename a tenant; its users log in with the new name
    Rename {
        /// Id or name
        name: String,
        /// New name
        new_name: String,
    },
    /// Delete a tenant in which nothing is
    Delete {
        /// Id or name
        name: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

pub(crate) async fn run(command: TenantCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        TenantCommand::Create { name, parent } => {
            let parent_id = match parent {
                Some(parent) => Some(resolve::tenant(&context.client, &parent).await?),
                None => None,
            };
            let tenant = context.client.create_tenant(&TenantCreate { name, parent_id }).await?;
            print(&tenant, context)
        }
        TenantCommand::List(list) => {
            let page = context.client.tenants(list.at_most()).await?;
            context.out.list(&page, &["NAME", "BELOW", "CREATED", "ID"], |tenant| {
                let above = optional(tenant.parent_id.as_ref());
                vec![tenant.name.clone(), above, time(Some(tenant.created_at)), tenant.id.to_string()]
            })
        }
        TenantCommand::Show { name } => {
            let id = resolve::tenant(&context.client, &name).await?;
            let tenant = context.client.tenant(id).await?;
            print(&tenant, context)
        }
        TenantCommand::Rename { name, new_name } => {
            let id = resolve::tenant(&context.client, &name).await?;
            let tenant = context.client.update_tenant(id, &TenantUpdate { name: new_name }).await?;
            print(&tenant, context)
        }
        TenantCommand::Delete { name, yes } => {
            let id = resolve::tenant(&context.client, &name).await?;
            context.confirm(&format!("delete tenant {name}"), yes.yes).await?;
            context.client.delete_tenant(id).await?;
            context.out.say(&format!("deleted tenant {name}"))
        }
    }
}

fn print(tenant: &Tenant, context: &mut Context<'_>) -> Result<(), CliError> {
    context.out.value(tenant, || {
        vec![
            ("name", tenant.name.clone()),
            ("id", tenant.id.to_string()),
            ("below", optional(tenant.parent_id.as_ref())),
            ("created", time(Some(tenant.created_at))),
        ]
    })
}
