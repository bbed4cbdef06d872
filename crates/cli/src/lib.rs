//! The operator's commands over the REST API, and a typed client of that API.
//!
//! The binary `drover` adds [`Command`] and [`GlobalArgs`] to its own arguments and calls [`run_to_exit`].
//! Programs and tests use [`Client`]; [`release`] packs, signs and publishes firmware.

mod client;
mod command;
mod commands;
mod error;
mod output;
mod parse;
mod profile;
mod prompt;
pub mod release;
mod resolve;
mod run;

pub use client::{Client, ClientError, InvalidServerUrl, Progress, RetryPolicy, ServerTrust, ServerUrl};
pub use command::{Command, GlobalArgs};
pub use error::CliError;
pub use output::Terminal;
pub use profile::ProfileError;
pub use prompt::PromptError;
pub use resolve::ResolveError;
pub use run::{run, run_to_exit, trust};
