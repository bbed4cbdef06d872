//! What is wrong with a condition, and where.

use std::fmt;
use std::ops::Range;

/// How much of a long line is shown around the fault, in characters.
const WINDOW_CHARS: usize = 96;

/// The condition cannot be used. Its [`Display`](fmt::Display) form has three lines: what is wrong, the line of the
/// condition, and a mark under the fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    message: String,
    span: Range<usize>,
    text: Box<str>,
}

impl ConditionError {
    pub(crate) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = span.end.clamp(start, text.len());
        while !text.is_char_boundary(end) {
            end += 1;
        }
        Self { message: message.into(), span: start..end, text: text.into() }
    }

    /// What is wrong and what to do about it, in one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The bytes of the condition's text that the message is about; empty at the end of the text.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The line of the fault, from 1.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column of the fault in characters, from 1.
    pub fn column(&self) -> usize {
        self.before().rsplit('\n').next().unwrap_or_default().chars().count() + 1
    }

    fn before(&self) -> &str {
        &self.text[..self.span.start]
    }

    /// The part of the line around the fault, and the mark below it.
    fn snippet(&self) -> (String, String) {
        let line_start = self.before().rfind('\n').map_or(0, |at| at + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or_default();
        let chars: Vec<char> = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let at = self.column() - 1;
        let marked = self.text[self.span.clone()].split('\n').next().unwrap_or_default().chars().count().max(1);

        let from = if chars.len() <= WINDOW_CHARS { 0 } else { at.saturating_sub(WINDOW_CHARS / 2) };
        let to = (from + WINDOW_CHARS).min(chars.len());
        let (head, tail) = (if from > 0 { "…" } else { "" }, if to < chars.len() { "…" } else { "" });
        let shown: String = chars[from..to].iter().collect();
        let indent = " ".repeat(at - from + head.chars().count());
        let mark = "^".repeat(marked.min((to - at.min(to)).max(1)));
        (format!("{head}{shown}{tail}"), format!("{indent}{mark}"))
    }
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, mark) = self.snippet();
        write!(f, "line {}, column {}: {}\n  {shown}\n  {mark}", self.line(), self.column(), self.message)
    }
}

impl std::error::Error for ConditionError {}
