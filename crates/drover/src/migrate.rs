//! `drover migrate`.

use std::io::Write as _;

use drover_app::compose;

use crate::error::RunError;
use crate::serve::{ServeArgs, config};

/// Options of `drover migrate`: those of `drover serve` say which database.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Brings the schema up to date.
pub(crate) async fn run(args: MigrateArgs) -> Result<(), RunError> {
    let backends = config::load(args.serve)?.backends("http://127.0.0.1");
    let steps = compose::migrate(&backends.database).await?;
    let text = if steps == 0 { "the schema is up to date".to_owned() } else { format!("applied {steps} schema steps") };
    writeln!(std::io::stdout(), "{text}").map_err(RunError::io("print the result"))
}
