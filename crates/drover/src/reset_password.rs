//! `drover reset-password`.

use std::io::Write as _;
use std::sync::Arc;

use drover_app::{SystemRandom, compose};
use drover_types::SystemClock;

use crate::error::RunError;
use crate::serve::{ServeArgs, config};

/// Options of `drover reset-password`: those of `drover serve` say where the database is.
#[derive(Debug, clap::Args)]
pub(crate) struct ResetPasswordArgs {
    /// The user
    #[arg(long, default_value = "admin", value_name = "NAME")]
    username: String,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Prints a new password, once.
pub(crate) async fn run(args: ResetPasswordArgs) -> Result<(), RunError> {
    let backends = config::place(args.serve)?;
    let settings = drover_app::Settings::default();
    let app = compose::compose(&backends, settings, Arc::new(SystemClock), Arc::new(SystemRandom)).await?;
    let reset = app.reset_password(&args.username).await;
    app.close().await;
    let text = format!("user      {}\npassword  {}\n", args.username, reset?);
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the password"))
}
