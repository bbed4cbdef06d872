//! `drover enrolment-token`.

use clap::Subcommand;
use drover_api::EnrolmentTokenCreate;

use super::api_key::from_now;
use crate::CliError;
use crate::command::{ListArgs, YesArgs};
use crate::output::{optional, time};
use crate::parse::HumanDuration;
use crate::resolve;
use crate::run::Context;

/// `drover enrolment-token`.
#[derive(Debug, Subcommand)]
pub enum EnrolmentTokenCommand {
    /// Make an enrolment token; its secret is shown this once
    #[command(
        after_help = "Example:\n  drover enrolment-token create line-3 --type robot --max-uses 100 --expires-in 7d"
    )]
    Create {
        /// What it is for
        name: String,
        /// Only devices of this type may register with it
        #[arg(long = "type", value_name = "TYPE")]
        device_type: Option<String>,
        /// How many devices may register with it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        max_uses: Option<u32>,
        /// How long it works; for ever when not given
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<HumanDuration>,
    },
    /// List enrolment tokens
    List(ListArgs),
    /// Revoke an enrolment token; devices that registered with it stay
    Revoke {
        /// Id or name
        token: String,
        #[command(flatten)]
        yes: YesArgs,
    },
}

pub(crate) async fn run(command: EnrolmentTokenCommand, context: &mut Context<'_>) -> Result<(), CliError> {
    match command {
        EnrolmentTokenCommand::Create { name, device_type, max_uses, expires_in } => {
            let body = EnrolmentTokenCreate { name, device_type, max_uses, expires_at: expires_in.map(from_now) };
            let created = context.client.create_enrolment_token(&body).await?;
            context.out.value(&created, || {
                let token = &created.enrolment_token;
                vec![
                    ("name", token.name.clone()),
                    ("id", token.id.to_string()),
                    ("type", optional(token.device_type.as_ref())),
                    ("uses", optional(token.max_uses.as_ref())),
                    ("expires", time(token.expires_at)),
                    ("token", format!("{}  (shown this once)", created.token)),
                ]
            })
        }
        EnrolmentTokenCommand::List(list) => {
            let page = context.client.enrolment_tokens(list.at_most()).await?;
            let header = ["NAME", "TYPE", "USES", "OF", "EXPIRES", "REVOKED", "ID"];
            context.out.list(&page, &header, |token| {
                vec![
                    token.name.clone(),
                    optional(token.device_type.as_ref()),
                    token.uses.to_string(),
                    optional(token.max_uses.as_ref()),
                    time(token.expires_at),
                    time(token.revoked_at),
                    token.id.to_string(),
                ]
            })
        }
        EnrolmentTokenCommand::Revoke { token, yes } => {
            let id = resolve::enrolment_token(&context.client, &token).await?;
            context.confirm(&format!("revoke enrolment token {token}"), yes.yes).await?;
            context.client.revoke_enrolment_token(id).await?;
            context.out.say(&format!("revoked enrolment token {token}"))
        }
    }
}
