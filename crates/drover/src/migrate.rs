//! `drover migrate`.

use std::io::Write as _;

use drover_app::compose;

use crate::error::RunError;
use crate::serve::config::settings::without_secrets;
use crate::serve::{ServeArgs, config};

/// Options of `drover migrate`: those of `drover serve` say which database.
#[derive(Debug, clap::Args)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    serve: ServeArgs,
}

/// Brings the schema up to date, and says of which database: without --database it is the one in the data folder.
pub(crate) async fn run(args: MigrateArgs) -> Result<(), RunError> {
    let database = config::database(args.serve)?;
    let steps = compose::migrate(&database).await?;
    let database = without_secrets(&database);
    let text = match steps {
        0 => format!("the schema is up to date: {database}"),
        _ => format!("applied {steps} schema steps: {database}"),
    };
    writeln!(std::io::stdout(), "{text}").map_err(RunError::io("print the result"))
}
