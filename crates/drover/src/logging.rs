//! Log lines on standard error.

use std::io::{self, IsTerminal as _, Write};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The longest line for people, in bytes; what is longer is cut. Lines for programs stay whole.
const LINE_MAX_BYTES: usize = 16 * 1024;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Starts logging. `RUST_LOG` decides what; `default` when it is not set.
pub(crate) fn start(format: LogFormat, default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colours = io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours);
    match format {
        LogFormat::Text => lines.with_writer(OneLine { colours }).init(),
        // The event's fields and, beside them, those of the request or task that it belongs to.
        LogFormat::Json => lines
            .with_writer(io::stderr)
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .init(),
    }
}

/// Makes of each event exactly one line of bounded length: what a client sends cannot pretend to be a line of its own, nor
/// steer a terminal. The formatter hands over each event in one piece.
#[derive(Debug, Clone, Copy)]
struct OneLine {
    colours: bool,
}

impl<'w> MakeWriter<'w> for OneLine {
    type Writer = Self;

    fn make_writer(&'w self) -> Self::Writer {
        *self
    }
}

impl Write for OneLine {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(one_line(event, self.colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// With `colours`, escape characters are the formatter's own: it escapes those of values.
fn one_line(event: &[u8], colours: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut line = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if line.len() >= LINE_MAX_BYTES {
            line.push_str(" … (cut)");
            break;
        }
        match c {
            '\u{1b}' if colours => line.push(c),
            '\t' => line.push(' '),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let forged = "INFO who=\"x\"\n2026-11-21T00:00:00Z  INFO paid\r\n\u{1b}[2J\u{9b}2J\u{2028}end\n";
        let line = one_line(forged.as_bytes(), false);
        assert_eq!(line, "INFO who=\"x\"\\n2026-11-21T00:00:00Z  INFO paid\\r\\n\\u{1b}[2J\\u{9b}2J\\u{2028}end\n");
        assert!(one_line(b"\x1b[2mdim\x1b[0m\n", true).contains('\u{1b}'), "colours stay");
    }

    #[test]
    fn a_line_is_bounded() {
        let line = one_line("x".repeat(1 << 20).as_bytes(), false);
        assert!(line.len() < LINE_MAX_BYTES + 32, "{}", line.len());
        assert!(line.ends_with(" … (cut)\n"));
    }
}
