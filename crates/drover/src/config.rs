//! `drover config`.

use std::io::Write as _;

use clap::ArgMatches;

use crate::doctor::{self, Depth};
use crate::error::RunError;
use crate::serve::ServeArgs;
use crate::serve::config::{self, settings};

/// `drover config`.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ConfigCommand {
    /// Show the settings in effect and where each comes from; secrets are hidden
    #[command(after_help = "Example:\n  drover config show --config /etc/drover/drover.toml")]
    Show(ServeArgs),
    /// Find out whether a server could start with these settings, without starting one
    Check(ServeArgs),
}

/// Runs it. `matches` are those of the whole command line.
pub(crate) async fn run(command: ConfigCommand, matches: &ArgMatches, json: bool) -> Result<(), RunError> {
    match command {
        ConfigCommand::Show(args) => {
            let own = matches.subcommand().and_then(|(_, config)| config.subcommand()).map(|(_, show)| show);
            let own = own.ok_or_else(|| RunError::Setting("the command line is not understood".to_owned()))?;
            let (config, file) = config::load_with_file(args)?;
            show(&settings::settings(&config, &file, own)?, json)
        }
        ConfigCommand::Check(args) => {
            let findings = doctor::examine(config::load(args), Depth::Settings, None).await;
            doctor::print(&findings, json)?;
            doctor::verdict(&findings)
        }
    }
}

fn show(settings: &[settings::Setting], json: bool) -> Result<(), RunError> {
    let text = if json {
        let text = serde_json::to_string_pretty(settings).map_err(|error| RunError::Setting(error.to_string()))?;
        format!("{text}\n")
    } else {
        let width = |of: fn(&settings::Setting) -> usize| settings.iter().map(of).max().unwrap_or(0);
        let (names, values) = (width(|setting| setting.name.len()), width(|setting| setting.value.len()));
        let line = |settings::Setting { name, value, source }: &settings::Setting| {
            format!("{name:names$}  {value:values$}  {source}\n")
        };
        settings.iter().map(line).collect()
    };
    std::io::stdout().write_all(text.as_bytes()).map_err(RunError::io("print the settings"))
}
