//! `drover presign`.

use clap::Args;
use drover_api::PresignRequest;

use crate::CliError;
use crate::parse::HumanDuration;
use crate::run::Context;

/// Which object, and for how long.
#[derive(Debug, Args)]
pub struct PresignArgs {
    /// The object's name
    key: String,
    /// How long the address works, in whole seconds: 1s to 1h
    #[arg(long, default_value = "15m", value_name = "DURATION")]
    expires_in: HumanDuration,
}

pub(crate) async fn run(args: PresignArgs, context: &mut Context<'_>) -> Result<(), CliError> {
    // The server judges the range; a number that does not fit is out of it.
    let expires_in = Some(u32::try_from(args.expires_in.as_ms() / 1000).unwrap_or(u32::MAX));
    let reply = context.client.presign(&PresignRequest { object_key: args.key, expires_in }).await?;
    if context.out.json { context.out.json(&reply) } else { context.out.say(&reply.url) }
}
