//! The command line as a whole.

mod coverage;
mod help;

use clap::{Command, CommandFactory as _};

/// All commands.
pub(crate) fn command_line() -> Command {
    super::Arguments::command()
}

#[test]
fn the_command_line_holds_together() {
    command_line().debug_assert();
}

/// Every command with its words, the program's own included.
fn all_commands() -> Vec<(String, Command)> {
    let mut root = command_line().term_width(100);
    root.build();
    let mut found = vec![("drover".to_owned(), root)];
    let mut at = 0;
    while at < found.len() {
        let (path, command) = found[at].clone();
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        found.extend(below.map(|command| (format!("{path} {}", command.get_name()), command.clone())));
        at += 1;
    }
    found.sort_by(|left, right| left.0.cmp(&right.0));
    found
}
