//! `drover api-key`.

use clap::Subcommand;
use drover_api::ApiKeyCreate;
use drover_types::{Clock as _, Permission, SystemClock, Timestamp};

use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::time;
use crate::parse::HumanDuration;
use crate::resolve;
use crate::run::Context;

/// `drover api-key`.
#[derive(Debug, Subcommand)]
pub enum ApiKeyCommand {
    /// Make an API key; its token is shown this once
    #[command(after_help = "Example:\n  drover api-key create ci --expires-in 90d --scope firmware:write")]
    Create {
        /// What it is for
        name: String,
        /// How long it works; for ever when not given
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<HumanDuration>,
        /// Permission that it is limited to, such as devices:read; may be given more than once
        #[arg(long = "scope", value_name = "PERMISSION")]
        scopes: Vec<Permission>,
        /// Group that it is limited to, with those that are part of it: id or name
        #[arg(long)]
        group: Option<String>,
        /// Address or network that it may be used from; may be given more than once
        #[arg(long = "from", value_name = "ADDRESS")]
        addresses: Vec<String>,
    },
    /// List API keys
    List(ListArgs),
    /// Revoke an API key
    Revoke {
        /// Id or name
        key: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

pub(crate) async fn run(command: ApiKeyCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        ApiKeyCommand::Create { name, expires_in, scopes, group, addresses } => {
            let group_id = match group {
                Some(group) => Some(resolve::group(&context.client, &group).await?),
                None => None,
            };
            let scopes = (!scopes.is_empty()).then_some(scopes);
            let body = ApiKeyCreate { name, expires_at: expires_in.map(from_now), scopes, group_id, addresses };
            let created = context.client.create_api_key(&body).await?;
            context.out.value(&created, || {
                let key = &created.api_key;
                vec![
                    ("name", key.name.clone()),
                    ("id", key.id.to_string()),
                    ("expires", time(key.expires_at)),
                    ("token", format!("{}  (shown this once)", created.token)),
                ]
            })
        }
        ApiKeyCommand::List(list) => {
            let page = context.client.api_keys(list.at_most()).await?;
            context.out.list(&page, &["NAME", "CREATED", "EXPIRES", "LAST USED", "REVOKED", "ID"], |key| {
                let times = [Some(key.created_at), key.expires_at, key.last_used_at, key.revoked_at].map(time);
                [&[key.name.clone()][..], &times, &[key.id.to_string()]].concat()
            })
        }
        ApiKeyCommand::Revoke { key, yes } => {
            let id = resolve::api_key(&context.client, &key).await?;
            context.confirm(&format!("revoke API key {key}"), yes.yes).await?;
            context.client.revoke_api_key(id).await?;
            context.out.say(&format!("revoked API key {key}"))
        }
    }
}

/// The moment that lies so far ahead, by this machine's clock.
pub(super) fn from_now(duration: HumanDuration) -> Timestamp {
    SystemClock.now().plus(duration.as_duration())
}
