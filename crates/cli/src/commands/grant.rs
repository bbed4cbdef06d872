//! `drover grant`.

use clap::Subcommand;
use drover_api::{Grant, GrantCreate, GrantScope};
use drover_types::{GrantId, Role, UserId};

use crate::CliError;
use crate::output::{optional, time};
use crate::resolve;
use crate::run::Context;

/// `drover grant`.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// Give a user a role; only who has all its rights over the same scope may give it
    #[command(after_help = "Example:\n  drover grant add anna operator --group line-3\n\n\
        Roles: owner, fleet-admin, release-manager, operator, viewer, auditor")]
    Add {
        /// Id or name of the user
        user: String,
        /// The role
        role: Role,
        /// Only in this group and those that are part of it: id or name
        #[arg(long)]
        group: Option<String>,
        /// In this tenant below the user's own: id or name
        #[arg(long)]
        below: Option<String>,
    },
    /// List what a user may do
    List {
        /// Id or name of the user
        user: String,
    },
    /// Take a role back
    Remove {
        /// Id or name of the user
        user: String,
        /// Id of the grant
        grant: GrantId,
    },
}

pub(crate) async fn run(command: GrantCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        GrantCommand::Add { user, role, group, below } => {
            let id = resolve::user(&context.client, &user).await?;
            let (mut scope, mut there) = (GrantScope::default(), context.client.clone());
            if let Some(below) = below {
                let tenant = resolve::tenant(&context.client, &below).await?;
                scope.tenant_id = Some(tenant);
                there = there.with_tenant(tenant);
            }
            if let Some(group) = group {
                scope.group_id = Some(resolve::group(&there, &group).await?);
            }
            let grant = context.client.create_grant(id, &GrantCreate { role, scope }).await?;
            context.out.value(&grant, || {
                vec![
                    ("role", grant.role.to_string()),
                    ("id", grant.id.to_string()),
                    ("tenant", grant.tenant_id.to_string()),
                    ("group", optional(grant.group_id.as_ref())),
                ]
            })
        }
        GrantCommand::List { user } => {
            let id = resolve::user(&context.client, &user).await?;
            list(id, context).await
        }
        GrantCommand::Remove { user, grant } => {
            let id = resolve::user(&context.client, &user).await?;
            context.client.delete_grant(id, grant).await?;
            context.out.say(&format!("took grant {grant} back from {user}"))
        }
    }
}

async fn list(user: UserId, context: &mut Context<'_>) -> Result<(), CliError> {
    let page = drover_api::Page { items: context.client.grants(user).await?, next_cursor: None };
    context.out.list(&page, &["ROLE", "TENANT", "GROUP", "GIVEN", "ID"], |grant: &Grant| {
        vec![
            grant.role.to_string(),
            grant.tenant_id.to_string(),
            optional(grant.group_id.as_ref()),
            time(Some(grant.created_at)),
            grant.id.to_string(),
        ]
    })
}
