//! The first meeting with a server that no authority of this machine vouches for.

use crate::client::ServerTrust;
use crate::run::Context;
use crate::{CliError, prompt};

/// Shows the server's key and asks whether to trust it from now on. Only a login does: every other command uses what
/// it left in the profile. Without a terminal nothing is trusted by silence.
pub(crate) async fn make(context: &mut Context<'_>) -> Result<(), CliError> {
    if context.trust != ServerTrust::System {
        return Ok(());
    }
    let Some(pin) = context.client.unknown_pin().await? else { return Ok(()) };
    let server = context.client.server().to_string();
    if !context.out.terminal.input {
        return Err(CliError::UnknownServer { server, pin });
    }
    let question = format!(
        "No authority that this machine knows vouches for {server}. It proves the key\n  {pin}\n\
         The server prints its key at its start. Is it the same, and shall it be trusted"
    );
    prompt::confirm(&question, false, true).await?;
    context.trust = ServerTrust::Pinned(pin);
    context.client = context.client.clone().trusting(&context.trust)?;
    Ok(())
}
