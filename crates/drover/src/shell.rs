//! `drover completions` and `drover man`: made from the commands themselves.

use std::io::Write as _;
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;

use crate::error::RunError;

const PROGRAM: &str = "drover";

/// Options of `drover completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Options of `drover man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Folder for the pages, one per command; made when it is missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// Prints what makes the shell complete commands and options.
pub(crate) fn print_completions(args: &CompletionsArgs, mut command: Command) -> Result<(), RunError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, PROGRAM, &mut text);
    std::io::stdout().write_all(&text).map_err(RunError::io("print the completions"))
}

/// Writes the manual pages.
pub(crate) fn write_man_pages(args: &ManArgs, command: Command) -> Result<(), RunError> {
    let failed = || RunError::io(format!("write manual pages into {}", args.to.display()));
    std::fs::create_dir_all(&args.to).map_err(failed())?;
    clap_mangen::generate_to(command, &args.to).map_err(failed())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::tests::command_line;

    #[test]
    fn every_shell_completes_every_noun() {
        for shell in Shell::value_variants() {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut command_line(), PROGRAM, &mut text);
            let text = String::from_utf8(text).unwrap();
            for command in command_line().get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("man1");
        write_man_pages(&ManArgs { to: to.clone() }, command_line()).unwrap();
        let page = |name: &str| std::fs::read_to_string(to.join(name)).unwrap();
        assert!(page("drover.1").contains(".TH"));
        assert!(page("drover-rollout-create.1").contains("\\-\\-firmware"));
        assert!(page("drover-backup.1").contains("SYNOPSIS"));
    }
}
