//! Questions: yes or no, and passwords without echo.

use std::io::{BufRead as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

const MAX_LINE_BYTES: u64 = 4096;

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PromptError {
    /// Nobody to ask.
    #[error("{action} needs a yes, and there is no terminal to ask")]
    NeedsYes {
        /// What was to be done.
        action: String,
    },
    /// Nobody to ask for a name or password.
    #[error("{what} is missing, and there is no terminal to ask")]
    NeedsAnswer {
        /// What is missing.
        what: &'static str,
    },
    /// A new password was typed in two ways.
    #[error("stopped: the two new passwords are not the same; nothing was changed")]
    NotTheSame,
    /// The answer was no.
    #[error("stopped: nothing was changed")]
    Declined,
    /// Ctrl-C, or the end of the input.
    #[error("stopped")]
    Interrupted,
    /// The terminal cannot be used.
    #[error("cannot use the terminal")]
    Terminal(#[source] std::io::Error),
}

/// Asks before something is destroyed. `yes` is the answer in advance.
pub(crate) async fn confirm(action: &str, yes: bool, has_terminal: bool) -> Result<(), PromptError> {
    if yes {
        return Ok(());
    }
    if !has_terminal {
        return Err(PromptError::NeedsYes { action: action.to_owned() });
    }
    let answer = ask(&format!("{action}? [y/N] "), false).await?;
    let is_yes = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(PromptError::Declined) }
}

/// One line from the terminal.
pub(crate) async fn question(what: &'static str, has_terminal: bool) -> Result<String, PromptError> {
    if !has_terminal {
        return Err(PromptError::NeedsAnswer { what });
    }
    ask(&format!("{what}: "), false).await
}

/// One line from the terminal that the terminal does not show.
pub(crate) async fn secret(what: &'static str, has_terminal: bool) -> Result<String, PromptError> {
    if !has_terminal {
        return Err(PromptError::NeedsAnswer { what });
    }
    ask(&format!("{what}: "), true).await
}

/// A new secret, typed twice: nobody sees what he types, and a slip would lock him out.
pub(crate) async fn new_secret(
    what: &'static str,
    again: &'static str,
    has_terminal: bool,
) -> Result<String, PromptError> {
    let first = secret(what, has_terminal).await?;
    same(first, &secret(again, has_terminal).await?)
}

fn same(first: String, again: &str) -> Result<String, PromptError> {
    if first == again { Ok(first) } else { Err(PromptError::NotTheSame) }
}

/// The first line of standard input, whatever it is.
pub(crate) fn line_of_stdin() -> Result<String, PromptError> {
    let mut line = String::new();
    let mut input = std::io::stdin().lock().take(MAX_LINE_BYTES);
    input.read_line(&mut line).map_err(PromptError::Terminal)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Reads on a thread of its own, so that Ctrl-C finds the terminal's echo restored.
async fn ask(text: &str, hidden: bool) -> Result<String, PromptError> {
    let mut error = std::io::stderr();
    write!(error, "{text}").and_then(|()| error.flush()).map_err(PromptError::Terminal)?;
    let echo_off = hidden.then(EchoOff::new).transpose().map_err(PromptError::Terminal)?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    // Not a task: a blocked task would keep the runtime from ending after Ctrl-C.
    std::thread::spawn(move || sender.send(line_of_stdin()));
    let answer = tokio::select! {
        answer = receiver => answer.unwrap_or(Err(PromptError::Interrupted)),
        _ = tokio::signal::ctrl_c() => Err(PromptError::Interrupted),
    };
    drop(echo_off);
    if hidden {
        writeln!(error).map_err(PromptError::Terminal)?;
    }
    answer.and_then(|line| if line.is_empty() { Err(PromptError::Interrupted) } else { Ok(line) })
}

/// Until it is dropped, the terminal does not show what is typed.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // Nothing more can be done for a terminal that went away.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_not_taken_for_a_password() {
        assert_eq!(same("s3cret".to_owned(), "s3cret").expect("the same"), "s3cret");
        assert!(matches!(same("s3cret".to_owned(), "s3cert"), Err(PromptError::NotTheSame)));
    }

    #[tokio::test]
    async fn without_a_terminal_nothing_is_destroyed_by_silence() {
        assert!(confirm("delete device r-1", true, false).await.is_ok());
        let refused = confirm("delete device r-1", false, false).await;
        assert!(matches!(refused, Err(PromptError::NeedsYes { .. })), "{refused:?}");
    }
}
