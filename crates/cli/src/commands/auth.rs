//! Logging in and out.

use clap::Args;
use drover_api::{LoginRequest, RightView};
use drover_types::ErrorKind;
use serde::Serialize;

use super::acquaintance;
use crate::CliError;
use crate::output::time;
use crate::profile::Profile;
use crate::prompt;
use crate::run::Context;

/// Who logs in.
#[derive(Debug, Args)]
pub struct LoginArgs {
    /// Name of the user; asked for when not given
    #[arg(long, short)]
    username: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// What `login --json` prints: everything but the token, which is in the profile.
#[derive(Serialize)]
struct LoggedIn {
    server: String,
    profile: String,
    expires_at: drover_types::Timestamp,
}

pub(crate) async fn login(args: LoginArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    acquaintance::make(context).await?;
    let has_terminal = context.out.terminal.input;
    let username = match args.username {
        Some(username) => username,
        None => prompt::question("username", has_terminal && !args.password_stdin).await?,
    };
    let password =
        if args.password_stdin { prompt::line_of_stdin()? } else { prompt::secret("password", has_terminal).await? };
    let request = LoginRequest { tenant: context.tenant.clone(), username, password };
    let reply = context.client.login(&request).await?;
    let server = context.client.server().to_string();
    context.profiles.keep(context.profile, Profile::new(server.clone(), reply.token, &context.trust))?;
    let text = format!("logged in to {server} until {}", time(Some(reply.expires_at)));
    if context.out.json {
        let profile = context.profile.to_owned();
        return context.out.json(&LoggedIn { server, profile, expires_at: reply.expires_at });
    }
    context.out.say(&text)?;
    let path = context.profiles.path().display().to_string();
    context.out.say(&format!("token kept in profile {} of {path}", context.profile))
}

pub(crate) async fn logout(context: &mut Context<'_>) -> Result<(), CliError> {
    match context.client.logout().await {
        // A session that is over already is what was asked for.
        Err(error) if error.kind() == Some(ErrorKind::Unauthenticated) => {}
        ended => ended?,
    }
    let server = context.client.server().to_string();
    // The session of another token, given by option, says nothing about the profile's.
    let known = context.profiles.get(context.profile).and_then(|profile| profile.token.as_deref());
    if let Some(token) = context.client.token().filter(|token| known == Some(*token)) {
        context.profiles.forget(context.profile, token)?;
    }
    context.out.say(&format!("logged out of {server}"))
}

pub(crate) async fn whoami(context: &mut Context<'_>) -> Result<(), CliError> {
    let caller = context.client.whoami().await?;
    let server = context.client.server().to_string();
    context.out.value(&caller, || {
        vec![
            ("name", caller.name.clone()),
            ("kind", caller.kind.clone()),
            ("tenant", caller.tenant_id.to_string()),
            ("server", server),
            ("may", caller.rights.iter().map(right).collect::<Vec<_>>().join("\n")),
        ]
    })
}

fn right(right: &RightView) -> String {
    let permissions = right.permissions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    match right.group_id {
        Some(group) => format!("in group {group}: {permissions}"),
        None => permissions,
    }
}
