//! What operators see: tables, single lines, JSON.

mod cells;

use std::io::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use drover_api::Page;
use serde::Serialize;

use crate::CliError;

pub(crate) use cells::{optional, short_bytes, time};

/// What is connected to a terminal. Decides on questions, redrawing and progress bars.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terminal {
    /// Standard input: questions can be asked.
    pub input: bool,
    /// Standard output: what is there can be redrawn.
    pub output: bool,
    /// Standard error: progress bars can be shown.
    pub error: bool,
}

impl Terminal {
    /// What the process has.
    pub fn detect() -> Self {
        use std::io::IsTerminal as _;
        Self {
            input: std::io::stdin().is_terminal(),
            output: std::io::stdout().is_terminal(),
            error: std::io::stderr().is_terminal(),
        }
    }
}

/// Where answers go, and in which form.
pub(crate) struct Output<'w> {
    pub(crate) writer: &'w mut (dyn Write + Send),
    pub(crate) json: bool,
    pub(crate) terminal: Terminal,
}

impl Output<'_> {
    /// One value: as JSON, or as `NAME  VALUE` lines.
    pub(crate) fn value(
        &mut self,
        value: &impl Serialize,
        lines: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<(), CliError> {
        if self.json {
            return self.json(value);
        }
        let lines = lines();
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, text) in lines {
            writeln!(self.writer, "{name:width$}  {}", printable(&text))?;
        }
        Ok(())
    }

    /// A list: as the API's JSON, or as a table.
    pub(crate) fn list<T: Serialize>(
        &mut self,
        page: &Page<T>,
        header: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), CliError> {
        if self.json {
            return self.json(page);
        }
        self.table(header, page.items.iter().map(row))?;
        if page.next_cursor.is_some() {
            writeln!(self.writer, "... and more: pass --limit N or --all")?;
        }
        Ok(())
    }

    pub(crate) fn table(&mut self, header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Result<(), CliError> {
        let text = table_text(header, rows);
        Ok(writeln!(self.writer, "{text}")?)
    }

    /// A line for people; nothing with `--json`.
    pub(crate) fn say(&mut self, text: &str) -> Result<(), CliError> {
        if !self.json {
            writeln!(self.writer, "{}", printable(text))?;
        }
        Ok(())
    }

    /// The API's JSON, indented.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(CliError::Json)?;
        Ok(writeln!(self.writer, "{text}")?)
    }

    /// One line of JSON lines.
    pub(crate) fn json_line(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(CliError::Json)?;
        writeln!(self.writer, "{text}")?;
        Ok(self.writer.flush()?)
    }
}

pub(crate) fn table_text(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)).collect::<Vec<_>>());
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().trim_start_matches(' ').to_owned()).collect();
    lines.join("\n")
}

/// Devices choose some of the texts: none of them may steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_cannot_steer_the_terminal() {
        let text = table_text(&["NAME"], std::iter::once(vec!["\u{1b}[2Jgone".to_owned()]));
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("[2Jgone"));
    }

    #[test]
    fn columns_line_up_without_trailing_spaces() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "22".to_owned()]];
        let text = table_text(&["NAME", "N"], rows.into_iter());
        let column = |line: &str| line.rfind(' ');
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(column(lines[1]), column(lines[2]), "{text}");
        assert!(lines.iter().all(|line| !line.ends_with(' ')), "{text:?}");
    }
}
