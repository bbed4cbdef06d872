//! `drover migrate`.

use std::io::Write as _;

use drover_app::compose;

use crate::error::RunError;

/// Options of `drover migrate`.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    /// The database: `sqlite:PATH` or `postgres://…`
    #[arg(long, env = "DROVER_DATABASE", hide_env_values = true, value_name = "URL")]
    database: String,
}

/// Brings the schema up to date.
pub(crate) async fn run(args: &MigrateArgs) -> Result<(), RunError> {
    let steps = compose::migrate(&args.database).await?;
    let text = if steps == 0 { "the schema is up to date".to_owned() } else { format!("applied {steps} schema steps") };
    writeln!(std::io::stdout(), "{text}").map_err(RunError::io("print the result"))
}
