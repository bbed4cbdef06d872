//! `drover user`.

use clap::Subcommand;
use drover_api::{PasswordReset, User, UserCreate, UserUpdate};
use drover_types::Role;

use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::time;
use crate::prompt;
use crate::resolve;
use crate::run::Context;

/// `drover user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; a password that the server makes is shown this once
    #[command(after_help = "Example:\n  drover user create anna --role operator")]
    Create {
        /// Name to log in with
        username: String,
        /// Role over the whole tenant; see `drover grant --help` for others
        #[arg(long)]
        role: Option<Role>,
        /// Read the first password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users
    List(ListArgs),
    /// Show one user
    Show {
        /// Id or name
        user: String,
    },
    /// Give a user another name
    Rename {
        /// Id or name
        user: String,
        /// New name
        name: String,
    },
    /// End a user's logins and stop his API keys, at once
    Disable {
        /// Id or name
        user: String,
    },
    /// Let a disabled user log in again
    Enable {
        /// Id or name
        user: String,
    },
    /// Give a user another password, which is shown this once; his logins end
    ResetPassword {
        /// Id or name
        user: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Remove a user; his API keys are revoked
    Delete {
        /// Id or name
        user: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

pub(crate) async fn run(command: UserCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        UserCommand::Create { username, role, password_stdin } => {
            let password = password_stdin.then(prompt::line_of_stdin).transpose()?;
            let created = context.client.create_user(&UserCreate { username, password, role }).await?;
            context.out.value(&created, || {
                let mut lines = lines(&created.user);
                lines.extend(created.password.iter().map(|text| ("password", format!("{text}  (shown this once)"))));
                lines
            })
        }
        UserCommand::List(list) => {
            let page = context.client.users(list.at_most()).await?;
            context.out.list(&page, &["NAME", "CREATED", "DISABLED", "ID"], |user| {
                vec![user.username.clone(), time(Some(user.created_at)), time(user.disabled_at), user.id.to_string()]
            })
        }
        UserCommand::Show { user } => {
            let id = resolve::user(&context.client, &user).await?;
            let user = context.client.user(id).await?;
            context.out.value(&user, || lines(&user))
        }
        UserCommand::Rename { user, name } => {
            update(&user, UserUpdate { username: Some(name), disabled: None }, context).await
        }
        UserCommand::Disable { user } => {
            update(&user, UserUpdate { username: None, disabled: Some(true) }, context).await
        }
        UserCommand::Enable { user } => {
            update(&user, UserUpdate { username: None, disabled: Some(false) }, context).await
        }
        UserCommand::ResetPassword { user, password_stdin, yes } => {
            let id = resolve::user(&context.client, &user).await?;
            let password = password_stdin.then(prompt::line_of_stdin).transpose()?;
            context.confirm(&format!("give {user} another password and end his logins"), yes.yes).await?;
            let reply = context.client.reset_password(id, &PasswordReset { password }).await?;
            context.out.value(&reply, || {
                let made = reply.password.clone().map(|text| format!("{text}  (shown this once)"));
                vec![("password", made.unwrap_or_else(|| "as you gave it".to_owned()))]
            })
        }
        UserCommand::Delete { user, yes } => {
            let id = resolve::user(&context.client, &user).await?;
            context.confirm(&format!("remove user {user}"), yes.yes).await?;
            context.client.delete_user(id).await?;
            context.out.say(&format!("removed user {user}"))
        }
    }
}

async fn update(user: &str, change: UserUpdate, context: &mut Context<'_>) -> Result<(), CliError> {
    let id = resolve::user(&context.client, user).await?;
    let after = context.client.update_user(id, &change).await?;
    context.out.value(&after, || lines(&after))
}

fn lines(user: &User) -> Vec<(&'static str, String)> {
    vec![
        ("name", user.username.clone()),
        ("id", user.id.to_string()),
        ("created", time(Some(user.created_at))),
        ("disabled", time(user.disabled_at)),
    ]
}
