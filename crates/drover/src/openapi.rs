//! `drover openapi`.

use std::io::Write as _;

use crate::error::RunError;

/// Prints the description of the REST API.
pub(crate) fn print() -> Result<(), RunError> {
    let mut text = drover_server::openapi()
        .to_pretty_json()
        .map_err(|error| RunError::Setting(format!("the API cannot be described: {error}")))?;
    text.push('\n');
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the description"))
}
