//! `drover account`: one's own password and logins.

use clap::Subcommand;
use drover_api::PasswordChange;
use drover_types::LoginId;

use crate::CliError;
use crate::command::ListArgs;
use crate::output::{optional, time};
use crate::prompt;
use crate::run::Context;

/// `drover account`.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Change your password; your other logins end
    Password {
        /// Read the old and the new password from two lines of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List your open logins
    Logins(ListArgs),
    /// End one of your logins
    EndLogin {
        /// Id of the login
        login: LoginId,
    },
}

pub(crate) async fn run(command: AccountCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        AccountCommand::Password { password_stdin } => {
            let has_terminal = context.out.terminal.input;
            let body = if password_stdin {
                PasswordChange { old_password: prompt::line_of_stdin()?, new_password: prompt::line_of_stdin()? }
            } else {
                let old_password = prompt::secret("password so far", has_terminal).await?;
                let new_password = prompt::new_secret("new password", "new password again", has_terminal).await?;
                PasswordChange { old_password, new_password }
            };
            context.client.change_password(&body).await?;
            context.out.say("changed your password; your other logins have ended")
        }
        AccountCommand::Logins(list) => {
            let page = context.client.logins(list.at_most()).await?;
            context.out.list(&page, &["OPENED", "FROM", "ENDS", "THIS ONE", "ID"], |login| {
                vec![
                    time(Some(login.created_at)),
                    optional(login.address.as_ref()),
                    time(Some(login.expires_at)),
                    if login.current { "yes" } else { "no" }.to_owned(),
                    login.id.to_string(),
                ]
            })
        }
        AccountCommand::EndLogin { login } => {
            context.client.revoke_login(login).await?;
            context.out.say(&format!("ended login {login}"))
        }
    }
}
