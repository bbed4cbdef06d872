//! What `--help` prints, for every command: read the difference, it is what users see change.

use std::fmt::Write as _;
use std::path::Path;

use super::all_commands;

const FILE: &str = "src/tests/help.txt";
/// Set it to write the file anew.
const UPDATE: &str = "DROVER_UPDATE_HELP";

#[test]
fn every_help_is_as_it_was() {
    let mut text = String::new();
    for (path, command) in all_commands() {
        // Values of this machine's environment have no place in it.
        let mut command = command.mut_args(|argument| argument.hide_env_values(true)).term_width(100);
        writeln!(text, "$ {path} --help\n{}", command.render_help()).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let different = text.lines().zip(before.lines()).find(|(now, before)| now != before);
    assert!(
        text == before,
        "the commands' help changed, first at {different:?}; when that is meant: \
         {UPDATE}=1 cargo test -p drover every_help, and commit crates/drover/{FILE}"
    );
}

/// An option without a word, or a verb of its own, is one that nobody finds.
#[test]
fn every_command_and_option_says_what_it_is() {
    for (path, command) in all_commands() {
        assert!(command.get_about().is_some(), "{path} says nothing about itself");
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            assert!(argument.get_help().is_some(), "{path} {} says nothing", argument.get_id());
        }
    }
}
